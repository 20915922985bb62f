"""Triples share exactly what they should; the script writes what it renders."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.synthetic.tables import ATTRIBUTES, IDENTITY
from face_anonymizer.modules.synthetic.triples import sample_triples, triples
from face_anonymizer.tools.demo_model import make_synthetic_faces

ROOT = Path(__file__).resolve().parents[2]


def test_truth_is_the_source_person_in_the_driving_scene():
    made = triples([3, 8], seed=2, size=64)
    p = made.parameters
    assert torch.equal(made.source.images, render(p.source_identity, p.source_attributes, 64).images)
    assert torch.equal(made.driving.images, render(p.driving_identity, p.driving_attributes, 64).images)
    assert torch.equal(made.truth.images, render(p.source_identity, p.driving_attributes, 64).images)
    assert torch.equal(p.source_identity.values, sample_identities(p.source_numbers, seed=2).values)
    assert torch.equal(p.driving_identity.values, sample_identities(p.driving_numbers, seed=2).values)


def test_driving_image_and_truth_share_every_pixel_of_the_background():
    made = triples(12, seed=2, size=64)
    behind = (made.driving.background_mask == 1) & (made.truth.background_mask == 1)
    assert behind.float().mean() > 0.2
    assert torch.equal(made.driving.images[behind], made.truth.images[behind])
    person = made.driving.face_mask * made.truth.face_mask > 0.9
    assert (made.driving.images - made.truth.images).abs().mean(-1)[person].mean() > 0.05


def test_triples_depend_on_seed_and_index_alone():
    many = sample_triples(20, seed=9, identities=range(100, 130))
    two = sample_triples([4, 17], seed=9, identities=range(100, 130))
    assert two.source_numbers.tolist() == many.source_numbers[[4, 17]].tolist()
    assert torch.equal(two.driving_attributes.values, many.driving_attributes.values[[4, 17]])
    assert torch.equal(two.source_identity.values, many.source_identity.values[[4, 17]])


def test_people_are_drawn_from_the_given_ones_and_always_differ():
    drawn = sample_triples(600, seed=1, identities=range(40, 43))
    assert (drawn.source_numbers != drawn.driving_numbers).all()
    pairs, counts = np.unique(np.stack([drawn.source_numbers, drawn.driving_numbers]), axis=1, return_counts=True)
    assert pairs.shape == (2, 6) and counts.min() > 70
    assert set(drawn.source_numbers) == {40, 41, 42}


def test_without_a_range_no_person_and_no_scene_comes_twice():
    drawn = sample_triples(50, seed=1)
    assert len({*drawn.source_numbers.tolist(), *drawn.driving_numbers.tolist()}) == 100
    scenes = torch.cat([drawn.source_attributes.values, drawn.driving_attributes.values])
    assert len(torch.unique(scenes, dim=0)) == 100
    assert len(drawn) == 50


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="but 1 were given"):
        sample_triples(3, seed=0, identities=range(5, 6))
    with pytest.raises(ValueError, match="seed -3"):
        sample_triples(3, seed=-3)
    with pytest.raises(ValueError, match=r"\[1, -1\]"):
        sample_triples([1, -1], seed=0)


@pytest.fixture
def run_script(monkeypatch):
    """The tool's main() on arguments."""

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["make_synthetic_faces.py", *arguments])
        make_synthetic_faces.main()

    return run


def read_picture(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).float() / 255


def test_the_script_writes_faces_and_their_parameters(tmp_path, run_script):
    run_script(str(tmp_path), "--count", "3", "--first", "5", "--size", "48", "--seed", "4", "--batch", "2")
    lines = [json.loads(line) for line in (tmp_path / "faces.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["number"] for line in lines] == [5, 6, 7]
    identity, attributes = sample_identities([6], seed=4), sample_attributes([6], seed=4)
    rendered = render(identity, attributes, 48)
    torch.testing.assert_close(read_picture(tmp_path / lines[1]["image"]), rendered.images[0], rtol=0, atol=0.5 / 255)
    assert list(lines[1]["identity"]) == [p.name for p in IDENTITY]
    assert list(lines[1]["attributes"]) == [p.name for p in ATTRIBUTES]
    assert list(lines[1]["attributes"].values()) == pytest.approx(attributes.natural()[0].tolist(), abs=1e-5)
    assert np.allclose(lines[1]["points"], rendered.points[0], atol=1e-3)


def test_the_script_writes_triples(tmp_path, run_script):
    run_script(str(tmp_path), "--count", "2", "--size", "32", "--triples", "--identities", "9")
    lines = [json.loads(line) for line in (tmp_path / "triples.jsonl").read_text(encoding="utf-8").splitlines()]
    made = triples(2, seed=0, size=32, identities=range(9))
    for i, line in enumerate(lines):
        for role in ("source", "driving", "truth"):
            expected = getattr(made, role).images[i]
            torch.testing.assert_close(read_picture(tmp_path / line[role]), expected, rtol=0, atol=0.5 / 255)
        assert line["source_identity"] == made.parameters.source_numbers[i]
        assert line["driving_identity"] == made.parameters.driving_numbers[i]


def test_the_script_refuses_what_it_cannot_do(tmp_path, run_script, capsys):
    for arguments, message in (
        ((), "name an output folder"),
        ((str(tmp_path), "--size", "8"), "--size is 16 to 4096"),
        ((str(tmp_path), "--triples", "--identities", "1"), "--identities is 2 or more"),
        ((str(tmp_path), "--seed", "-1"), "0 or more"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run_script(*arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
