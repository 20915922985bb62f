"""The command line as a user calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.scripts import anonymize as script

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "astronaut.jpg"


# Their run starts a ComfyUI of its own, which takes longer than all else here. A plain run has its parts: a stand-in
# that is started (tests/unit/test_command_start.py), commands on the server of the tests (test_folder_runs.py), whole
# runs in this process (tests/unit/test_folder_run_without_comfyui.py), and both engines side by side
# (test_diffusers_engine.py).
with_its_own_comfyui = pytest.mark.long


def anonymize(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "anonymize.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "COLUMNS": "120"})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run over a photo with a face, one without and one that is cut off."""
    folder = tmp_path_factory.mktemp("photos")
    Image.open(PHOTO).save(folder / "Secret Name.png")
    Image.new("RGB", (300, 200), (90, 120, 200)).save(folder / "sky.png")
    (folder / "broken.jpg").write_bytes(PHOTO.read_bytes()[:5000])
    photos = sorted(folder.iterdir())
    before = {photo: photo.read_bytes() for photo in photos}
    run = anonymize(*photos, "--demo", "--output", folder / "out", "--steps", 2, "--thorough", "none")
    assert {photo: photo.read_bytes() for photo in photos} == before, "an input was changed"
    return folder, run


@with_its_own_comfyui
def test_table_warning_and_status(done):
    _, run = done
    assert run.returncode == 1, run.stderr
    assert "Starting ComfyUI of" in run.stderr, "a ComfyUI that is there is taken"
    banner = [line.strip("* ") for line in run.stderr.splitlines() if line.startswith("*")]
    assert "demo: " in " ".join(banner) and "synthetic faces of nobody" in " ".join(banner)
    assert "python scripts/get_models.py" in " ".join(banner)
    rows = {line[:15].strip(): line for line in run.stdout.splitlines()}
    assert "88x120" in rows["Secret Name.png"] and "0.93" in rows["Secret Name.png"]
    assert "0: unchanged" in rows["sky.png"]
    assert "failed" in rows["broken.jpg"] and "truncated" in run.stderr


@with_its_own_comfyui
def test_pictures(done):
    folder, _ = done
    assert sorted(file.name for file in (folder / "out").iterdir()) == [
        "Secret Name_anonymized.png",
        "face_anonymizer_journal.jsonl",
        "face_anonymizer_report.csv",
        "face_anonymizer_report.html",
        "face_anonymizer_report.json",
        "sky_anonymized.png",
    ]
    before, after = (
        np.asarray(Image.open(file).convert("RGB")).astype(int)
        for file in (folder / "Secret Name.png", folder / "out" / "Secret Name_anonymized.png")
    )
    changed = (before != after).any(axis=2)
    assert changed[75:160, 190:262].mean() > 0.99 and not changed[260:].any()
    sky = np.asarray(Image.open(folder / "out" / "sky_anonymized.png"))
    assert (sky == (90, 120, 200)).all()


@with_its_own_comfyui
def test_without_comfyui_it_is_the_same_picture_and_the_same_report(done, tmp_path):
    """But for rounding; and what results are marked with."""
    folder, _ = done
    photos = [str(folder / name) for name in ("Secret Name.png", "sky.png")]
    asked = [*photos, "--output", str(tmp_path / "out"), "--steps", "2", "--thorough", "none", "--demo"]
    asked += ["--engine", "diffusers"]
    with torch.inference_mode(False):  # a command runs as a process of its own
        assert script.main(asked) == 0
    for name in ("Secret Name_anonymized.png", "sky_anonymized.png"):
        with Image.open(folder / "out" / name) as theirs, Image.open(tmp_path / "out" / name) as ours:
            apart = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).max()
            print(f"\n{name}: {apart} levels", end="")
            assert apart <= 1 and ours.info.get("xmp") == theirs.info.get("xmp")
    reports = [json.loads((place / "out" / "face_anonymizer_report.json").read_text()) for place in (folder, tmp_path)]
    theirs, ours = ({file["source"]: file for file in report["files"]} for report in reports)
    assert reports[1]["settings"].pop("engine") == "diffusers" and reports[0]["settings"] == reports[1]["settings"]
    for name, file in ours.items():
        # what a run is not asked for: the graph's single nodes know neither attempts nor degree of a face
        own, of_a_face = ("seconds", "number", "result_sha256", "notes"), ("attempts", "degree")
        assert file.keys() == theirs[name].keys()
        for one, other in zip(file["faces"], theirs[name]["faces"], strict=True):
            assert one | dict.fromkeys(of_a_face) == other
        assert all(file[key] == theirs[name][key] for key in file if key not in (*own, "faces"))


@with_its_own_comfyui
def test_results_carry_no_metadata(done):
    folder, _ = done
    for file in (folder / "out").glob("*.png"):
        # the mark of provenance alone
        assert b"Secret" not in file.read_bytes() and set(Image.open(file).info) <= {"XML:com.adobe.xmp", "xmp"}


@with_its_own_comfyui
def test_nothing_is_overwritten(done):
    folder, _ = done
    result = folder / "out" / "sky_anonymized.png"
    before = result.read_bytes()
    run = anonymize(folder / "sky.png", "--demo", "--output", folder / "out")
    assert run.returncode == 1 and "(steps 2, thorough none; this command: steps 25, thorough photos)" in run.stderr
    (folder / "out" / "face_anonymizer_journal.jsonl").unlink()
    run = anonymize(folder / "sky.png", "--demo", "--output", folder / "out")
    assert run.returncode == 1 and str(result) in run.stderr and "overwritten" in run.stderr
    assert result.read_bytes() == before


# Calls that end early, each as in a process of its own, in one: most of the time of such a call goes into imports.
ONE_AFTER_THE_OTHER = """
import contextlib, io, json, runpy, sys
script, calls, answers = sys.argv[1], json.loads(sys.argv[2]), []
sys.path.insert(0, sys.argv[3])
for arguments in calls:
    sys.argv, said, status = [script, *arguments], io.TextIOWrapper(io.BytesIO()), 0
    with contextlib.redirect_stderr(said):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as stopped:
            status = stopped.code
    said.seek(0)
    answers.append([status, said.read()])
print()
print(json.dumps(answers))
"""


def anonymize_each(calls: list[tuple]) -> list[tuple[int, str]]:
    """Exit status and standard error of each call."""
    arguments = json.dumps([list(map(str, call)) for call in calls])
    script = ROOT / "scripts" / "anonymize.py"
    command = [sys.executable, "-c", ONE_AFTER_THE_OTHER, str(script), arguments, str(script.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "COLUMNS": "120"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_unknown_model_missing_photo_and_bad_numbers(tmp_path, server):
    refused = [
        (1, (PHOTO, "--model", "nowhere", "--server", server.url), ("nowhere", "get_models.py")),
        (1, (tmp_path / "none.jpg",), ("none.jpg",)),
        (2, (PHOTO, "--degree", "nan"), ("--degree",)),
        (2, (PHOTO, "--steps", "0"), ("--steps",)),
        (2, (PHOTO, "--steps", "1001"), ("--steps",)),
        (2, (PHOTO, "--redact", "--model", "x"), ("--redact",)),
        (2, (PHOTO, "--workers", 2), ("--workers",)),
        (2, (PHOTO, "--demo", "--redact"), ("--demo",)),
        (1, (PHOTO,), ("astronaut.jpg is a file of your own", "--redact covers", "get_models.py", "--demo takes demo")),
        (2, (PHOTO, "--server", "http://127.0.0.1:1"), ("--server",)),
    ]
    answers = anonymize_each([(*arguments, "--output", tmp_path) for _, arguments, _ in refused])
    for (status, arguments, words), (ended_with, said) in zip(refused, answers, strict=True):
        assert ended_with == status, (arguments, said)
        assert all(word in said for word in words), (arguments, said)
    assert list(tmp_path.iterdir()) == []
