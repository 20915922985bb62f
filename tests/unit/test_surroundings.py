"""A cover at a face's place says nothing where the picture was moved under it; an honest one is believed."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect import detection
from face_anonymizer.modules.faces.outcomes import box_of
from face_anonymizer.modules.faces.paste.cover_and_look import cover_and_look
from face_anonymizer.modules.faces.paste.coverage import covered_share
from face_anonymizer.modules.faces.paste.masks import FaceShapes
from face_anonymizer.modules.faces.settings import RedactSettings
from face_anonymizer.modules.recognition.covers import open_share, through_share, uncovered
from face_anonymizer.modules.recognition.pixels import one_colour
from face_anonymizer.modules.recognition.surroundings import moved_around

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SIZE = 600, 400


def as_tensor(picture):
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).float()[None] / 255


def as_picture(images):
    return Image.fromarray((images[0] * 255).round().byte().numpy())


@pytest.fixture(scope="module")
def group():
    both = Image.open(ASSETS / "demo.jpg")
    picture = as_tensor(both.crop((0, 0, both.width // 2, both.height)).resize(SIZE))
    return picture, detection.detect_faces(detection.load_face_networks(), picture)


def jpeg(images):
    file = io.BytesIO()
    as_picture(images).save(file, "JPEG", quality=40)
    return as_tensor(Image.open(file))


def halved(images):
    return as_tensor(as_picture(images).resize((SIZE[0] // 2, SIZE[1] // 2)).resize(SIZE))


@pytest.mark.parametrize("shape", ["ellipse", "box"])
def test_a_picture_that_was_moved_under_the_covers_is_told(group, shape):
    before, faces = group
    covered, mask, report = cover_and_look(before, faces, RedactSettings("solid", shape=shape))

    def find(image, alone, rows):
        return SimpleNamespace(scores=dict.fromkeys(rows, 0.0))

    def told(after):
        places = set(one_colour(after, faces, before))
        assert places == set(range(5))
        by_report = uncovered(before, after, faces, places, traces=report.traces, find=find)
        assert by_report.keys() >= moved_around(before, after, faces, places).keys()
        return by_report

    for honest in (covered, jpeg(covered), halved(covered), covered * 1.25 + 0.06, covered * 0.7):
        assert not told(honest.clamp(0, 1))
    wide = round(0.3 * max(float((face.box[2:] - face.box[:2]).max()) for face in faces))
    inner = as_picture(before).crop((48, 48, SIZE[0] - 48, SIZE[1] - 48)).resize(SIZE)
    for other in (torch.roll(before, (wide, wide // 3), (2, 1)), as_tensor(inner)):
        after = torch.where(mask[..., None] > 0, torch.zeros_like(other), other)
        said = told(after)
        assert said and all("around its cover the picture agrees with the original by" in why for why in said.values())


@pytest.mark.parametrize("pattern", ["ring", "checker"])
def test_a_face_of_which_more_is_open_than_covered_is_told(group, pattern):
    before, faces = group
    covered, mask, report = cover_and_look(before, faces, RedactSettings("solid"))
    traces = {trace.box: trace for trace in report.traces}
    rows, columns = torch.meshgrid(torch.arange(SIZE[1]), torch.arange(SIZE[0]), indexing="ij")
    for face in faces:
        x0, y0, x1, y1 = (float(edge) for edge in face.box)
        u, v = (columns - x0) / (x1 - x0), (rows - y0) / (y1 - y0)
        if pattern == "ring":
            shown = (2 * u - 1) ** 2 + (2 * v - 1) ** 2 > 0.55
        else:
            shown = ((u * 8).floor() + (v * 8).floor()) % 2 == 0
        after = torch.where(shown[..., None], before, covered)
        truth = 1 - covered_share(torch.where(shown, torch.zeros_like(mask), mask)[0], FaceShapes(face))
        assert 0.4 < truth < 0.65
        for opened in (after, jpeg(after)):
            said = open_share(opened[0], face, traces[box_of(face)])
            assert 0.3 < said < truth + 0.15, (truth, said)


def test_a_small_mosaic_that_was_halved_and_enlarged_is_a_cover(group):
    small = torch.nn.functional.interpolate(group[0].movedim(3, 1), (200, 300), mode="area").movedim(1, 3)
    faces = detection.detect_faces(detection.load_face_networks(), small)
    covered, _, report = cover_and_look(small, faces, RedactSettings("mosaic"))
    again = as_tensor(as_picture(covered).resize((150, 100)).resize((300, 200)))
    assert len(report.traces) >= 4
    for face in faces:
        (trace,) = (trace for trace in report.traces if trace.box == box_of(face))
        assert through_share(again[0], face, trace) < 0.09
