"""What a face costs on the device beside the official formulation, and what the device reaches. Touches the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..model.loading import load_model_folder
from ..model.memory import sampled_at_once, weights_size
from ..model.sampling import apply_references
from . import machine, parity, work
from .meter import OFFICIAL, OURS, Cost, Meter, measure
from .verdicts import Checks

REPEATS = 3
TOGETHER = 8  # faces of a step in which a card has something to do
# Counted of a guided step of the published architecture at 64x64 latents: 0.5545 of the official one.
FLOPS_SHARE = 0.555
_COUNTED_KERNELS = ("pytorch", "sub_quad", "split", "basic")  # whose FLOPs torch knows


def check_costs(checks: Checks, folder: Path, steps: int, full_size: bool, say: Callable[[str], None]) -> None:
    """Measure a guided step and a whole face, ours beside the official formulation, and add the verdicts.

    What is not of full size runs once: its seconds are no figure of anything.

    Args:
        checks: gets the verdicts.
        folder: of the model.
        steps: of the whole face.
        full_size: whether the model has the published architecture, whose share of the official work is known.
        say: takes lines of progress.
    """
    device = machine.device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    with Meter(Cost(), device, counting=False) as load:
        model = load_model_folder(folder)
    unet = model.unet.model
    dtype = unet.get_dtype_inference()
    count = sum(parameter.numel() for parameter in unet.diffusion_model.parameters())
    dtypes = f"weights {unet.get_dtype()}, computed in {dtype}".replace("torch.", "")
    checks.tell("model", f"{count / 1e6:.0f} M parameters a network, {dtypes}, loaded in {load.cost.seconds[0]:.1f} s")

    kernel_name, kernel = next(iter(work.attention_kernels("default").items()))
    side = model.resolution
    pixels = torch.rand(1, side, side, 3, generator=torch.Generator().manual_seed(work.SEED))
    rows: dict[str, dict[str, Cost]] = {}

    def phase(what: str, piece: Callable, formulations=(OURS, OFFICIAL)) -> dict:
        works = {one: (lambda meter, one=one: piece(one, meter)) for one in formulations}
        repeats = REPEATS if full_size else 1
        rows[what], results = measure(what, works, device, repeats, say)
        return results

    encoded = phase("encode", lambda what, meter: work.encode(model, pixels, what, meter))[OURS]
    references = phase("references", lambda what, meter: work.references(model, encoded, what, meter))[OURS]
    applied = apply_references(model.unet, references)
    variants = {what: work.variant(applied, what, kernel) for what in (OURS, OFFICIAL)}
    outputs = phase("step", lambda what, meter: work.guided_step(variants[what], meter))
    phase("decode", lambda what, meter: work.decode(model, encoded.latents, meter), formulations=(OURS,))

    ours, official = rows["step"][OURS], rows["step"][OFFICIAL]
    error = parity.relative_norm(outputs[OURS], outputs[OFFICIAL])
    allowed = parity.tolerances(dtype)["guided prediction"]
    checks.check("a guided step is the official one", error <= allowed, f"{error:.1e} apart, at most {allowed:.1e}")
    share = ours.flops / official.flops
    found = f"{ours.flops / 1e12:.2f} of {official.flops / 1e12:.2f} TFLOP, {share:.3f} of the official work"
    if full_size and kernel_name in _COUNTED_KERNELS:
        checks.check("work of a guided step", share <= FLOPS_SHARE, f"{found}, at most {FLOPS_SHARE}")
    else:
        checks.tell("work of a guided step", found)
    checks.tell("speed of a guided step", f"{_speed(ours, official, name)}; attention {kernel_name}")
    shape = applied.latent["samples"].shape[1:]
    at_once = sampled_at_once(model.unet, shape, (references.source_states, references.driving_states))
    if at_once < TOGETHER or (full_size and device.type == "cpu"):
        checks.tell(f"a guided step of {TOGETHER} faces", f"not tried: {at_once} go through at once here, on {name}")
    else:
        # what one face's references hold serves all of them: the work is that of as many faces
        latents = applied.latent["samples"].repeat(TOGETHER, 1, 1, 1)
        together = apply_references(model.unet, references)._replace(latent={"samples": latents})
        variants = {what: work.variant(together, what, kernel) for what in (OURS, OFFICIAL)}
        phase(f"step of {TOGETHER}", lambda what, meter: work.guided_step(variants[what], meter))
        costs = rows[f"step of {TOGETHER}"]
        checks.tell(f"a guided step of {TOGETHER} faces", _speed(costs[OURS], costs[OFFICIAL], name))
    others = [f"{what} {rows[what][OURS].median:.3f} s" for what in ("encode", "references", "decode")]
    checks.tell("once a face", ", ".join(others))

    face = {}
    for what in (OURS, OFFICIAL):
        face[what] = Cost()
        meter = Meter(face[what], device, counting=False)
        painted = work.whole_face(model, pixels, steps, what, kernel=kernel, meter=meter)
        if what == OURS:
            whole = bool(painted.isfinite().all()) and tuple(painted.shape) == tuple(pixels.shape)
            checks.check("a face", whole, f"{tuple(painted.shape[1:3])} pixels, all values finite: {whole}")
        say(f"a face of {steps} steps, {what}: {face[what].seconds[0]:.2f} s")
    seconds = [face[what].seconds[0] for what in (OURS, OFFICIAL)]
    checks.tell(f"a face of {steps} steps", f"{seconds[0]:.2f} s, official {seconds[1]:.2f} s, each once")
    peaks = {what: max(cost.peak for cost in (face[what], rows["step"][what])) / 2**30 for what in (OURS, OFFICIAL)}
    # both halves of the guidance, which the host predicts together where there is room
    counted = (weights_size(model.unet) + model.unet.model.memory_required([2, *shape])) / 2**30
    found = (
        f"at most {peaks[OURS]:.2f} GiB in use, official {peaks[OFFICIAL]:.2f} GiB; the host counts {counted:.2f} GiB "
    )
    checks.tell("memory", f"{found}for the UNet and a guided step; {at_once} faces would go through at once here")


def _speed(ours: Cost, official: Cost, device: str) -> str:
    """Seconds of both formulations, and how much of the device's peak ours reaches."""
    reached, peak = ours.flops / ours.median / 1e12, machine.peak_of(device)
    known = f"{reached / peak:.0%} of the card's {peak:g}" if peak else f"unknown card ({device}): no peak to compare"
    seconds = f"{ours.median:.4f} s, official {official.median:.4f} s ({ours.median / official.median:.2f})"
    return f"{seconds}; {reached:.1f} TFLOP/s, {known}"
