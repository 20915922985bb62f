"""The evaluation in a real ComfyUI, with the smallest model: it paints as the product, reduces as it says, resumes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from face_anonymizer.modules.evaluation import conditions, painting
from face_anonymizer.modules.evaluation.conditions import Condition
from face_anonymizer.modules.evaluation.store import PictureStore
from face_anonymizer.modules.evaluation.synthetic_set import swap_sources, to_levels
from face_anonymizer.modules.model import painting as anonymizer
from face_anonymizer.modules.model.embedding import encode_image
from face_anonymizer.modules.model.references import EncodedImages
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings
from face_anonymizer.modules.model.states import interpolate_states
from face_anonymizer.modules.synthetic.regressor import SyntheticRegressor, save_regressor
from face_anonymizer.scripts import evaluate

SAMPLER = SamplerSettings(steps=2, guidance_scale=2.0)
SEED = 11


def paint(least, pictures, folder: Path, plan, at_once: int = 2) -> PictureStore:
    store = PictureStore(folder, {"test": True})
    painting.Painter(least, SEED, SAMPLER, at_once).paint(pictures, pictures[::-1].copy(), plan, store)
    return store


def test_it_paints_what_the_nodes_paint(least, pictures, tmp_path):
    """What is measured is the product: the same pixels as anonymize_crops and swap_crops, in other batches too."""
    plan = [Condition("swap", 0.0, swaps=True), Condition("anonymized_1.25", 1.25)]
    store = paint(least, pictures, tmp_path / "images", plan)
    crops, offsets = torch.from_numpy(pictures).float() / 255, range(3)
    expected = anonymizer.anonymize_crops(least, crops, offsets, PaintSettings(1.25, SEED, SAMPLER))
    sources = crops[swap_sources(3)]
    swapped = anonymizer.swap_crops(least, sources, crops, offsets, PaintSettings(0.0, SEED, SAMPLER))
    for name, painted in (("anonymized_1.25", expected), ("swap", swapped)):
        difference = np.abs(store.read(name, 3).astype(int) - to_levels(painted))
        assert difference.max() <= 1, name
    reconstructed = to_levels(painting.reconstruct(least, crops))
    assert np.abs(store.read(conditions.RECONSTRUCTION, 3).astype(int) - reconstructed).max() <= 1


def test_what_is_there_is_not_painted_again(least, pictures, tmp_path):
    plan = [Condition("anonymized_0.60", 0.6), Condition("seed_01", 1.25, count=2, seed_step=1)]
    store = paint(least, pictures, tmp_path / "images", plan)
    whole = {name: store.read(name, count) for name, count in (("anonymized_0.60", 3), ("seed_01", 2))}
    assert not store.has("seed_01", 2)
    store.path("anonymized_0.60", 1).unlink()
    times = {file: file.stat().st_mtime_ns for file in store.folder.rglob("*.png")}
    paint(least, pictures, tmp_path / "images", plan)
    assert {file: file.stat().st_mtime_ns for file in times} == times
    for name, before in whole.items():
        assert np.abs(store.read(name, len(before)).astype(int) - before).max() <= 1, name


def test_reductions_are_those_of_the_ablation(least, pictures):
    images, degree = torch.from_numpy(pictures[:2]).float() / 255, 1.25
    encoded = EncodedImages.of(least, images)
    latents, embeds = encoded.latents, encoded.embeds
    net = least.source_reference_net
    scaled = encode_image(least.clip_vision, images, degree)

    def made(reduction: str):
        return painting.reduced_source(least, encoded, degree, reduction)

    def same(states, expected) -> bool:
        pairs = zip(states.conditional.values(), expected.conditional.values(), strict=True)
        return all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)

    of_scaled, of_embeds = net.states(latents, scaled), net.states(latents, embeds)
    states, source = made(conditions.FULL)
    assert same(states, interpolate_states(of_scaled, degree)) and torch.allclose(source.embeds, scaled.embeds)
    states, source = made(conditions.EMBEDDINGS_UNMODIFIED)
    assert same(states, interpolate_states(of_embeds, degree)) and torch.equal(source.embeds, embeds.embeds)
    states, source = made(conditions.STATES_UNMODIFIED)
    assert same(states, of_scaled) and torch.allclose(source.embeds, scaled.embeds)
    states, source = made(conditions.WITHOUT_UNCONDITIONAL)
    expected = {layer: (1 - degree) * state for layer, state in of_scaled.conditional.items()}
    assert same(states, replace(of_scaled, conditional=expected)) and torch.allclose(source.embeds, scaled.embeds)
    assert all(state.abs().max() > 0 for state in states.unconditional.values())
    with pytest.raises(ValueError, match="no reduction"):
        made("nothing")


@pytest.mark.long
def test_the_script_reports_and_resumes(fixtures, tmp_path, capsys):
    """The tiny model paints noise: nothing is measurable, which the report says, and nothing is called a success."""
    regressor = SyntheticRegressor()
    regressor.reliability.fill_(0.5)
    save_regressor(regressor, tmp_path / "regressor.safetensors")
    arguments = [
        *(str(tmp_path / "out"), "--model", str(fixtures / "face_anon" / "tiny"), "--identities", "3", "--steps", "1"),
        *("--degrees", "0.3", "--seeds", "2", "--calibration", "3", "--false-accept-rate", "0.2"),
        *("--regressor", str(tmp_path / "regressor.safetensors")),
    ]
    assert evaluate.main(arguments) == 0
    assert "not measurable" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["tables"]["identity"]["rows"]["d = 1.25"]["not measurable"] == 3
    held = [verdict["claim"] for verdict in report["verdicts"] if verdict["holds"]]
    assert all("VAE" in claim for claim in held), held
    images = tmp_path / "out" / "images"
    times = {file: file.stat().st_mtime_ns for file in images.rglob("*")}
    for name in ("identity.png", "attributes.png", "ablation.png", "cosines.png", "swap.png"):
        assert (tmp_path / "out" / "plots" / name).is_file()
    assert (tmp_path / "out" / "sheet.jpg").is_file()
    assert evaluate.main([*arguments, "--no-plots"]) == 0
    assert {file: file.stat().st_mtime_ns for file in times} == times
    again = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert again == report
    capsys.readouterr()
    assert evaluate.main([*arguments, "--noise-seed", "5"]) == 1
    assert "noise seed: 0, asked for 5" in capsys.readouterr().err
    assert evaluate.main([*arguments, "--calibration", "2"]) == 1
    assert "raise --calibration" in capsys.readouterr().err
