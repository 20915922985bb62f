"""What a program hands in and gets back: PIL pictures, arrays or tensors, one or a batch. No torch is loaded before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from ..output import icc
from ..output.applying import picture_to_srgb, to_srgb
from ..photos.colour import colour_of
from ..photos.levels import look_range, sixteen_bits

_TAKEN = "a PIL picture or a list of such, an array [H, W, 3] or [B, H, W, 3] (uint8, or float 0..1), or such a tensor"


class _Pil(NamedTuple):
    """A PIL picture. levels: float32 [H, W, 3 or 4], 0..1, upright; profile: ICC of its colours, None for sRGB."""

    levels: torch.Tensor
    profile: bytes | None


def as_batch(pictures: Any) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
    """Pictures as the method takes them.

    Args:
        pictures: one PIL picture or several of one size, a numpy array or torch tensor [H, W, C] or [B, H, W, C], uint8
            or float 0..1, C = 1, 3 or 4. Of PIL pictures the orientation in EXIF is applied, gray of 16 bits becomes 8,
            and the colour profile goes over.

    Returns:
        float32 [B, H, W, C] on the CPU; and a function that turns such a batch into what was handed in: its kind, its
        type of numbers, with a batch where there was one.

    Raises:
        ValueError: something else, an empty batch, other channels, numbers out of range, pictures of several sizes, or
            colours that this Pillow cannot turn into RGB.
    """
    if isinstance(pictures, Image.Image):
        batch, several = _of_several([pictures])
        return batch, lambda result: several(result)[0]
    if isinstance(pictures, (list, tuple)) and pictures and all(isinstance(one, Image.Image) for one in pictures):
        return _of_several(pictures)
    if isinstance(pictures, np.ndarray):
        kind = pictures.dtype
        if kind.kind not in "biuf" or kind.itemsize > 8:
            raise ValueError(f"A picture is {_TAKEN}; this one holds {kind}.")
        own = np.require(pictures, kind.newbyteorder("="), ["C", "W"])
        batch, back = _of_numbers(torch.from_numpy(own))
        return batch, lambda result: back(result).numpy().astype(kind, copy=False)
    if isinstance(pictures, torch.Tensor):
        return _of_numbers(pictures)
    opened = " Open a file with PIL.Image.open." if isinstance(pictures, (str, bytes, os.PathLike)) else ""
    raise ValueError(f"A picture is {_TAKEN}; this is a {type(pictures).__name__}.{opened}")


def _of_numbers(numbers: torch.Tensor) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    if numbers.ndim not in (3, 4) or numbers.shape[-1] not in (1, 3, 4) or 0 in numbers.shape:
        hint = ""
        if numbers.ndim in (3, 4) and numbers.shape[-3] in (1, 3, 4):
            hint = " Channels come last here: move them there."
        elif numbers.ndim == 2:
            hint = " A gray picture is [H, W, 1]."
        raise ValueError(f"A picture is {_TAKEN}; this one is {tuple(numbers.shape)}.{hint}")
    batch = numbers if numbers.ndim == 4 else numbers[None]
    is_alone, kind, device = numbers.ndim == 3, numbers.dtype, numbers.device
    batch = batch.detach().cpu()
    if kind == torch.uint8:
        batch = batch.float() / 255
    elif not kind.is_floating_point:
        raise ValueError(f"A picture is {_TAKEN}; this one holds {kind}.")
    elif not (batch.isfinite().all() and batch.min() >= 0 and batch.max() <= 1):
        raise ValueError("A picture of floating numbers has them from 0 to 1; divide levels of 255 by 255.")

    def back(result: torch.Tensor) -> torch.Tensor:
        result = (result * 255).round().clamp(0, 255) if kind == torch.uint8 else result
        result = result.to(device, kind)
        return result[0] if is_alone else result

    return batch.float(), back


def _of_several(pictures: Sequence[Image.Image]) -> tuple[torch.Tensor, Callable[[torch.Tensor], list[Image.Image]]]:
    """PIL pictures as a batch, with alpha where one of them has it; and such a batch as pictures."""
    parts = [_of_pil(one) for one in pictures]
    sizes = {f"{part.levels.shape[1]}x{part.levels.shape[0]}" for part in parts}
    if len(sizes) > 1:
        raise ValueError(f"The pictures of a batch have one size, these have {', '.join(sorted(sizes))}.")
    channels = [part.levels.shape[2] for part in parts]
    opaque = torch.ones_like(parts[0].levels[..., :1])
    levels = [
        torch.cat([part.levels, opaque], 2) if own < max(channels) else part.levels
        for part, own in zip(parts, channels, strict=True)
    ]

    def back(result: torch.Tensor) -> list[Image.Image]:
        each = zip(result, parts, channels, strict=True)
        return [_to_pil(one[..., :own], part.profile) for one, part, own in each]

    return torch.stack(levels), back


def _of_pil(picture: Image.Image) -> _Pil:
    profile = colour_of(picture, b"").profile
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):  # gray of more than 8 bits, which Pillow's convert cuts off at 255
        gray, _ = sixteen_bits(np.asarray(upright))
        upright = Image.fromarray(look_range(gray[..., None]).seen(gray))
    elif upright.mode in ("CMYK", "LAB"):
        converted = picture_to_srgb(upright, profile if upright.mode == "CMYK" else None)
        if converted is None and upright.mode == "LAB":
            raise ValueError("The picture's colours are CIELAB, which this Pillow cannot turn into RGB: convert it.")
        upright, profile = converted or upright.convert("RGB"), None
    if upright.mode not in ("RGB", "RGBA"):
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    pixels, profile = _with_clean_profile(np.array(upright), profile)
    levels = torch.from_numpy(pixels).float() / 255
    if levels.shape[2] == 4:  # what lies under no opacity is nobody's to see, nor in the result
        levels = levels * (levels[..., 3:] > 0)
    return _Pil(levels, profile)


def _with_clean_profile(pixels: np.ndarray, profile: bytes | None) -> tuple[np.ndarray, bytes | None]:
    """The pixels with a profile of curves alone, which names nobody; in sRGB where it was a table; none if broken."""
    try:
        return pixels, icc.clean_profile(profile, 3)
    except icc.TableProfile:
        converted = to_srgb(pixels, profile or b"")
        return (pixels if converted is None else converted), None
    except icc.UnusableProfile:
        return pixels, None


def _to_pil(picture: torch.Tensor, profile: bytes | None) -> Image.Image:
    result = Image.fromarray((picture * 255).round().clamp(0, 255).byte().numpy())
    if profile is not None:
        result.info["icc_profile"] = profile  # which Pillow writes into the files that it saves
    return result
