"""The synthetic test set: people that no training uses, with two pictures each and the exact truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..files import sha256_of_folder
from ..synthetic import renderer
from ..synthetic.parameters import Parameters, sample_attributes, sample_identities
from ..synthetic.renderer import render
from .conditions import ORIGINAL, OTHER, SWAP_TRUTH
from .store import PictureStore

TEST_SEED = 2  # triples are drawn with seed 1
OTHER_PICTURE = 100_000  # added to the number of a person for the attributes of the second picture
CALIBRATION = ("calibration_first", "calibration_second")  # names of these pictures in a store
_CALIBRATION_FIRST = 1_000_000  # number of the first person that thresholds are calibrated on
_MASKS = ("mask_background", "mask_face")


@dataclass(frozen=True)
class SyntheticSet:
    """N people and their pictures.

    Attributes:
        identity: of the N people.
        attributes: of their originals.
        originals: a picture of each, uint8 [N, S, S, 3].
        others: another picture of each, uint8 [N, S, S, 3].
        swapped: the exact truth of a swap, person i - 1 in the scene of original i, uint8 [N, S, S, 3].
        background: float32 [N, S, S], 0..1, what neither person nor clothing covers in the originals.
        face: float32 [N, S, S], 0..1, the skin of the face in the originals.
    """

    identity: Parameters
    attributes: Parameters
    originals: np.ndarray
    others: np.ndarray
    swapped: np.ndarray
    background: torch.Tensor
    face: torch.Tensor

    def __len__(self) -> int:
        return len(self.originals)


def make_set(count: int, store: PictureStore, seed: int = TEST_SEED, size: int = 128) -> SyntheticSet:
    """Render people 0 to count - 1 of a seed, as sample_identities numbers them.

    The original of person i shows attributes i, the other picture attributes i + 100000.

    Args:
        count: how many people, 2 or more.
        store: holds the pictures, so that they are rendered once.
        seed: of people and scenes, 0 or more.
        size: side of the pictures in pixels.

    Raises:
        ValueError: fewer than two people, who are nobody to be taken for.
    """
    if count < 2:
        raise ValueError(f"{count} identities are too few: re-identification needs at least 2, and 200 say something.")
    identity, attributes = sample_identities(count, seed), sample_attributes(count, seed)

    def originals() -> list[np.ndarray]:
        rendered = render(identity, attributes, size)
        masks = (rendered.background_mask, rendered.face_mask)
        return [to_levels(rendered.images), *(to_levels(mask[..., None].expand(-1, -1, -1, 3)) for mask in masks)]

    pictures, background, face = _kept(store, (ORIGINAL, *_MASKS), count, originals)
    (others,) = _kept(
        store, (OTHER,), count, lambda: [_pictures(identity, _other_attributes(range(count), seed), size)]
    )
    before = identity[swap_sources(count)]
    (swapped,) = _kept(store, (SWAP_TRUTH,), count, lambda: [_pictures(before, attributes, size)])
    masks = (torch.from_numpy(mask[..., 0].astype(np.float32) / 255) for mask in (background, face))
    return SyntheticSet(identity, attributes, pictures, others, swapped, *masks)


def make_calibration_pairs(
    count: int, store: PictureStore, seed: int = TEST_SEED, size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Render two pictures each of people who are in no test set.

    Args:
        count: how many people.
        store: holds the pictures, so that they are rendered once.
        seed: of people and scenes, 0 or more.
        size: side of the pictures in pixels.

    Returns:
        First and second pictures, uint8 [N, S, S, 3] each.
    """
    numbers = range(_CALIBRATION_FIRST, _CALIBRATION_FIRST + count)

    def pairs() -> list[np.ndarray]:
        identity = sample_identities(numbers, seed)
        return [
            _pictures(identity, a, size) for a in (sample_attributes(numbers, seed), _other_attributes(numbers, seed))
        ]

    first, second = _kept(store, CALIBRATION, count, pairs)
    return first, second


def renderer_digest() -> str:
    """SHA-256 of the renderer's code: pictures of a number are sure to be the same only while this is."""
    return sha256_of_folder(Path(renderer.__file__).parent, (".py",))


def swap_sources(count: int) -> list[int]:
    """Whose face comes into each original: that of the person before, the last one's into the first."""
    return [(i - 1) % count for i in range(count)]


def to_levels(images: torch.Tensor) -> np.ndarray:
    """Float 0..1 as uint8, as a PNG holds it."""
    return (images.clamp(0, 1) * 255).round().byte().cpu().numpy()


def _kept(
    store: PictureStore, names: tuple[str, ...], count: int, make: Callable[[], list[np.ndarray]]
) -> list[np.ndarray]:
    if not all(store.has(name, number) for name in names for number in range(count)):
        for name, pictures in zip(names, make(), strict=True):
            store.keep(name, pictures)
    return [store.read(name, count) for name in names]


def _pictures(identity: Parameters, attributes: Parameters, size: int) -> np.ndarray:
    return to_levels(render(identity, attributes, size).images)


def _other_attributes(numbers: range, seed: int) -> Parameters:
    return sample_attributes([number + OTHER_PICTURE for number in numbers], seed)
