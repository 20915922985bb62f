"""The pieces of work of one face, ours and the official formulation of them. Touches the host: runs its models.

In every self-attention layer the official code (hanweikung/face_anon_simple) appends the source's and the driving state
to the N tokens of the picture and sends all 3N through the layer: queries, keys, values and the output projection. Then
it keeps the first N rows. Ours asks N queries of the same 3N keys and values. All other work of a step is the same, and
so is its output. `official_formulation` does the official work on our weights, through the same host and with the same
attention kernel, so that nothing but the formulation differs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import comfy.sample
import comfy.samplers
import torch
from comfy.ldm.modules import attention

from ..model.comfy_engine import FaceAnonModel
from ..model.references import EncodedImages, References
from ..model.sampling import apply_references
from .meter import OFFICIAL

DEGREE, GUIDANCE, SEED = 1.25, 4.0, 0

_UNMEASURED = contextlib.nullcontext()


def encode(model: FaceAnonModel, pixels: torch.Tensor, formulation: str, meter=_UNMEASURED) -> EncodedImages:
    """Encode a picture that is source and driving image at once; the official VAE encodes it twice.

    Args:
        model: whose VAE and image encoder run.
        pixels: float [1, H, W, 3], 0..1.
        formulation: OURS or OFFICIAL, see meter.py.
        meter: is entered while the work runs.
    """
    with meter:
        for _ in range(2):  # a graph of single nodes embeds once for each degree, as the official code does
            embeds = model.embed(pixels)
        for _ in range(2 if formulation == OFFICIAL else 1):
            latents = model.encode(pixels)
    return EncodedImages(latents, embeds)


def references(model: FaceAnonModel, encoded: EncodedImages, formulation: str, meter=_UNMEASURED) -> References:
    """Make references of an encoded picture; the official driving net gets its image twice, once for each half.

    Args:
        model: whose ReferenceNets run.
        encoded: what `encode` gave.
        formulation: OURS or OFFICIAL.
        meter: is entered while the work runs.

    Returns:
        The references of one face.
    """
    times = 2 if formulation == OFFICIAL else 1
    driving = EncodedImages(encoded.latents.expand(times, -1, -1, -1), encoded.embeds)
    with meter:
        found = References.of(model, encoded, driving, DEGREE)
    return found.part(slice(0, 1))  # both halves read the same, so that one will do here too


def official_formulation(model):
    """A clone of a MODEL with references on it that also asks the reference tokens, and drops their rows."""

    def ask_all(x, context, value, extra_options):
        return context, context, value  # the patch before this one has made [x, source, driving] of context

    def keep_first(out, extra_options):
        return out[:, : out.shape[1] // 3]

    model = model.clone()
    model.set_model_attn1_patch(ask_all)
    model.set_model_attn1_output_patch(keep_first)
    return model


def attention_kernels(chosen: str) -> dict[str, Callable]:
    """Name -> attention function of the host: its default on this machine, torch's, or both if they differ."""
    kernels = {"default": [attention.optimized_attention], "pytorch": [attention.attention_pytorch]}
    kernels["both"] = kernels["default"] + kernels["pytorch"]
    return {kernel.__name__.removeprefix("attention_"): kernel for kernel in kernels[chosen]}


def variant(applied, formulation: str, kernel: Callable):
    """A clone of applied references with the formulation and the attention kernel to measure.

    Args:
        applied: what apply_references gave.
        formulation: OURS or OFFICIAL.
        kernel: an attention function of the host, see attention_kernels.
    """
    model = official_formulation(applied.model) if formulation == OFFICIAL else applied.model.clone()

    def attend(_, *args, **kwargs):
        return kernel(*args, **kwargs)

    model.model_options["transformer_options"]["optimized_attention_override"] = attend
    return applied._replace(model=model)


def guided_step(applied, meter=_UNMEASURED) -> torch.Tensor:
    """One guided prediction, both halves of it, in the middle of the schedule, as it is in every step but the first.

    The first step of a run also projects the references, where the run keeps that (model/projections.py).

    Args:
        applied: what apply_references or `variant` gave.
        meter: is entered while the work runs, once the weights are on the device.

    Returns:
        The denoised latents.
    """

    patches = applied.model.model_options["transformer_options"]["patches"]
    keeps = meter is not _UNMEASURED and "attn1_output_patch" not in patches  # of the official formulation

    def predict(model, x, sigmas, *, extra_args, **_):
        sigma = sigmas[:1].expand(x.shape[0])
        if x.device.type != "cpu" or keeps:
            model(x, sigma, **extra_args)  # on a card it may also move weights, after a change of models
        with meter:
            return model(x, sigma, **extra_args)

    guider = comfy.samplers.CFGGuider(applied.model)
    guider.set_conds(applied.positive, applied.negative)
    guider.set_cfg(GUIDANCE)
    latent = applied.latent["samples"].float()
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(SEED))
    sigmas = torch.cat([applied.model.get_model_object("model_sampling").sigmas[500:501].cpu(), torch.zeros(1)])
    return guider.sample(noise, latent, comfy.samplers.KSAMPLER(predict), sigmas, disable_pbar=True, seed=SEED)


def decode(model: FaceAnonModel, latents: torch.Tensor, meter=_UNMEASURED) -> torch.Tensor:
    """Decode latents.

    Args:
        model: whose VAE runs.
        latents: unscaled, [B, C, h, w].
        meter: is entered while the work runs.

    Returns:
        Images, float32 [B, H, W, 3].
    """
    with meter:
        return model.decode(latents)


def whole_face(
    model: FaceAnonModel, pixels: torch.Tensor, steps: int, formulation: str, *, kernel: Callable, meter
) -> torch.Tensor:
    """Anonymize a picture as by FaceAnonApply and KSampler, from the pixels to the pixels.

    Args:
        model: whose networks run.
        pixels: float [1, H, W, 3], 0..1.
        steps: of sampling.
        formulation: OURS or OFFICIAL.
        kernel: an attention function of the host, see attention_kernels.
        meter: is entered while the work runs.

    Returns:
        The new picture, float32 [1, H, W, 3].
    """
    with meter:
        encoded = encode(model, pixels, formulation)
        applied = apply_references(model.unet, references(model, encoded, formulation))
        applied = variant(applied, formulation, kernel)
        latent = applied.latent["samples"]
        how = (steps, GUIDANCE, "ddpm", "simple", applied.positive, applied.negative, latent)
        noise = comfy.sample.prepare_noise(latent, SEED)
        return decode(model, comfy.sample.sample(applied.model, noise, *how, disable_pbar=True, seed=SEED))


def relative(ours: torch.Tensor, official: torch.Tensor) -> float:
    """The largest difference as a share of the largest value."""
    ours, official = (tensor.cpu().double() for tensor in (ours, official))  # not every device has float64
    return ((ours - official).abs().max() / official.abs().max()).item()
