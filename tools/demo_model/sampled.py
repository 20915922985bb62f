"""What the demo model painted, and what it was to paint: latents and pictures that a decoder is trained on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from face_anonymizer.modules.files import replaced_whole

SWAP, DEGREE = "swap", "degree"  # kinds: whose truth is known, and whose is not


@dataclass(frozen=True)
class Sampled:
    """N painted faces.

    Attributes:
        latents: float16 [N, C, h, w], scaled, as the model sampled them.
        own: float16 [N, C, h, w], scaled, the encoder's of the same pictures.
        pictures: uint8 [N, 3, S, S]: of a swap its truth, else the driving image.
        driving: uint8 [N, 3, S, S].
        clear: bool [N, S, S], where the picture's person is not near.
        points: float32 [N, 5, 2], in pixels of the picture: eyes, tip of the nose, corners of the mouth.
    """

    latents: torch.Tensor
    own: torch.Tensor
    pictures: torch.Tensor
    driving: torch.Tensor
    clear: torch.Tensor
    points: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def rows(self, rows: torch.Tensor | slice) -> Sampled:
        """Some of them."""
        return Sampled(**{name: value[rows] for name, value in vars(self).items()})


def write_sampled(sampled: Sampled, folder: Path, kind: str, number: int) -> None:
    """Write a part of a kind into a folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with replaced_whole(part_file(folder, kind, number)) as part:
        save_file({name: value.contiguous() for name, value in vars(sampled).items()}, part)


def part_file(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{kind}_{number:04}.safetensors"


def read_sampled(folder: Path, kind: str) -> Sampled:
    """All parts of a kind in a folder.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(folder.glob(f"{kind}_*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder} has no {kind}_*.safetensors: make them with sample_latents.py.")
    parts = [load_file(file) for file in files]
    names = [field.name for field in fields(Sampled)]
    return Sampled(**{name: torch.cat([part[name] for part in parts]) for name in names})
