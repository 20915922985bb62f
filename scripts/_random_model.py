"""Write a model folder of the published architecture and full size, with random weights.

What a face costs hangs on the shapes of the weights, not on their values: so benchmark.py runs at full size without a
download. The shapes are those that the tests hold the loader to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from _pack import ROOT, import_pack

FULL_SIZE = ROOT / "tests" / "fixtures" / "golden" / "full_size_keys.json"


def write_random_model(folder: Path, dtype: torch.dtype, seed: int, say: Callable[[str], None]) -> None:
    """A whole model folder of the published architecture with random weights; all three UNets are one file on disk.

    `folder` is there and empty; `say` takes lines of progress. SystemExit where the description of the model, which
    is among the fixtures of the tests, is missing.
    """
    if not FULL_SIZE.is_file():
        raise SystemExit(f"{FULL_SIZE}, which describes the full-size model, is missing; give --model instead.")
    from safetensors.torch import save_file

    checkpoint = import_pack("modules.checkpoint")
    full_size = json.loads(FULL_SIZE.read_text(encoding="utf-8"))
    generator = torch.Generator().manual_seed(seed)
    for network in (checkpoint.UNET, checkpoint.VAE, checkpoint.IMAGE_ENCODER):  # also the names in FULL_SIZE
        say(f"writing random weights: {network}")
        (folder / network).mkdir()
        (folder / network / "config.json").write_text(json.dumps(full_size[f"{network}_config"]), encoding="utf-8")
        tensors = {key: _random(key, shape, generator).to(dtype) for key, shape in full_size[network].items()}
        save_file(tensors, folder / network / "model.safetensors")
    for network in (checkpoint.SOURCE_REFERENCE_NET, checkpoint.DRIVING_REFERENCE_NET):
        (folder / network).mkdir()
        for file in (folder / checkpoint.UNET).iterdir():
            os.link(file, folder / network / file.name)


def _random(key: str, shape: list[int], generator: torch.Generator) -> torch.Tensor:
    """Weights that keep the size of what goes through them, as trained ones do."""
    if key.endswith(".bias"):
        return torch.zeros(shape)
    if len(shape) == 1 and "norm" in key:
        return torch.ones(shape)
    return torch.randn(shape, generator=generator) / max(1, torch.Size(shape[1:]).numel()) ** 0.5
