"""scripts/make_pairs.py on rendered people, with a random model: whole lists, interruptions, and what is left out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pipeline
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.synthetic import parameters, renderer
from face_anonymizer.modules.training import pair_pictures, pairing
from face_anonymizer.modules.training.triples import load_picture, read_triples
from face_anonymizer.scripts import make_pairs

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SIZE = 64
PEOPLE, PHOTOS = ("ann", "bob", "cem"), 2
HOW = ("--steps", "1", "--batch", "4")
LISTS = ("triples_phase_1.jsonl", "triples_phase_2.jsonl")


@pytest.fixture(scope="module")
def script():
    return make_pairs


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder a person, with two photos each; beside them what is to be left out, each for another reason."""
    folder = tmp_path_factory.mktemp("photos")
    numbers = [person for person in range(len(PEOPLE)) for _ in range(PHOTOS)]
    people = parameters.sample_identities(numbers, 12)
    pictures = renderer.render(people, parameters.sample_attributes(range(len(numbers)), 12), 160).images
    for i, picture in enumerate(pictures):
        file = folder / PEOPLE[numbers[i]] / f"{i % PHOTOS}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray((picture * 255).byte().numpy()).save(file)
    (folder / "ann" / "cut.png").write_bytes((folder / "ann" / "0.png").read_bytes()[:2000])
    Image.new("RGB", (96, 96), "gray").save(folder / "bob" / "wall.png")
    shutil.copy(folder / "cem" / "0.png", folder / "loose.png")
    (folder / "cem" / "notes.txt").write_text("no photo")
    (folder / "cem" / "clip.mp4").write_bytes(b"no photo either")
    return folder


@pytest.fixture(scope="module")
def made(script, photos, tmp_path_factory):
    """The output of a run that was interrupted after its first batch of swaps, and what came out by then."""
    output = tmp_path_factory.mktemp("pairs") / "out"
    model = ("--model", str(pipeline.least_folder()))
    command = [str(photos), "--output", str(output), "--size", str(SIZE), *model, *HOW]
    batches = pair_pictures.swap_faces

    def interrupted(*arguments):
        for i, picture in enumerate(batches(*arguments)):
            if i == 4:
                raise KeyboardInterrupt
            yield picture

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_pictures, "swap_faces", interrupted)
        with pytest.raises(KeyboardInterrupt):
            script.main(command)
    before = {file: file.stat().st_mtime_ns for file in output.rglob("*.png")}
    assert not any((output / name).exists() for name in LISTS)
    assert script.main(command) == 1  # for the photo that is cut off
    return output, before, command


def lines_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_lists_are_read_by_the_training(made):
    output, _, _ = made
    both, real_truth = (read_triples([output / name]) for name in LISTS)
    assert (len(both), len(real_truth)) == (12, 6)
    for picture in both.pictures:
        assert load_picture(picture, SIZE).std() > 5
    lines = [lines_of(output / name) for name in LISTS]
    assert [line for line in lines[0] if line["kind"].startswith("synthesized driving")] == lines[1]
    for line in lines[0]:
        swapped = "driving" if line["kind"].startswith("synthesized driving") else "truth"
        assert {role for role in ("source", "driving", "truth") if line[role].startswith("swaps/")} == {swapped}
        assert line["source"].startswith(f"crops/{line['source_identity']}-")


def test_an_interrupted_run_goes_on(made):
    output, before, _ = made
    assert len(before) == 6 + 4  # crops, and swaps of the first batch
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    assert len(list((output / "swaps").glob("*.png"))) == 6
    assert not list(output.rglob("*.part"))


def test_what_is_left_out_is_named(made):
    left_out = {line["file"]: line["why"] for line in lines_of(made[0] / "left_out.jsonl")}
    assert left_out.keys() == {"ann/cut.png", "bob/wall.png", "loose.png", "cem/notes.txt", "cem/clip.mp4"}
    assert "cannot be read" in left_out["ann/cut.png"] and "truncated. Copy it anew, or save" in left_out["ann/cut.png"]
    assert left_out["bob/wall.png"] == "no face was found"
    assert left_out["loose.png"] == "in no person's folder"


def test_another_run_changes_nothing_and_other_settings_are_refused(made, script, capsys):
    output, _, command = made
    before = {file: file.stat().st_mtime_ns for file in output.rglob("*.*") if file.is_file()}
    assert script.main(command) == 1
    assert script.main([*command, "--guidance", "2"]) == 1
    assert "guidance 4.0; this command: guidance 2.0" in capsys.readouterr().err
    swap = next((output / "swaps").glob("*.png"))
    whole = swap.read_bytes()
    swap.write_bytes(whole[:100])
    assert script.main(command) == 1
    assert f"{swap} was changed since. Remove {swap}" in capsys.readouterr().err
    swap.write_bytes(whole)
    assert before.keys() == {file for file in output.rglob("*.*") if file.is_file()}
    assert all(file.stat().st_mtime_ns == time for file, time in before.items() if file != swap)


def test_swaps_of_another_tool(made, script, photos, tmp_path, capsys):
    output, _, _ = made
    labels = {f"{person}/{i}.png": person for person in PEOPLE for i in range(PHOTOS)}
    (tmp_path / "labels.json").write_text(json.dumps({**labels, "ann/gone.png": "ann"}))
    command = [str(photos), "--output", str(tmp_path / "out"), "--size", str(SIZE), "--labels"]
    shutil.copytree(output / "crops", tmp_path / "out" / "crops")
    command.append(str(tmp_path / "labels.json"))
    assert script.main(command) == 1  # for gone.png; the plan alone
    plan = lines_of(tmp_path / "out" / "swaps.jsonl")
    assert len(plan) == 6 and not (tmp_path / "out" / LISTS[0]).exists()
    assert "go on with --swapped DIR" in capsys.readouterr().out
    swaps = tmp_path / "other tool"
    swaps.mkdir()
    assert script.main([*command, "--swapped", str(swaps)]) == 1
    assert f"{swaps} has none of the swaps" in capsys.readouterr().err
    for number, line in enumerate(plan[1:]):
        levels = np.full((SIZE, SIZE, 3), number, np.uint8)
        Image.fromarray(levels).resize((32, 32) if number == 0 else (SIZE, SIZE)).save(swaps / line["swapped"])
    (swaps / plan[2]["swapped"]).write_bytes(b"no picture")
    assert script.main([*command, "--swapped", str(swaps)]) == 1
    left_out = {line["file"]: line["why"] for line in lines_of(tmp_path / "out" / "left_out.jsonl")}
    reasons = [left_out[str(swaps / line["swapped"])] for line in plan[:3]]
    for reason, expected in zip(reasons, ("missing", "is 32x32 pixels", "is unreadable"), strict=True):
        assert expected in reason
    assert "no such photo" in left_out["ann/gone.png"]
    triples = read_triples([tmp_path / "out" / LISTS[0]])
    assert len(triples) == 2 * 3
    assert any(Path(picture.path).resolve().parent == swaps for picture in triples.pictures)


def test_too_few_people_are_told_before_any_work(script, photos, tmp_path, capsys):
    command = [str(photos), "--output", str(tmp_path / "out"), "--identities", "4"]
    assert script.main(command) == 1
    assert "There are 3 people with 2 usable photos or more, and 4 are needed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert script.main([*command[:-2], "--model", "unknown"]) == 1
    assert "unknown is no folder, and no model in" in capsys.readouterr().err


def test_noise_depends_on_the_swap_and_not_on_its_batch(made, script):
    """So that a run that was interrupted gives the pictures of one that was not."""
    output, _, command = made
    options = script.parse_arguments(command)
    pair = pairing.plan_pairs(
        pairing.group({f"{person}-{i}": person for person in PEOPLE for i in range(PHOTOS)}), 1, 0
    )[5]
    (alone,) = pair_pictures.swap_faces(options, SIZE, pipeline.least_folder(), [pair])
    kept = np.asarray(Image.open(output / "swaps" / f"{pair.swap}.png"))
    assert np.abs((alone.clamp(0, 1) * 255).round().to(torch.uint8).numpy().astype(int) - kept).max() <= 1
