"""With which seed and degree a face is painted at each attempt: a function of its own seed alone. No torch here."""

from __future__ import annotations

import math
from typing import NamedTuple

from .settings import DEGREES, FIXED, MOST_DEGREE, AttemptSettings

# 2^64 divided by the golden ratio: its multiples lie evenly, and far from the seeds of neighbours, which are seed + 1,
# seed + 2 and so on; also in their lower half, of which alone torch's generator on the CPU is made.
_STRIDE = 0x9E3779B97F4A7C15


class Attempt(NamedTuple):
    """How a face is painted once.

    Args:
        number: from 0, in the order in which they are painted.
        seed: of its noise, 0..2^64 - 1.
        degree: of anonymization.
    """

    number: int
    seed: int
    degree: float


def attempt_seed(seed: int, number: int) -> int:
    """The seed of a face's next noises: the face's own for number 0."""
    return (seed + number * _STRIDE) % 2**64


def fixed_schedule(seed: int, degree: float, attempts: int, swaps: bool = False) -> tuple[Attempt, ...]:
    """The attempts at a degree that is set: the next seeds first, then higher degrees up to 1.5 in equal steps.

    Of four at degree 1.25: 1.25, 1.25, 1.375, 1.5, each with a seed of its own.

    Args:
        seed: of the face.
        degree: that is set. From 1.5 on it stays.
        attempts: how many. The first half of them, rounded up, has the degree as it is set.
        swaps: whether somebody else's face is painted: then the degree means that one's identity, and stays.
    """
    raised = attempts - math.ceil(attempts / 2)
    steps = 0 if swaps or degree >= MOST_DEGREE else raised
    degrees = [degree] * (attempts - steps) + [
        degree + (MOST_DEGREE - degree) * (step + 1) / steps for step in range(steps)
    ]
    return tuple(Attempt(number, attempt_seed(seed, number), degrees[number]) for number in range(attempts))


def least_schedule(seed: int, attempts: int) -> tuple[Attempt, ...]:
    """The attempts of degree_mode "auto": every degree of DEGREES upwards with one noise, then the next seeds at 1.5.

    They end where one is enough. Where traits are kept, the next seeds at its degree follow (next_seeds).

    Args:
        seed: of the face.
        attempts: one less of them are made after the degrees.
    """
    degrees = [Attempt(number, seed % 2**64, degree) for number, degree in enumerate(DEGREES)]
    return (*degrees, *next_seeds(degrees[-1], seed, attempts))


def next_seeds(attempt: Attempt, seed: int, attempts: int) -> tuple[Attempt, ...]:
    """The attempts after one whose degree stays: with the next seeds.

    Args:
        attempt: the one before them.
        seed: of the face.
        attempts: one less of them are made.
    """
    return tuple(
        Attempt(attempt.number + number, attempt_seed(seed, number), attempt.degree) for number in range(1, attempts)
    )


def schedule(settings: AttemptSettings, seed: int, degree: float, swaps: bool = False) -> tuple[Attempt, ...]:
    """All attempts that a face may get, in their order.

    Args:
        settings: how many, and whether the degree is searched.
        seed: of the face.
        degree: that is set.
        swaps: see fixed_schedule.

    Raises:
        ValueError: the smallest degree is asked for, and somebody else's face is painted.
    """
    if settings.degree_mode == FIXED:
        return fixed_schedule(seed, degree, settings.attempts, swaps)
    if swaps:
        raise ValueError(
            "degree_mode auto looks for the least anonymization, but a source is connected, so that its face is "
            "swapped in: set degree_mode to fixed."
        )
    return least_schedule(seed, settings.attempts)
