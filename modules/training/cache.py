"""Every picture of a list encoded once, stored in one safetensors file and used as long as nothing has changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..files import replaced_whole
from ..model.diffusers_engine.encoders import Encoders
from .triples import Triples, load_picture

logger = logging.getLogger("face_anonymizer")

_AT_ONCE = 32
_EVERY = 2048  # pictures between two lines of progress


class Encoded(NamedTuple):
    """By the number of the picture: scaled latents [P, C, h, w] and embeddings [P, width], float16 on the CPU."""

    latents: torch.Tensor
    embeds: torch.Tensor


def encode_pictures(triples: Triples, encoders: Encoders, resolution: int, file: Path) -> Encoded:
    """Read `file` if it holds these pictures of these encoders, else encode them and write it, whole or not at all.

    float16 rounds latents of unit scale by 5e-4 at most, far below the noise that they are trained under. A file that
    cannot be written is a warning: the next start encodes again.

    Args:
        triples: a list; each of its pictures is encoded once.
        encoders: of the pictures.
        resolution: side of all pictures in pixels.
        file: of the cache; its folder is made if need be.

    Raises:
        UnusablePicture: a ValueError; a picture cannot be read, or has another size.
    """
    key = f"{triples.fingerprint()} {encoders.digest()} {resolution}"
    kept = _read(file, key)
    if kept is not None:
        logger.info("%d encoded pictures from %s", len(kept.latents), file)
        return kept
    encoded = None
    for start in range(0, len(triples.pictures), _AT_ONCE):
        pictures = triples.pictures[start : start + _AT_ONCE]
        images = torch.from_numpy(np.stack([load_picture(picture, resolution) for picture in pictures]))
        latents, embeds = encoders.latents(images), encoders.embeds(encoders.clip_input(images))[:, 0]
        if encoded is None:
            encoded = Encoded(*(_empty(len(triples.pictures), part) for part in (latents, embeds)))
        encoded.latents[start : start + len(pictures)] = latents
        encoded.embeds[start : start + len(pictures)] = embeds
        if start % _EVERY == 0:
            logger.info("encoded %d of %d pictures", start + len(pictures), len(triples.pictures))
    assert encoded is not None  # a list without a picture is refused where it is read
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replaced_whole(file) as part:
            save_file(encoded._asdict(), part, metadata={"key": key})
    except (OSError, SafetensorError) as error:  # only a later start is slower without it
        logger.warning("%s could not be written (%s): the next start encodes the pictures again.", file, error)
    return encoded


def _empty(count: int, part: torch.Tensor) -> torch.Tensor:
    return torch.empty(count, *part.shape[1:], dtype=torch.float16)


def _read(file: Path, key: str) -> Encoded | None:
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as kept:
            if kept.metadata() != {"key": key}:
                return None
            return Encoded(*(kept.get_tensor(name) for name in Encoded._fields))
    except SafetensorError:
        return None
