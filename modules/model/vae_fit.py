"""Whether a VAE is one of a model's family. Pure: it looks at what the host's VAE says of itself.

Another family's latents mean something else: the model would paint noise, or nothing that is a face.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PureWindowsPath

_SDXL = re.compile(r"(?i:sd[-_ ]?xl)|XL(?![a-z])|(?<![A-Za-z])xl(?![A-Za-z])")
_NEXT = "Connect the VAE of Load Face Anonymizer Model, or choose a Stable Diffusion 1 or 2 VAE, such as sd-vae-ft-mse."


def check_vae(vae, channels: int, downscale: int, name: str = "") -> None:
    """Raise ValueError for a VAE whose latents are none of the model's.

    Args:
        vae: of the host.
        channels: of the latents that the UNet takes.
        downscale: how many pixels of a picture's side are one of its latent's.
        name: of its file or folder, or of the file of the wire that it came by; "" where that is not known.
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
    if is_named_sdxl(name):  # of the same shape in all, and another scale
        raise ValueError(f"{named} is one for SDXL, whose latents are scaled otherwise. {_NEXT}")


def is_named_sdxl(name: str) -> bool:
    """Whether a file, or the folder in which it lies, is called as those of SDXL are: nothing else tells them apart."""
    path = PureWindowsPath(name)  # which takes both kinds of slashes
    return path.suffix != "" and any(_SDXL.search(part) for part in (path.stem, path.parent.name))


def first_sdxl(names: Iterable[str]) -> str:
    """The first of some names of files that is called so; "" where none is."""
    return next((name for name in sorted(names) if is_named_sdxl(name)), "")
