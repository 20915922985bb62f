"""Graphs of an earlier release give today the pictures, and the faces of clips, that they gave when they were kept.

tools/fixtures/old_pictures.py made them, with the tiny model. What is compared is what is painted, before it is pasted:
random weights paint noise, which Paste Faces covers by now. That, and where a graph may differ by more than one level
of 255, a line of CHANGELOG.md announces.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plain_run import rest_is_long

from face_anonymizer.tools.fixtures.old_pictures import GRAPHS, PHOTO, of_photos, of_videos, run, run_video

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
# Of the clip's crops one has a pixel that is off by two levels; random weights make 5 % of what they paint there of it.
MOST_OF_CLIP, SHARE_OF_CLIP = 5, 0.0065
FOLLOWED = "- **Faces of videos** are no longer searched in every frame as in a photo: known faces are followed"
ENLARGED = "- **More small faces are found, and a thorough search takes half the time on a processor**"
GRAPHS_FOR_VIDEOS = {path.stem: path for path in of_videos(VERSION)}


def test_every_graph_for_photos_has_its_picture_and_every_exception_its_line():
    assert len(GRAPHS_FOR_PHOTOS) == 6
    assert {path.stem for path in PICTURES.glob("*.png")} == {*GRAPHS_FOR_PHOTOS, Path(PHOTO).stem, "anonymize_video"}
    assert {path.stem for path in PICTURES.glob("*.json")} == GRAPHS_FOR_VIDEOS.keys() and len(GRAPHS_FOR_VIDEOS) == 3
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert ANNOUNCED.keys() <= set(GRAPHS_FOR_PHOTOS)
    assert all(line in changes for line in (COVERED, ROUNDED, FOLLOWED, ENLARGED))


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


def moves_of(name: str, now: list[list[float]]) -> np.ndarray:
    """How far the edges of each face have moved, in pixels; the same faces in the same frames."""
    then = json.loads((PICTURES / f"{name}.json").read_text(encoding="utf-8"))
    assert [face[0] for face in now] == [face[0] for face in then]
    return np.abs(np.array(now) - np.array(then))[:, 1:].max(1)


def test_an_old_graph_for_clips_finds_and_paints_what_it_did(server):
    strip, faces = run_video(server, GRAPHS_FOR_VIDEOS["anonymize_video"])
    moved = moves_of("anonymize_video", faces)
    assert (moved > 0).sum() == 2 and moved.max() <= 3.85, "faces that are seen only turned"
    then = np.asarray(Image.open(PICTURES / "anonymize_video.png").convert("RGB")).astype(int)
    off = np.abs(np.asarray(strip).astype(int) - then).max(-1)
    crops = sorted(np.split(off, off.shape[1] // off.shape[0], axis=1), key=np.max)
    assert len(crops) == 8
    same = np.stack(crops[:6])  # the others are of the faces that moved
    assert same.max() <= MOST_OF_CLIP and (same > 1).mean() <= SHARE_OF_CLIP, (same.max(), (same > 1).mean())


@pytest.mark.parametrize("name", rest_is_long(["redact_video", "anonymize_long_video"], "redact_video"))
def test_an_old_graph_for_videos_finds_the_same_faces_and_others_only_where_it_follows_them(server, name):
    """Of five frames the second is not searched: four faces move there, and the one that is led into the first."""
    _, faces = run_video(server, GRAPHS_FOR_VIDEOS[name])
    moved = moves_of(name, faces)
    assert {faces[i][0] for i in np.flatnonzero(moved)} == {0, 1} and (moved > 0).sum() == 5
    assert moved.max() <= 3.45, "less than a tenth of the largest face"
