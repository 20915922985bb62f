"""What is painted for an evaluation: one condition for each treatment of the same pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FULL = "full"
EMBEDDINGS_UNMODIFIED = "embeddings unmodified"
STATES_UNMODIFIED = "states unmodified"
WITHOUT_UNCONDITIONAL = "without the unconditional states"
# Table 2 of the paper (arXiv 2411.00762), as read here: the first keeps Z in both contexts, that of the source
# ReferenceNet and that of the UNet, and interpolates the states; the second scales the embedding in both, and takes the
# states that the source ReferenceNet has under it; the third takes S' = (1 - d) S instead of (1 - d) S + d S_uncond.
REDUCTIONS = (EMBEDDINGS_UNMODIFIED, STATES_UNMODIFIED, WITHOUT_UNCONDITIONAL)

ORIGINAL, OTHER = "original", "other"
RECONSTRUCTION, JPEG, SWAP, SWAP_TRUTH, LINKED = "reconstruction", "jpeg", "swap", "swap_truth", "other_anonymized"

_SEED_STEP = 1_000_000_007  # apart by more than there are faces, so that no two share their noise


@dataclass(frozen=True)
class Condition:
    """One treatment of pictures.

    Args:
        name: also of its folder.
        degree: of anonymization, 0 or more.
        reduction: FULL or one of REDUCTIONS.
        pictures: ORIGINAL or OTHER: which are the driving images, and the sources too unless `swaps`.
        swaps: the source of each picture is that of the person before.
        count: of how many pictures, from the first; None is all.
        seed_step: which of several seeds, from 0.
    """

    name: str
    degree: float
    reduction: str = FULL
    pictures: str = ORIGINAL
    swaps: bool = False
    count: int | None = None
    seed_step: int = 0

    def seed_offset(self, number: int) -> int:
        """What the face of this number adds to the seed."""
        return number + self.seed_step * _SEED_STEP + (500_000_003 if self.pictures == OTHER else 0)


def anonymized(degree: float) -> str:
    """Name of the condition with this degree, which it gives with two digits after the point."""
    return f"anonymized_{degree:.2f}"


def reduced(reduction: str) -> str:
    """Name of the condition with this reduction of the method."""
    return f"ablation_{reduction.split()[0]}" if reduction != WITHOUT_UNCONDITIONAL else "ablation_unconditional"


def seeded(number: int) -> str:
    """Name of the condition with this one of several seeds, from 0."""
    return f"seed_{number:02}"


def plan(
    degrees: Sequence[float], main_degree: float, ablation: bool = True, seeds: int = 10, seed_people: int = 20
) -> Iterator[Condition]:
    """All conditions that are painted for an evaluation.

    Args:
        degrees: of anonymization, above 0.
        main_degree: of the ablation, of the seeds and of the linked pictures; painted in full too.
        ablation: whether the reductions are painted.
        seeds: how many seeds are painted.
        seed_people: of how many pictures, from the first, each seed is painted.

    Raises:
        ValueError: two degrees are equal to two digits after the point, by which folders are named.
    """
    names = [anonymized(degree) for degree in degrees]
    if len(set(names)) != len(names):
        raise ValueError(f"Degrees are told apart by two digits, and some of {list(degrees)} are not: drop one.")
    yield Condition(SWAP, 0.0, swaps=True)
    for degree in sorted({*degrees, main_degree}):
        yield Condition(anonymized(degree), degree)
    yield Condition(LINKED, main_degree, pictures=OTHER)
    if ablation:
        for reduction in REDUCTIONS:
            yield Condition(reduced(reduction), main_degree, reduction)
    for number in range(seeds):
        yield Condition(seeded(number), main_degree, count=seed_people, seed_step=number)
