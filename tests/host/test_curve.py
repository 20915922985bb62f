"""The benchmark of the sampler's settings in a real ComfyUI: what all settings share is computed once."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pipeline import least_folder

from face_anonymizer.modules.evaluation.conditions import Condition
from face_anonymizer.modules.evaluation.painting import Painter
from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.model.settings import DDPM, SamplerSettings
from face_anonymizer.nodes.presets import BALANCED, FAST, PAPER, painting_of
from face_anonymizer.tools.benchmarks import curve, quality_against_cost
from face_anonymizer.tools.benchmarks.curve import MEASURES
from face_anonymizer.tools.benchmarks.curve_painting import SharedPainter
from face_anonymizer.tools.benchmarks.shortcuts import SHORTCUTS

ROOT = Path(__file__).resolve().parents[2]
ASSETS, DOCS = ROOT / "assets", ROOT / "docs"
PLAN = [Condition("swap", 0.0, swaps=True), Condition("anonymized_1.25", 1.25)]
TWO_STEPS = SamplerSettings("euler", "sgm_uniform", 2, guidance_scale=2.0)


def test_it_paints_what_the_evaluation_paints(least, pictures, tmp_path):
    """The same pixels as scripts/evaluate.py, whose batches are as large; and a second setting reads no face again."""
    encoded = []

    class Watched(type(least)):
        def encode(self, images):
            encoded.append(len(images))
            return super().encode(images)

    painter = SharedPainter(Watched(*least), pictures, PLAN, batch=2)
    assert np.isnan(painter.shared_seconds)
    for name, setting in (("two", TWO_STEPS), ("one", SamplerSettings("euler", "sgm_uniform", 1, guidance_scale=1.0))):
        work = painter.paint(setting, PictureStore(tmp_path / name, {}))
        assert (work.faces, work.halves, work.whole, len(work.kinds)) == (
            (6, 24, 24, 2) if name == "two" else (6, 6, 6, 1)
        )
        assert encoded == [2, 2, 1, 1]  # driving images and the swaps' sources, of two people and of one
    assert work.seconds > 0 and painter.shared_seconds > 0
    expected = PictureStore(tmp_path / "expected", {})
    Painter(least, 0, TWO_STEPS, 2).paint(pictures, pictures, PLAN, expected)
    shared = PictureStore(tmp_path / "two", {})
    for condition in PLAN:
        difference = shared.read(condition.name, 3).astype(int) - expected.read(condition.name, 3)
        assert np.abs(difference).max() <= 1, condition.name


def test_what_is_there_is_not_painted_again(least, pictures, tmp_path):
    store = PictureStore(tmp_path / "pictures", {})
    SharedPainter(least, pictures, PLAN, batch=2).paint(TWO_STEPS, store)
    whole = store.read("swap", 3)
    store.path("swap", 1).unlink()
    painter = SharedPainter(least, pictures, PLAN, batch=2)
    assert painter.paint(TWO_STEPS, store).faces == 1
    assert np.abs(store.read("swap", 3).astype(int) - whole).max() <= 1
    assert painter.paint(TWO_STEPS, store).faces == 0
    tried = painter.try_one(TWO_STEPS)
    assert (tried.faces, tried.halves) == (1, 4)


@pytest.fixture(scope="module")
def painted(least, pictures, tmp_path_factory):
    """A function that paints two people in six steps with a shortcut, "" for none: the pictures, and what it took."""
    steps, folder = SamplerSettings("euler", "sgm_uniform", 6, guidance_scale=2.0), tmp_path_factory.mktemp("shortcuts")
    painter = SharedPainter(least, pictures[:2], PLAN[1:], batch=2)

    def paint(shortcut: str, name: str):
        store = PictureStore(folder / name, {})
        work = painter.paint(steps, store, shortcut)
        return store.read("anonymized_1.25", 2).astype(int), work

    return paint


@pytest.fixture(scope="module")
def plainly(painted):
    with torch.inference_mode():
        return painted("", "plainly")


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_shortcuts_take_less_and_stay_near(plainly, painted, shortcut):
    """None leaves anything behind on the MODEL."""
    (plain, work), (short, less), (again, same) = plainly, painted(shortcut, shortcut), painted("", f"after {shortcut}")
    assert work.halves == work.whole == same.halves == 24 and np.array_equal(plain, again)
    whole, halves = {"pooled": (24, 24), "deep": (12, 24)}.get(shortcut, (less.halves, less.halves))
    assert (less.whole, less.halves) == (whole, halves) and less.halves <= 24
    assert 0 < np.abs(short - plain).mean() < 20


def test_easycache_leaves_out_more_at_a_higher_threshold(painted):
    """The steps it leaves out are not counted."""
    works = [painted(f"easycache{threshold}", f"threshold {threshold}")[1] for threshold in ("0", "0.2", "2")]
    halves = [work.halves for work in works]
    assert halves[0] == 24 and halves[0] >= halves[1] > halves[2] and all(work.halves == work.whole for work in works)
    assert painted("easycache", "as the node stands")[1].halves == halves[1]


@pytest.mark.long  # its length is the point: from a folder to the table, by the published way
def test_photos_of_a_folder_with_a_model_of_ones_own(tmp_path, capsys):
    """What an owner of the published weights runs; it goes on where it was stopped, and knows other photos."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    portrait = Image.open(ASSETS / "astronaut.jpg").convert("RGB").crop((160, 20, 320, 180))
    portrait.save(photos / "a.png")
    portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "b.jpg", quality=95)
    Image.new("RGB", (64, 64)).save(photos / "c.png")  # nobody
    command = [str(out), "--model", str(least_folder()), "--originals", str(photos), "--no-plot", "--device", "cpu"]
    settings = ["--settings", "euler:sgm_uniform:1", "dpmpp_2m:karras:2"]
    assert quality_against_cost.main([*command, "--settings", "euler:sgm_uniform:1"]) == 0
    few = ["--first", "1", "--main-alone", "--reference", "dpmpp_2m:karras:2"]
    assert quality_against_cost.main([*command, *few, *settings]) == 0
    printed = capsys.readouterr()
    assert "dpmpp_2m:karras:2 (1 of 1 that are left)" in printed.err
    assert "Worse than dpmpp_2m:karras:2, person by person" in printed.out
    results = json.loads((out / "results.json").read_text())["settings"]
    assert list(results) == settings[1:]
    cheap, dear = (one["values"] for one in results.values())
    for values in (cheap, dear):
        assert {measure: len(one) for measure, one in values.items()} == dict.fromkeys(MEASURES, 2)
    assert cheap["background"] == [None, None] and None not in cheap["sharpness"]
    assert [value is None for value in dear["sharpness"]] == [False, True] and dear["swap"] == [None, None]
    Image.new("RGB", (64, 64)).save(photos / "a.png")
    with pytest.raises(ValueError, match="3 photos, of which 1 show a face"):
        quality_against_cost.main([*command, *settings])
    portrait.save(photos / "a.jpg")
    with pytest.raises(ValueError, match="other people, or of another model"):
        quality_against_cost.main([*command, *settings])


def test_presets_are_those_of_the_committed_table():
    points = quality_against_cost.published(DOCS / "curve" / "results.jsonl")
    fast, balanced = (painting_of(preset) for preset in (FAST, BALANCED))
    assert (fast.steps, balanced.steps) == curve.presets(points, "dpmpp_2m:karras", 25)
    assert {(one.sampler_name, one.scheduler) for one in (fast, balanced)} == {("dpmpp_2m", "karras")}
    assert painting_of(PAPER).sampler_name == DDPM
    text = (DOCS / "curve.md").read_text(encoding="utf-8")
    for point in points:
        assert f"| {point.name} | {point.tflop:.1f} |" in text, "the tables of the page are those of the file"
