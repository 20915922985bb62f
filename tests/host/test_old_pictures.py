"""Graphs for photos of an earlier release give today the pictures that they gave at the commit that kept these graphs.

tools/fixtures/old_pictures.py made them, with the tiny model. What is compared is what is painted, before it is pasted:
random weights paint noise, which Paste Faces covers by now. That, and where a graph may differ by more than one level
of 255, a line of CHANGELOG.md announces.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plain_run import rest_is_long

from face_anonymizer.tools.fixtures.old_pictures import GRAPHS, PHOTO, of_photos, run

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.1.0"
PICTURES = GRAPHS / VERSION / "pictures"
GRAPHS_FOR_PHOTOS = [path.stem for path in of_photos(VERSION)]
COVERED = "- `FaceAnonPasteFaces` redacts faces below 16 pixels, crops that still show the original, and crops of noise"
ROUNDED = "- The detector's convolutions add in another order, 1.4 to 1.8 times as fast"
# Graph -> the line that announces it. One pixel of 16,384 is off by two levels, presumably as crops lie by some
# millionths of a pixel elsewhere; that has not been traced.
ANNOUNCED = {"anonymize_chosen_faces": ROUNDED, "anonymize_with_ksampler": ROUNDED}
MOST, SHARE = 2, 1e-4


def test_every_graph_for_photos_has_its_picture_and_every_exception_its_line():
    assert len(GRAPHS_FOR_PHOTOS) == 6
    assert {path.stem for path in PICTURES.glob("*.png")} == {*GRAPHS_FOR_PHOTOS, Path(PHOTO).stem}
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert ANNOUNCED.keys() <= set(GRAPHS_FOR_PHOTOS) and all(line in changes for line in (COVERED, ROUNDED))


@pytest.mark.parametrize("name", rest_is_long(GRAPHS_FOR_PHOTOS, "anonymize_photo", "redact_photo"))
def test_an_old_graph_gives_the_picture_that_it_gave(server, name):
    picture, reports = run(server, GRAPHS / VERSION / "api" / f"{name}.json")
    then = np.asarray(Image.open(PICTURES / f"{name}.png").convert("RGB")).astype(int)
    now = np.asarray(picture).astype(int)
    assert now.shape == then.shape
    off = np.abs(now - then).max(-1)
    if name in ANNOUNCED:
        assert off.max() <= MOST and (off > 1).mean() <= SHARE, (off.max(), (off > 1).sum())
    else:
        assert off.max() <= 1, (off.max(), (off > 1).sum())
    reasons = [face["reason"] for report in reports for face in report["faces"] if face["reason"]]
    painted_and_pasted = name not in ("redact_photo", "anonymize_aligned_face")
    assert bool(reasons) == painted_and_pasted and all(re.match("broken: noise", reason) for reason in reasons)
