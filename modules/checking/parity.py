"""What a device computes beside what the CPU computes from the same weights. Touches the host: runs its models.

The CPU is the reference: tests/host/test_parity.py holds it to the official code's recordings, and there the host
computes in float32. The weights are numbers that every dtype has (random_model.py), so what is left is the rounding
of the device's arithmetic, whose size depends on its dtype.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..model.comfy_engine import FaceAnonModel
from ..model.loading import load_model_folder
from ..model.references import References
from ..model.sampling import apply_references, sample
from ..model.settings import SamplerSettings
from ..model.states import ImageEmbeds, ReferenceStates, interpolate_states
from . import machine
from .verdicts import Checks
from .work import DEGREE, GUIDANCE, SEED, guided_step

WEIGHT_DTYPES = ("fp32", "fp16", "bf16", "fp8_e4m3fn")
FACES, STEPS = 2, 4

# The largest relative error (norm of the difference by the norm), in units of the dtype's roundoff, that the CPU made
# of random_model.TINY when told to compute in fp16 and in bf16, which agree; test_check_gpu.py measures it again.
MEASURED = {
    "states": 4.8,
    "guided prediction": 10.5,  # 10.43 on a processor of AVX-512 alone, 10.1 on one with instructions for bf16
    "sampled latents": 9.5,  # ... and 9.1
    "embedding": 0.8,  # of weights that are no numbers of fp16, when these are rounded; the arithmetic is in float32
    "VAE encode": 3.2,
    "VAE decode": 1.8,
}
# Sums in another order, and kernels that round in between (attention's weights, parts of a product). In float32 a
# convolution may be Winograd's, which loses some two bits more.
MARGIN, MARGIN_FLOAT32 = 4, 16


def roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of rounding to `dtype`: half of its eps."""
    return torch.finfo(dtype).eps / 2


def tolerances(dtype: torch.dtype) -> dict[str, float]:
    """Stage -> the largest relative error that arithmetic in `dtype` may make."""
    margin = MARGIN_FLOAT32 if dtype == torch.float32 else MARGIN
    return {stage: margin * factor * roundoff(dtype) for stage, factor in MEASURED.items()}


def inputs(model: FaceAnonModel, latents: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """What the UNets are given: pictures, and what the VAE and the image encoder make of them.

    Args:
        model: whose VAE and image encoder run.
        latents: to decode, instead of the model's own.

    Returns:
        Tensors by the names "VAE encode", "VAE decode" and "embedding".
    """
    side = model.resolution
    generator = torch.Generator().manual_seed(SEED)
    coarse = torch.rand(FACES, 3, 8, 8, generator=generator)  # smooth, as pictures are
    pictures = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1).movedim(1, -1)
    encoded = model.encode(pictures)
    return {
        "VAE encode": encoded,
        "VAE decode": model.decode(encoded if latents is None else latents),
        "embedding": model.embed(pictures).embeds,
    }


def outputs(model: FaceAnonModel, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the three UNets make of these inputs, stage by stage.

    Args:
        model: whose UNets run.
        given: what `inputs` gave, of this model or of the reference.

    Returns:
        Name -> tensor: each state by role, half and layer, the guided prediction, the sampled latents.
    """
    embeds, latents = given["embedding"], given["VAE encode"]
    source_embeds, driving_embeds = ImageEmbeds(embeds * (1 - DEGREE), DEGREE), ImageEmbeds(embeds)
    recorded = model.source_reference_net.states(latents, source_embeds)
    driving = model.driving_reference_net.states(latents, driving_embeds)
    references = References(interpolate_states(recorded, DEGREE), driving, source_embeds, driving_embeds)
    found = {f"states {name}": state for name, state in _named_states(recorded, driving)}
    found["guided prediction"] = guided_step(apply_references(model.unet, references))
    seeds = range(SEED, SEED + references.batch)
    sampler = SamplerSettings(steps=STEPS, guidance_scale=GUIDANCE)
    found["sampled latents"] = sample(model.unet, references, seeds, sampler, lambda *_: None)
    return found


def _named_states(*states: ReferenceStates):
    for one in states:
        for half in ("conditional", "unconditional"):
            for layer, state in getattr(one, half).items():
                yield f"{one.role} {half} {'.'.join(map(str, layer))}", state


def record(folder: Path) -> dict[str, torch.Tensor]:
    """Everything that `inputs` and `outputs` give of a model folder of `write_random_model`; to be run on the CPU."""
    model = load_model_folder(folder, weight_dtype="fp32")
    given = inputs(model)
    return {name: value.float().contiguous() for name, value in (given | outputs(model, given)).items()}


def errors(ours: dict[str, torch.Tensor], reference: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest relative error of each stage, see relative_norm.

    Args:
        ours: name -> tensor.
        reference: the same from the CPU.

    Returns:
        Stage -> error; infinite for what is not in the reference.
    """
    found: dict[str, float] = {}
    for name, value in ours.items():
        stage = "states" if name.startswith("states ") else name
        found[stage] = max(found.get(stage, 0.0), relative_norm(value, reference.get(name, torch.empty(0))))
    return found


def check_parity(checks: Checks, folder: Path, reference: dict[str, torch.Tensor]) -> None:
    """Add a verdict on each weight dtype, and on the VAE and the image encoder.

    Arithmetic in float32 goes without TF32, whose roundoff is that of fp16; what TF32 makes of it, where the host
    allows it, is a figure that nothing is held to.

    Args:
        checks: gets the verdicts.
        folder: of the model of `write_random_model`.
        reference: what `record` gave of it.
    """
    for weight_dtype in WEIGHT_DTYPES:
        what = f"parity, weights {weight_dtype}"
        with checks.part(what):
            model = load_model_folder(folder, weight_dtype=weight_dtype)
            dtype = model.unet.model.get_dtype_inference()
            with _without_tf32():
                found = errors(outputs(model, reference), reference)
            _compare(checks, f"{what}, computed in {_name(dtype)}", found, dtype)
            if weight_dtype == "fp32" and machine.device().type == "cuda" and torch.backends.cudnn.allow_tf32:
                found = errors(outputs(model, reference), reference)
                listed = ", ".join(f"{stage} {error:.1e}" for stage, error in found.items())
                checks.tell("float32 with TF32 as the host allows it", listed)
    with checks.part("parity, VAE and image encoder"):
        with _without_tf32():
            own = inputs(model, reference["VAE encode"])
        for part, dtype in (("VAE", model.vae.vae_dtype), ("embedding", model.clip_vision.dtype)):
            found = errors({name: own[name] for name in own if name.startswith(part)}, reference)
            _compare(checks, f"parity, {part} computed in {_name(dtype)}", found, dtype)


def _compare(checks: Checks, what: str, found: dict[str, float], dtype: torch.dtype) -> None:
    allowed = tolerances(dtype)
    listed = ", ".join(f"{stage} {error:.1e} (at most {allowed[stage]:.1e})" for stage, error in found.items())
    checks.check(what, bool(found) and all(error <= allowed[stage] for stage, error in found.items()), listed)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    allowed = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, flag in zip(backends, allowed, strict=True):
            backend.allow_tf32 = flag


def relative_norm(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The norm of the difference as a share of the norm of theirs.

    Infinite where shapes differ, a value is not finite, or theirs are nothing but zeros, which prove nothing.
    """
    ours, theirs = ours.detach().cpu().double(), theirs.detach().cpu().double()
    if ours.shape != theirs.shape or not (ours.isfinite().all() and theirs.isfinite().all() and theirs.any()):
        return float("inf")
    return ((ours - theirs).norm() / theirs.norm()).item()
