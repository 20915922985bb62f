"""Ways of sampling that the pack does not have, tried on the curve. Touches the host: wraps its UNet.

None of them is in the pack: each has to beat fewer steps at equal cost first (docs/curve.md).

- pooled: the references of the finest level are averaged 2 x 2, which halves the attention there.
- deep: in every second step only the finest level runs, on what the levels below gave in the step before. Ma et al.,
  "DeepCache: Accelerating Diffusion Models for Free" (CVPR 2024, arXiv 2312.00858).
- easycache: ComfyUI's node, which leaves out whole steps while what the UNet gives is thought to have changed by less
  than its threshold; as the node stands, or with another threshold: easycache0.5.
- picture: sampling starts from the noised picture, as in training, where the last timestep still holds 7 % of it, and
  not from noise alone. Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed" (arXiv 2305.08891).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

POOLED, DEEP, EASYCACHE, PICTURE = SHORTCUTS = ("pooled", "deep", "easycache", "picture")
_KEY = "face_anonymizer_shortcut"
_THRESHOLD = re.compile(EASYCACHE + r"(\d+(?:\.\d+)?)?")


def is_shortcut(name: str) -> bool:
    """Whether it is one of SHORTCUTS, or EasyCache with a threshold."""
    return name in SHORTCUTS or _THRESHOLD.fullmatch(name) is not None


def with_shortcut(unet, name: str):
    """A clone of a MODEL that takes it, where it is one of the UNet's; the others are those of `runs_by`.

    Args:
        unet: the MODEL.
        name: one of SHORTCUTS, EasyCache with a threshold, or "" for none.
    """
    if cached := _THRESHOLD.fullmatch(name):
        from comfy_extras.nodes_easycache import EasyCacheNode

        usual = {one.id: one.default for one in EasyCacheNode.define_schema().inputs[1:]}
        return EasyCacheNode.execute(unet, **usual | ({"reuse_threshold": float(cached[1])} if cached[1] else {}))[0]
    if name == DEEP:
        from comfy.patcher_extension import WrappersMP

        unet = unet.clone()
        unet.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, _KEY, EverySecondStep())
    return unet


def runs_by(name: str, latents: torch.Tensor) -> AbstractContextManager:
    """A block in which runs read the references, or start, as the shortcut does.

    Args:
        name: one of SHORTCUTS, or "" for none.
        latents: of the driving images, as the VAE gives them.
    """
    from face_anonymizer.modules.model import sampling

    apply = sampling.apply_references

    def from_picture(model, references, *more):
        return apply(model, references, *more)._replace(latent={"samples": latents})

    if name == POOLED:
        return _replaced(sampling, "ReferenceAttention", pooled_attention())
    return _replaced(sampling, "apply_references", from_picture) if name == PICTURE else nullcontext()


@contextmanager
def _replaced(module, name: str, other) -> Iterator[None]:
    usual = getattr(module, name)
    setattr(module, name, other)
    try:
        yield
    finally:
        setattr(module, name, usual)


def pooled_attention() -> type:
    """ReferenceAttention whose finest references are pooled."""
    from face_anonymizer.modules.model.attention import ReferenceAttention

    class Pooled(ReferenceAttention):
        def _references(self, layer, x, halves):
            source, driving = super()._references(layer, x, halves)
            height, width = self.latent_size
            if x.shape[1] != height * width:
                return source, driving
            return _pool(source, height, width), _pool(driving, height, width)

    return Pooled


def _pool(state: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Averages over 2 x 2 tokens: [B, h * w, C] -> [B, h * w / 4, C]."""
    grid = state.movedim(1, 2).unflatten(2, (height, width))
    return torch.nn.functional.avg_pool2d(grid, 2).flatten(2).movedim(1, 2)


class EverySecondStep:
    """A wrapper of the host's UNet: after each whole step one of the finest level alone."""

    def __init__(self):
        self._below: dict[tuple[int, ...], torch.Tensor] = {}  # halves and rows -> what comes up to the finest level
        self._fine = 0  # blocks of the finest level, on each side
        self._noise, self._count = float("inf"), 0  # of the current step, and of the steps of this run

    def __call__(self, executor, x, timesteps, context, y, control, transformer_options, **more):
        """As UNetModel._forward, without what the pack's UNets lack: labels, control and patches of blocks."""
        noise = float(transformer_options["sigmas"][0])
        if noise > self._noise:  # another run
            self._below, self._count = {}, 0
        self._count += noise != self._noise or self._count == 0
        self._noise = noise
        return self._run(executor.class_obj, x, timesteps, context, transformer_options)

    def _run(self, unet, x, timesteps, context, options):
        from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed, timestep_embedding

        which = (*options["cond_or_uncond"], len(x))
        reuses = self._count % 2 == 0 and which in self._below
        emb = unet.time_embed(timestep_embedding(timesteps, unet.model_channels, repeat_only=False).to(x.dtype))
        options["original_shape"], options["transformer_index"] = list(x.shape), 0

        def run(where, number, block, h, shape=None):
            options["block"] = (where, number)
            return forward_timestep_embed(block, h, emb, context, options, shape)

        h, skips = x, []
        for number, block in enumerate(unet.input_blocks[: self._fine if reuses else None]):
            h = run("input", number, block, h)
            skips.append(h)
        if reuses:
            h = self._below[which]
        else:
            h = run("middle", 0, unet.middle_block, h)
            self._fine = sum(skip.shape[2:] == x.shape[2:] for skip in skips)
        first = len(unet.output_blocks) - self._fine
        for number, block in enumerate(unet.output_blocks):
            if number < first and reuses:
                continue
            if number == first and not reuses:
                self._below[which] = h
            h = torch.cat([h, skips.pop()], 1)
            h = run("output", number, block, h, skips[-1].shape if skips else None)
        return unet.out(h.type(x.dtype))
