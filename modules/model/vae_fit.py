"""Whether a VAE is one of a model's family. Pure: it looks at what the host's VAE says of itself.

Another family's latents mean something else: the model would paint noise, or nothing that is a face. A VAE of SDXL has
the shape of Stable Diffusion's; only the scale of its latents differs, which most VAEs do not carry. Those are known by
the name of their file alone, and one whose name does not say it (illustrious.safetensors) cannot be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PureWindowsPath

from .configs import SCALING_FACTOR

_SDXL = re.compile(r"(?i:sd[-_ ]?xl)|(?:XL|(?<![A-Za-z])xl)(?:(?![a-z])|(?=v\d))")
_ANY = "diffusion_pytorch_model."  # the name of a VAE's file in every folder of diffusers
_SDXL_SCALE = 0.13025
_SAME_SCALE = 0.01  # a share: bfloat16 keeps less than three digits
_NEXT = "Connect the VAE of Load Face Anonymizer Model, or choose a Stable Diffusion 1 or 2 VAE, such as sd-vae-ft-mse."


def check_vae(vae, channels: int, downscale: int, name: str = "", scale: float = SCALING_FACTOR) -> None:
    """Raise ValueError for a VAE whose latents are none of the model's.

    Args:
        vae: of the host.
        channels: of the latents that the UNet takes.
        downscale: how many pixels of a picture's side are one of its latent's.
        name: of its file or folder, or of the file of the wire that it came by; "" where that is not known.
        scale: by which the UNet's latents are multiplied.
    """
    named = f"The VAE {name}" if name else "This VAE"
    if vae.latent_dim != 2:
        raise ValueError(f"{named} is one for videos: its latents have {vae.latent_dim} dimensions. {_NEXT}")
    if vae.latent_channels != channels:
        raise ValueError(f"{named} makes {vae.latent_channels}-channel latents, the UNet takes {channels}. {_NEXT}")
    if (found := vae.spacial_compression_encode()) != downscale:
        raise ValueError(
            f"{named} makes a latent pixel of {found}x{found} pixels, the UNet takes {downscale}x{downscale}. {_NEXT}"
        )
    own = _own_scale(vae)
    if is_named_sdxl(name) or (own is not None and _is_close(own, _SDXL_SCALE) and not _is_close(own, scale)):
        raise ValueError(f"{named} is one for SDXL, whose latents are scaled otherwise. {_NEXT}")
    if own is not None and not _is_close(own, scale):
        raise ValueError(f"{named} scales its latents by {own:.5g}, the UNet takes them at {scale:.5g}. {_NEXT}")


def is_named_sdxl(name: str) -> bool:
    """Whether a VAE is called as those of SDXL are, whatever the folders above it are called.

    Args:
        name: of a file, with folders or without; or one without a suffix, as ComfyUI calls its small VAEs (taesdxl).
            A file as diffusers calls every one goes by its folder.
    """
    path = PureWindowsPath(name)  # which takes both kinds of slashes
    if path.name.startswith(_ANY):
        path = path.parent.parent if path.parent.name == "vae" else path.parent
    return _SDXL.search(path.name) is not None


def first_sdxl(names: Iterable[str]) -> str:
    """The first of some names of files that is called so; "" where none is."""
    return next((name for name in sorted(names) if is_named_sdxl(name)), "")


def _own_scale(vae) -> float | None:
    """By which a VAE of the host divides its latents itself, as the small ones (TAESD) do; None for all others."""
    scale = getattr(getattr(vae, "first_stage_model", None), "vae_scale", None)
    return None if scale is None else float(scale)


def _is_close(scale: float, other: float) -> bool:
    return abs(scale - other) <= _SAME_SCALE * other
