"""Golden data of the official code, and how far ours may stand from it. See tools/fixtures/make.py."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

FIXTURES = Path(__file__).resolve().parent / "fixtures"
TINY = FIXTURES / "face_anon" / "tiny"
GOLDEN = FIXTURES / "golden"
SCALE = 0.18215  # Stable Diffusion's latent scale; the golden latents are scaled, ComfyUI's LATENT is not


def load(name: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / f"{name}.safetensors")


def parameters(name: str) -> dict:
    """The recording's own parameters (degree, guidance, steps, seed...)."""
    with safe_open(GOLDEN / f"{name}.safetensors", framework="pt") as file:
        found = {}
        for key, value in file.metadata().items():
            try:
                found[key] = json.loads(value)
            except json.JSONDecodeError:
                found[key] = value
        return found


def layer_names(layout) -> dict[str, tuple]:
    """Golden name of a layer ("up.0.1": of the blocks that have attention) -> the host's (block, id, index)."""
    names, counts = {}, {}
    for block, layers in layout.blocks.items():
        kind = block.split("_")[0]
        number = counts.setdefault(kind, 0)
        counts[kind] += 1
        names.update({f"{kind}.{number}.{j}": layer for j, layer in enumerate(layers)})
    return names


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference as a share of the largest value; infinite where the shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return ((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()).item()


def relative_norm(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()
