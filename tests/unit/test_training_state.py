"""Checkpoints: everything comes back, and what is there stays there when the next one cannot be written."""

import random
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from training_sets import small_unet

from face_anonymizer.modules.model.diffusers_engine.networks import ATTENTION
from face_anonymizer.modules.training import state
from face_anonymizer.modules.training.start import make_networks
from face_anonymizer.modules.training.state import (
    CheckpointNotWritten,
    Trained,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)


def make_trained(folder, seed=0, ema=True):
    networks = make_networks(small_unet(folder), seed, "block_first", ATTENTION)
    parameters = list(networks.trained().values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    return Trained(networks, optimizer, EMAModel(parameters, decay=0.9, foreach=True) if ema else None)


def take_step(trained, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in trained.networks.trained().values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    trained.optimizer.step()
    if trained.ema is not None:
        trained.ema.step(trained.networks.trained().values())


def content(trained):
    """Everything that a next step depends on, by name."""
    found = {f"weight {name}": value.clone() for name, value in trained.networks.state_dict().items()}
    for number, values in trained.optimizer.state_dict()["state"].items():
        found |= {f"{number} {name}": value.clone() for name, value in values.items()}
    if trained.ema is not None:
        found |= {f"ema {i}": value.clone() for i, value in enumerate(trained.ema.shadow_params)}
    return found


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@contextmanager
def full_disk(limit=100_000):
    """No file grows beyond `limit` bytes: a write fails in the middle, as on a full disk."""
    resource = pytest.importorskip("resource")  # Windows has none
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ema", [True, False])
def test_everything_comes_back(tmp_path, ema):
    trained = make_trained(tmp_path, ema=ema)
    take_step(trained)
    saved = save_checkpoint(tmp_path, trained, {"step": 7, "note": [1, "a"]}, [state.random_state()])
    assert {file.suffix for file in saved.iterdir()} == {".safetensors", ".json"}
    expected = content(trained)
    other = make_trained(tmp_path, seed=1, ema=ema)
    assert load_checkpoint(newest_checkpoint(tmp_path), other, 0) == {"step": 7, "note": [1, "a"]}
    assert_equal(content(other), expected)
    for either in (trained, other):
        take_step(either, seed=1)
    assert_equal(content(other), content(trained))


def test_random_states_of_every_process(tmp_path):
    trained, states = make_trained(tmp_path), []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        random.gauss(0, 1)
        states.append(state.random_state())
    save_checkpoint(tmp_path, trained, {"step": 1}, states)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    random.gauss(0, 1)
    expected = random.random(), np.random.rand(), torch.rand(1)
    load_checkpoint(newest_checkpoint(tmp_path), trained, rank=0)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


@pytest.mark.parametrize(
    ("device", "backend"),
    [(torch.cuda, torch.cuda), (torch.xpu, torch.xpu), (torch.mps, torch.backends.mps)],
    ids=["cuda", "xpu", "mps"],
)
def test_random_states_of_devices(tmp_path, monkeypatch, device, backend):
    """A device's own generator, in whose place one of the CPU stands; a machine without it passes its state over."""
    generator = torch.Generator().manual_seed(3)
    trained = make_trained(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(backend, "is_available", lambda: True)
        patched.setattr(device, "get_rng_state", generator.get_state)
        patched.setattr(device, "set_rng_state", generator.set_state)
        save_checkpoint(tmp_path, trained, {"step": 1}, [state.random_state()])
        expected = torch.rand(4, generator=generator)
        load_checkpoint(newest_checkpoint(tmp_path), trained, rank=0)
        assert torch.equal(torch.rand(4, generator=generator), expected)
    load_checkpoint(newest_checkpoint(tmp_path), trained, rank=0)


def test_one_checkpoint_is_kept(tmp_path):
    trained = make_trained(tmp_path)
    for step in (5, 10, 12):
        save_checkpoint(tmp_path, trained, {"step": step}, [])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000012"]


def test_full_disk_leaves_the_checkpoint_before(tmp_path):
    trained = make_trained(tmp_path)
    before = content(trained)
    kept = save_checkpoint(tmp_path, trained, {"step": 5}, [])
    take_step(trained)
    message = r"checkpoint of step 6 could not be written .*00000005 is whole"
    with full_disk(), pytest.raises(CheckpointNotWritten, match=message):
        save_checkpoint(tmp_path, trained, {"step": 6}, [])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000005"]
    assert newest_checkpoint(tmp_path) == kept
    load_checkpoint(kept, trained, 0)
    assert_equal({k: v for k, v in content(trained).items() if not k[0].isdigit()}, before)


def test_half_written_checkpoint_of_a_kill_is_none(tmp_path):
    trained = make_trained(tmp_path)
    assert newest_checkpoint(tmp_path) is None
    kept = save_checkpoint(tmp_path, trained, {"step": 5}, [])
    part = tmp_path / "checkpoints" / "00000006.part"
    part.mkdir()
    (part / "networks.safetensors").write_bytes(b"half")
    assert newest_checkpoint(tmp_path) == kept
    save_checkpoint(tmp_path, trained, {"step": 6}, [])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000006"]


def test_checkpoint_of_another_model(tmp_path):
    trained = make_trained(tmp_path)
    saved = save_checkpoint(tmp_path, trained, {"step": 5}, [])
    config = small_unet(tmp_path)
    config.write_text(config.read_text().replace('"in_channels": 4', '"in_channels": 8'))
    networks = make_networks(config, 0, "block_first", ATTENTION)
    other = Trained(networks, torch.optim.AdamW(networks.trained().values()), None)
    message = r"networks.safetensors is of another model: .*conv_in.weight is \(32, 4, 3, 3\) there and \(32, 8, 3, 3\)"
    with pytest.raises(ValueError, match=message):
        load_checkpoint(saved, other, 0)


def test_damaged_checkpoint(tmp_path):
    trained = make_trained(tmp_path)
    saved = save_checkpoint(tmp_path, trained, {"step": 5}, [])
    file = saved / "optimizer.safetensors"
    file.write_bytes(b"\x00" * 40)
    with pytest.raises(ValueError, match=r"optimizer.safetensors .* is cut off or not a safetensors file"):
        load_checkpoint(saved, trained, 0)


def test_state_of_an_8_bit_optimizer():
    """bitsandbytes keeps bytes, one table under many names, and counts in Python."""
    table = torch.linspace(-1, 1, 256)
    levels = torch.arange(8, dtype=torch.uint8)
    before = {
        "state": {i: {"step": 3, "state1": levels + i, "qmap1": table} for i in range(2)},
        "param_groups": [{"lr": 1e-5, "betas": (0.9, 0.999), "params": [0, 1]}],
    }
    tensors, rest = state.flatten(before)
    assert len({value.data_ptr() for value in tensors.values()}) == len(tensors)
    after = state.unflatten(tensors, rest)
    assert after["state"][1]["step"] == 3
    assert torch.equal(after["state"][1]["state1"], levels + 1)
    assert torch.equal(after["state"][0]["qmap1"], table)
    assert after["param_groups"] == before["param_groups"]
