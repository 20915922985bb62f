"""Faces found and pasted on the device: are they the right ones, and how many pictures a second. Touches the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..faces.alignment import crop_faces
from ..faces.paste.compositing import paste_faces
from ..host.detector import detect
from .verdicts import Checks

REPEATS = 3
PEOPLE = 5  # in assets/synthetic_group.jpg
CROP = 512
_MOST_CHANGE = 1 / 255  # of the mean, when every crop is pasted as it was cut


def read_picture(path: Path) -> torch.Tensor:
    """float32 [1, H, W, 3], 0..1."""
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).float()[None] / 255


def sample_pictures(assets: Path, drawn: bool) -> list[torch.Tensor]:
    """The sample pictures: a photo of one person, unless only `drawn` faces fit the model, and a drawn group."""
    names = ["synthetic_group.jpg"] if drawn else ["astronaut.jpg", "synthetic_group.jpg"]
    return [read_picture(assets / name) for name in names]


def check_finding(checks: Checks, assets: Path, repeats: int = REPEATS) -> None:
    """All faces of a drawn picture are found, and their crops go back in place.

    Args:
        checks: gets the verdicts.
        assets: the pack's folder of pictures.
        repeats: timed runs after a first one that warms up; with 0 that one is timed.
    """
    picture = read_picture(assets / "synthetic_group.jpg")
    height, width = picture.shape[1:3]
    faces, seconds = _timed(lambda: detect(picture), repeats)
    found = f"{len(faces)} of {PEOPLE} faces of a {width}x{height} picture, {1 / seconds:.2f} pictures/s"
    checks.check("detection", len(faces) == PEOPLE, found)
    crops, cropped = crop_faces(picture, faces, CROP)
    (pasted, mask), seconds = _timed(lambda: paste_faces(picture, crops, cropped), repeats)
    inside = mask > 0
    change = (pasted - picture)[inside].abs().mean().item() if inside.any() else float("inf")
    holds = change <= _MOST_CHANGE and torch.equal(pasted[~inside], picture[~inside])
    text = f"{change * 255:.2f} levels of change where unchanged crops are pasted, none elsewhere: {holds}"
    checks.check("paste", holds, f"{text}; {1 / seconds:.2f} pictures/s on the CPU, crops of {CROP}")


def _timed(work: Callable, repeats: int) -> tuple:
    """(result, seconds of the fastest of several runs after one that warms up, or of that one alone)."""
    result, seconds = None, []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds[1:] or seconds)
