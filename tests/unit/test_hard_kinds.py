"""The pictures of benchmarks.hard_kinds: what a row changes, and what all rows have in common."""

import numpy as np
import pytest
from PIL import Image

from face_anonymizer.tools.benchmarks.detection import Portrait
from face_anonymizer.tools.benchmarks.hard_kinds import FACES, KINDS, SQUEEZED, pictures_of, sheet_of


@pytest.fixture(scope="module")
def made() -> dict:
    """Kind -> picture and truth of one seed, of a portrait that is noise, whose details a blur takes."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    face = Image.fromarray(noise)
    portraits, photos = [Portrait(face, np.array([150.0, 150.0]), 160.0)], [face]
    return {kind: pictures_of(kind, 4, portraits, photos) for kind in KINDS}


def test_all_rows_have_the_same_faces_at_the_same_places(made):
    _, first = made[KINDS[0]]
    assert len(first) == FACES
    for kind, (_, shown) in made.items():
        narrowed = [SQUEEZED, 1, SQUEEZED, 1] if kind.startswith("squeezed") else [1, 1, 1, 1]
        assert [(face.size, face.degrees) for face in shown] == [(face.size, face.degrees) for face in first]
        assert np.allclose([face.box for face in shown], [face.box * narrowed for face in first])


@pytest.mark.parametrize("kind", KINDS[1:-1])
def test_every_row_changes_its_faces(made, kind):
    """At each face's place, by more than a rounding; a row that does nothing would count as one that hides nothing."""
    plain, shown = made[KINDS[0]]
    before, after = (np.asarray(picture, float) for picture in (plain, made[kind][0]))
    for face in shown:
        x0, y0, x1, y1 = (round(side) for side in face.box)
        assert np.abs(before - after)[y0:y1, x0:x1].max() > 10


def test_the_sheet_shows_each(made):
    sheet = sheet_of([picture for picture, _ in made.values()])
    assert sheet.size == (4 * 480, -(-len(KINDS) // 4) * 360)
