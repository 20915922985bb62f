"""The benchmark of the sampler's settings in a real ComfyUI: what all settings share is computed once."""

import numpy as np
import pytest
from pipeline import LEAST_SIZE, face_images, load_least

from face_anonymizer.modules.evaluation.conditions import Condition
from face_anonymizer.modules.evaluation.painting import Painter
from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.evaluation.synthetic_set import to_levels
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.tools.benchmarks.curve_painting import SharedPainter
from face_anonymizer.tools.benchmarks.shortcuts import SHORTCUTS

PLAN = [Condition("swap", 0.0, swaps=True), Condition("anonymized_1.25", 1.25)]
FAST = SamplerSettings("euler", "sgm_uniform", 2, guidance_scale=2.0)


@pytest.fixture(scope="module")
def model():
    return load_least()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return to_levels(face_images(3, LEAST_SIZE))


def test_it_paints_what_the_evaluation_paints(model, pictures, tmp_path):
    """The same pixels as scripts/evaluate.py, whose batches are as large; and a second setting reads no face again."""
    encoded = []

    class Watched(type(model)):
        def encode(self, images):
            encoded.append(len(images))
            return super().encode(images)

    painter = SharedPainter(Watched(*model), pictures, PLAN, batch=2)
    assert np.isnan(painter.shared_seconds)
    for name, setting in (("two", FAST), ("one", SamplerSettings("euler", "sgm_uniform", 1, guidance_scale=1.0))):
        work = painter.paint(setting, PictureStore(tmp_path / name, {}))
        assert (work.faces, work.halves, work.whole, len(work.kinds)) == (
            (6, 24, 24, 2) if name == "two" else (6, 6, 6, 1)
        )
        assert encoded == [2, 2, 1, 1]  # driving images and the swaps' sources, of two people and of one
    assert work.seconds > 0 and painter.shared_seconds > 0
    expected = PictureStore(tmp_path / "expected", {})
    Painter(model, 0, FAST, 2).paint(pictures, pictures, PLAN, expected)
    shared = PictureStore(tmp_path / "two", {})
    for condition in PLAN:
        difference = shared.read(condition.name, 3).astype(int) - expected.read(condition.name, 3)
        assert np.abs(difference).max() <= 1, condition.name


def test_what_is_there_is_not_painted_again(model, pictures, tmp_path):
    store = PictureStore(tmp_path / "pictures", {})
    SharedPainter(model, pictures, PLAN, batch=2).paint(FAST, store)
    whole = store.read("swap", 3)
    store.path("swap", 1).unlink()
    painter = SharedPainter(model, pictures, PLAN, batch=2)
    assert painter.paint(FAST, store).faces == 1
    assert np.abs(store.read("swap", 3).astype(int) - whole).max() <= 1
    assert painter.paint(FAST, store).faces == 0
    tried = painter.try_one(FAST)
    assert (tried.faces, tried.halves) == (1, 4)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_shortcuts_take_less_and_stay_near(model, pictures, tmp_path, shortcut):
    """None leaves anything behind on the MODEL."""
    steps = SamplerSettings("euler", "sgm_uniform", 6, guidance_scale=2.0)
    painter = SharedPainter(model, pictures[:2], PLAN[1:], batch=2)
    stores = [PictureStore(tmp_path / name, {}) for name in ("plain", "short", "again")]
    works = [painter.paint(steps, store, name) for store, name in zip(stores, ("", shortcut, ""), strict=True)]
    plain, short, again = (store.read("anonymized_1.25", 2).astype(int) for store in stores)
    assert works[0].halves == works[0].whole == works[2].halves == 24 and np.array_equal(plain, again)
    whole, halves = {"pooled": (24, 24), "deep": (12, 24)}.get(shortcut, (works[1].halves, works[1].halves))
    assert (works[1].whole, works[1].halves) == (whole, halves) and works[1].halves <= 24
    assert 0 < np.abs(short - plain).mean() < 20
