"""The command line as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "astronaut.jpg"


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
    run = anonymize(*photos, "--output", folder / "out", "--steps", 2, "--thorough", "none")
    assert {photo: photo.read_bytes() for photo in photos} == before, "an input was changed"
    return folder, run


def test_table_warning_and_status(done):
    _, run = done
    assert run.returncode == 1, run.stderr
    banner = [line.strip("* ") for line in run.stderr.splitlines() if line.startswith("*")]
    assert "demo: " in " ".join(banner) and "synthetic faces of nobody" in " ".join(banner)
    assert "python scripts/get_models.py" in " ".join(banner)
    rows = {line[:15].strip(): line for line in run.stdout.splitlines()}
    assert "88x120" in rows["Secret Name.png"] and "0.93" in rows["Secret Name.png"]
    assert "0: unchanged" in rows["sky.png"]
    assert "failed" in rows["broken.jpg"] and "truncated" in run.stderr


def test_pictures(done):
    folder, _ = done
    assert sorted(file.name for file in (folder / "out").iterdir()) == [
        "Secret Name_anonymized.png",
        "face_anonymizer_journal.jsonl",
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


def test_results_carry_no_metadata(done):
    folder, _ = done
    for file in (folder / "out").glob("*.png"):
        # the mark of provenance alone
        assert b"Secret" not in file.read_bytes() and set(Image.open(file).info) <= {"XML:com.adobe.xmp", "xmp"}


def test_nothing_is_overwritten(done):
    folder, _ = done
    result = folder / "out" / "sky_anonymized.png"
    before = result.read_bytes()
    run = anonymize(folder / "sky.png", "--output", folder / "out")
    assert run.returncode == 1 and "(steps 2, thorough none; this command: steps 25, thorough photos)" in run.stderr
    (folder / "out" / "face_anonymizer_journal.jsonl").unlink()
    run = anonymize(folder / "sky.png", "--output", folder / "out")
    assert run.returncode == 1 and str(result) in run.stderr and "overwritten" in run.stderr
    assert result.read_bytes() == before


def test_unknown_model_missing_photo_and_bad_numbers(tmp_path):
    run = anonymize(PHOTO, "--output", tmp_path, "--model", "nowhere")
    assert run.returncode == 1 and "nowhere" in run.stderr and "get_models.py" in run.stderr
    run = anonymize(tmp_path / "none.jpg", "--output", tmp_path)
    assert run.returncode == 1 and "none.jpg" in run.stderr
    for option, value in (("--degree", "nan"), ("--steps", "0"), ("--steps", "1001")):
        run = anonymize(PHOTO, "--output", tmp_path, option, value)
        assert run.returncode == 2 and option in run.stderr
    for arguments in (("--redact", "--model", "x"), ("--workers", 2), ("--server", "http://127.0.0.1:1")):
        run = anonymize(PHOTO, "--output", tmp_path, *arguments)
        assert run.returncode == 2 and arguments[0] in run.stderr
    assert list(tmp_path.iterdir()) == []
