"""Checkpoints of a training: everything that the next step depends on, in safetensors and JSON, never a pickle.

OUTPUT/checkpoints/00001000/ holds networks.safetensors, optimizer.safetensors, ema.safetensors, random.safetensors and
state.json. A checkpoint is written beside the others and renamed when it is whole; only then the older ones go.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..files import replaced_folder
from ..model.checkpoint import check_safetensors, read_json
from ..model.diffusers_engine.networks import Networks

FOLDER = "checkpoints"
_AVAILABLE = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}  # name in torch -> whether it is there


class Trained(NamedTuple):
    """What a checkpoint is made of.

    Args:
        networks: all three.
        optimizer: of their trained parameters.
        ema: over networks.trained() in their order, or None.
    """

    networks: Networks
    optimizer: torch.optim.Optimizer
    ema: EMAModel | None


class CheckpointNotWritten(OSError):
    """The disk is full, say. The checkpoint before it is whole and in its place."""


def save_checkpoint(output: Path, trained: Trained, state: dict, random_states: list[dict]) -> Path:
    """Write the checkpoint of a step and remove the older ones.

    Args:
        output: folder of the training.
        trained: networks, optimizer and averages.
        state: JSON values, "step" among them, as load_checkpoint gives them back.
        random_states: one of random_state() for each process, in the order of their ranks.

    Returns:
        The folder of the checkpoint.

    Raises:
        CheckpointNotWritten: everything that was there is still there.
    """
    folder = output / FOLDER / f"{state['step']:08d}"
    try:
        with replaced_folder(folder) as part:
            save_file(_contiguous(trained.networks.state_dict()), part / "networks.safetensors")
            tensors, rest = flatten(trained.optimizer.state_dict())
            save_file(tensors, part / "optimizer.safetensors")
            if trained.ema is not None:
                save_file(_contiguous(_shadow(trained)), part / "ema.safetensors")
            drawn = {
                f"{rank}.{name}": value for rank, states in enumerate(random_states) for name, value in states.items()
            }
            save_file(drawn, part / "random.safetensors")
            ema_steps = trained.ema.optimization_step if trained.ema is not None else 0
            content = {**state, "optimizer": rest, "ema_steps": ema_steps}
            (part / "state.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        kept = newest_checkpoint(output)
        raise CheckpointNotWritten(
            f"The checkpoint of step {state['step']} could not be written to {folder} ({error}). "
            f"{f'{kept} is whole' if kept else 'There is none before it'}. Make room on the disk."
        ) from error
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def newest_checkpoint(output: Path) -> Path | None:
    """The folder of the last whole checkpoint under `output`, if there is one."""
    found = [path for path in (output / FOLDER).glob("*") if path.name.isdigit()]
    return max(found, key=lambda path: int(path.name), default=None)


def load_checkpoint(folder: Path, trained: Trained, rank: int) -> dict:
    """Put a checkpoint into `trained`, and its random state into this process.

    Args:
        folder: of the checkpoint.
        trained: networks, optimizer and averages of the same shapes; changed in place.
        rank: of this process; one that the checkpoint has no random state for keeps its own.

    Returns:
        The state that save_checkpoint was given.

    Raises:
        FileNotFoundError, ValueError: names the file that is damaged, missing or of another model.
    """
    state = read_json(folder / "state.json")
    networks = _load(folder / "networks.safetensors")
    _check(networks, trained.networks.state_dict(), folder / "networks.safetensors")
    trained.networks.load_state_dict(networks)
    optimizer = _load(folder / "optimizer.safetensors")
    trained.optimizer.load_state_dict(unflatten(optimizer, state.pop("optimizer")))
    ema_steps = state.pop("ema_steps")
    if trained.ema is not None and (folder / "ema.safetensors").is_file():
        averages = _load(folder / "ema.safetensors")
        shadow = _shadow(trained)
        _check(averages, shadow, folder / "ema.safetensors")
        for name, value in shadow.items():
            value.copy_(averages[name])
        trained.ema.optimization_step = ema_steps
    drawn = _load(folder / "random.safetensors")
    own = {name.removeprefix(f"{rank}."): value for name, value in drawn.items() if name.startswith(f"{rank}.")}
    if own:  # more processes than before have none
        set_random_state(own)
    return state


def random_state() -> dict[str, torch.Tensor]:
    """The state of the global generators of Python, NumPy, torch and its devices, which libraries may draw from."""
    _, python, _ = random.getstate()
    numpy_state = np.random.get_state()
    assert isinstance(numpy_state, tuple)  # a dict where it is asked for
    _, numpy_keys, position, has_gauss, gauss = numpy_state
    states = {
        "python": torch.tensor(python, dtype=torch.int64),
        "numpy": torch.from_numpy(numpy_keys.astype(np.int64)),
        "numpy_rest": torch.tensor([position, has_gauss, gauss], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    return states | {name: device.get_rng_state() for name, device in _devices().items()}


def set_random_state(states: dict[str, torch.Tensor]) -> None:
    """Put back what random_state() gave; the state of a device that this machine lacks is left aside."""
    random.setstate((3, tuple(states["python"].tolist()), None))
    position, has_gauss, gauss = states["numpy_rest"].tolist()
    np.random.set_state(("MT19937", states["numpy"].numpy().astype(np.uint32), int(position), int(has_gauss), gauss))
    torch.set_rng_state(states["torch"])
    for name, device in _devices().items():
        if name in states:
            device.set_rng_state(states[name])


def _devices() -> dict[str, ModuleType]:
    """The modules of torch for devices with a generator of their own that are at hand."""
    return {name: getattr(torch, name) for name, backend in _AVAILABLE.items() if backend.is_available()}


def _shadow(trained: Trained) -> dict[str, torch.Tensor]:
    assert trained.ema is not None
    return dict(zip(trained.networks.trained(), trained.ema.shadow_params, strict=True))


def _contiguous(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def flatten(state_dict: dict) -> tuple[dict[str, torch.Tensor], dict]:
    """Split an optimizer's state_dict into named tensors and the JSON values beside them."""
    tensors, values = {}, {}
    for number, state in state_dict["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{name}"] = value.contiguous()
            else:
                values.setdefault(str(number), {})[name] = value
    # qmap tables of 8-bit optimizers are one tensor under many names, which safetensors refuses
    seen: set[int] = set()
    for name, value in tensors.items():
        tensors[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return tensors, {"state": values, "param_groups": state_dict["param_groups"]}


def unflatten(tensors: dict[str, torch.Tensor], rest: dict) -> dict:
    """Put back together what flatten() split; `rest` may have been JSON meanwhile."""
    state: dict[int, dict] = {int(number): dict(values) for number, values in rest["state"].items()}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value
    return {"state": state, "param_groups": rest["param_groups"]}


def _load(file: Path) -> dict[str, torch.Tensor]:
    check_safetensors(file)
    return load_file(file)


def _check(given: dict, expected: dict, file: Path) -> None:
    shapes = {name: tuple(value.shape) for name, value in expected.items()}
    other = {name: tuple(value.shape) for name, value in given.items()}
    if shapes != other:
        name = min(name for name in {*shapes, *other} if shapes.get(name) != other.get(name))
        raise ValueError(
            f"{file} is of another model: {name} is {other.get(name, 'missing')} there and "
            f"{shapes.get(name, 'absent')} in this call's networks. Resume with the settings that it began with."
        )
