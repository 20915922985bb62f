"""The standing attacks (tools/attacks): none gets through, and each finds a leak that was planted."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps

from face_anonymizer.tools.attacks import fuzzed_prompts, hostile_folders, hostile_journals, run
from face_anonymizer.tools.attacks.tally import Tally, choose

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("case", hostile_folders.CASES)
def test_hostile_folders(case, tmp_path):
    assert hostile_folders.try_case(hostile_folders.CASES[case], tmp_path) == ("", "")


# Those of single fields stand in test_jobs.py too: a part of them goes through a whole run here.
@pytest.mark.parametrize("case", [*choose(hostile_journals.CASES, 25, 1), *list(hostile_journals.CASES)[-40:]])
def test_hostile_journals(case, tmp_path):
    assert hostile_journals.try_case(hostile_journals.CASES[case], tmp_path) == ("", "")


@pytest.mark.parametrize("seed", range(5))
def test_journals_and_photos_with_bytes_changed(seed, tmp_path):
    (tmp_path / "a").mkdir()
    assert hostile_journals.try_case(hostile_journals.random_case(seed), tmp_path / "a") == ("", "")
    (tmp_path / "b").mkdir()
    assert hostile_folders.try_case(hostile_folders.spoiled(seed), tmp_path / "b") == ("", "")


def test_a_planted_leak_is_found_in_process(tmp_path):
    for attack, case in ((hostile_folders, "one pixel"), (hostile_journals, "an open line")):
        (tmp_path / case).mkdir()
        assert attack.try_case(attack.CASES[case], tmp_path / case, plant=True)[0]


def test_a_face_that_is_saved_as_changed_is_found(tmp_path):
    """As fuzzed_prompts plants one; a picture that was changed, or of a face that was kept, is no leak."""
    photo = Image.effect_noise((224, 224), 60).convert("RGB")
    server, original = SimpleNamespace(folder=tmp_path), np.asarray(photo).astype(int)
    prompt = {"1": {"class_type": "FaceAnonRedactFaces", "inputs": {}}}
    prompt["2"] = {"class_type": "FaceAnonSaveImage", "inputs": {"images": ["1", 0]}}
    history = fuzzed_prompts.planted(server, photo)
    assert "shows the face" in fuzzed_prompts.find_leak(server, prompt, history, original)
    history = fuzzed_prompts.planted(server, ImageOps.invert(photo))
    assert fuzzed_prompts.find_leak(server, prompt, history, original) == ""
    history = fuzzed_prompts.planted(server, photo)
    history["outputs"]["1"]["face_anon_report"][0]["faces"][0]["action"] = "kept"
    assert fuzzed_prompts.find_leak(server, prompt, history, original) == ""


def test_the_exit_status_tells(tmp_path, capsys):
    """One leak or one failure is enough; the line has the three figures."""
    for more, status in (({}, 0), ({"leak": "x"}, 1), ({"failure": "x"}, 1)):
        tally = Tally("an attack")
        tally.count("good")
        tally.count("other", **more)
        assert tally.close() == status
        said = capsys.readouterr().out
        assert said.splitlines()[-1] == f"an attack: tried 2, survived {2 - status}, leaked {len(more.get('leak', ''))}"


@pytest.mark.long  # in a process of its own; a planted leak is found above
def test_all_attacks_are_run_and_a_planted_leak_fails_the_run():
    hostile = (f"hostile_{of}" for of in ("folders", "hub", "journals", "models"))
    assert set(run.attacks()) >= {"fuzzed_prompts", *hostile}
    arguments = ["--share", "0.02", "--seed", "5", "--only", "hostile_folders", "hostile_journals"]
    arguments += ["--plant", "hostile_journals"]
    command = [sys.executable, ROOT / "tools" / "run.py", "attacks.run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if ": tried " in line]
    assert lines[0] == "hostile folders: tried 2, survived 2, leaked 0" and lines[1].endswith("survived 0, leaked 6")
    assert done.stdout.splitlines()[-1] == "attacks with seed 5: hostile_journals FAILED"


def test_the_checks_of_ci_attack_too():
    assert "tools/run.py attacks.run --share 0.1 --seed" in (ROOT / ".ci" / "run").read_text()
