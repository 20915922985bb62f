"""A training that was killed and resumed has the weights of an unbroken one, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_sets import make_set, read_log, settings_for, train

from face_anonymizer.modules.training.state import newest_checkpoint

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train.py"
END = 9
FILES = ("networks.safetensors", "ema.safetensors", "optimizer.safetensors")


def curriculum(folder, **options):
    """END steps over two lists, the second from step 6 on."""
    folder.mkdir()
    first, second = make_set(folder / "first", 8), make_set(folder / "second", 5)
    options = {"steps": END, "checkpoint_every": 3, "accumulate": 2, "phase_2_at": 6, **options}
    return settings_for(folder, first, data_phase_2=(second,), **options)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The checkpoint of a training from 0 to END."""
    settings = curriculum(tmp_path_factory.mktemp("unbroken") / "set")
    train(settings)
    return newest_checkpoint(settings.output)


def assert_same_weights(ours, theirs):
    for name in FILES:
        mine, other = load_file(ours / name), load_file(theirs / name)
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[key], other[key]) for key in mine), name


def command(settings):
    """The command line of some settings."""
    arguments = [sys.executable, str(SCRIPT), str(settings.output)]
    for name in (
        "data", "data_phase_2", "phase_2_at", "unet_config", "vae", "image_encoder", "trained_reference", "batch",
        "accumulate", "learning_rate", "log_every", "steps", "checkpoint_every",
    ):  # fmt: skip
        value = getattr(settings, name)
        arguments += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    return [*arguments, "--cache"]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_killed_and_resumed(tmp_path, unbroken, number):
    settings = curriculum(tmp_path / "set", steps=10_000)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command(settings), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        log = settings.output / "log.jsonl"
        ends = time.monotonic() + 120
        while not (log.is_file() and len(log.read_text().splitlines()) >= 4):
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < ends
            time.sleep(0.02)
        process.send_signal(number)
        code = process.wait(60)
    finally:
        process.kill()
        process.stderr.close()
    stood = int(newest_checkpoint(settings.output).name)
    if number == signal.SIGTERM:  # ends by itself after its step
        assert code == 0
        assert (settings.output / "model" / "face_anon.json").is_file()
        assert stood == len(read_log(settings.output)) >= 4
    else:
        assert code == -number
        assert stood % 3 == 0
    assert 3 <= stood < END
    train(replace(settings, steps=END, resume=True))
    assert_same_weights(newest_checkpoint(settings.output), unbroken)
    assert [line["step"] for line in read_log(settings.output)] == list(range(1, END + 1))


def test_resumed_in_the_second_phase(tmp_path, unbroken):
    settings = curriculum(tmp_path / "set")
    train(replace(settings, steps=8))
    train(replace(settings, resume=True))
    assert_same_weights(newest_checkpoint(settings.output), unbroken)


@pytest.mark.long
def test_resumed_without_the_cache(tmp_path):
    """Pictures read as they are needed come in the same order again."""
    settings = curriculum(tmp_path / "set", cache=False, steps=6, phase_2_at=3)
    train(settings)
    whole = newest_checkpoint(settings.output)
    halves = replace(settings, output=tmp_path / "halves", workers=1)
    train(replace(halves, steps=2))
    train(replace(halves, resume=True))
    assert_same_weights(newest_checkpoint(halves.output), whole)


def test_looking_on_changes_nothing(tmp_path, unbroken):
    """Validation samples with the moving averages and puts the weights back."""
    held_out = make_set(tmp_path / "held_out", 3)
    settings = curriculum(tmp_path / "set", validation_data=(held_out,), validate_every=4, validation_steps=2)
    train(settings)
    assert_same_weights(newest_checkpoint(settings.output), unbroken)
    losses = [line["validation_loss"] for line in read_log(settings.output) if "validation_loss" in line]
    assert len(losses) == 2
    assert {path.name for path in (settings.output / "samples").iterdir()} == {"00000004.png", "00000008.png"}
    events = next((settings.output / "tensorboard").iterdir()).read_bytes()
    assert all(name in events for name in (b"validation_loss", b"samples", b"learning_rate"))


def test_resume_needs_to_be_said(tmp_path):
    settings = curriculum(tmp_path / "set", steps=1)
    train(settings)
    with pytest.raises(ValueError, match=r"checkpoints/00000001 holds a training. --resume continues it"):
        train(settings)
    with pytest.raises(ValueError, match=r"was trained with routing 'block_first', this call asks for 'per_layer'"):
        train(replace(settings, resume=True, routing="per_layer"))


def test_other_settings_are_told(tmp_path, caplog):
    settings = curriculum(tmp_path / "set", steps=1)
    train(settings)
    train(replace(settings, steps=2, resume=True, learning_rate=1e-4))
    assert "Resumed with other settings" in caplog.text
    assert "'learning_rate': (0.001, 0.0001)" in caplog.text


def test_export_alone(tmp_path):
    """--steps 0 --resume writes the model folder from the checkpoint."""
    settings = curriculum(tmp_path / "set", steps=2)
    train(settings)
    model = settings.output / "model"
    whole = {file.relative_to(model): file.read_bytes() for file in model.rglob("*") if file.is_file()}
    (model / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    train(replace(settings, steps=0, resume=True))
    assert {file.relative_to(model): file.read_bytes() for file in model.rglob("*") if file.is_file()} == whole
    assert json.loads((model / "face_anon.json").read_text()) == {"routing": "block_first", "resolution": 32}
