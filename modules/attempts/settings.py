"""How often a face is painted, and which painting is taken: each default is said here. No torch, no ComfyUI here."""

from __future__ import annotations

from dataclasses import dataclass

# What of a face the chosen attempt keeps best; with the first the earliest attempt that passes is taken.
NO_TRAITS, EXPRESSION_POSE, ALL_TRAITS = TRAITS = ("none", "expression and pose", "gender and age too")
# The degree as it is set, or the smallest one that is enough.
FIXED, LEAST = DEGREE_MODES = ("fixed", "auto")

MOST_ATTEMPTS = 32
MOST_DEGREE = 1.5  # above it faces break
# Of "auto", searched upwards: what the recognisers say does not grow evenly with the degree, so that only this order is
# sure to find the smallest. Below 0.5 Paste Faces takes a face for the original whatever it shows.
DEGREES = (0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5)


@dataclass(frozen=True)
class AttemptSettings:
    """How often a face is painted, and which painting is taken; see schedule.py and loop.py.

    Args:
        attempts: 1 to 32, the most paintings of a face. The search for an "auto" degree comes first and counts as one.
        traits: one of TRAITS. With an "auto" degree, seeds at that degree are compared.
        degree_mode: one of DEGREE_MODES.
        margin: beyond both thresholds (dlib's distance, FaceRes' cosine) that a degree of "auto" has to keep.

    Raises:
        ValueError: a setting is out of range.
    """

    attempts: int = 4
    traits: str = NO_TRAITS
    degree_mode: str = FIXED
    margin: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise ValueError(f"attempts is 1 to {MOST_ATTEMPTS}, got {self.attempts}.")
        if self.traits not in TRAITS:
            raise ValueError(f"keep_traits is one of {', '.join(TRAITS)}; got {self.traits!r}.")
        if self.degree_mode not in DEGREE_MODES:
            raise ValueError(f"degree_mode is one of {', '.join(DEGREE_MODES)}; got {self.degree_mode!r}.")

    @property
    def needs_recognisers(self) -> str:
        """The name of an input whose value means nothing where nobody looks; "" where there is none."""
        if self.degree_mode != FIXED:
            return f"degree_mode {self.degree_mode}"
        return "" if self.traits == NO_TRAITS else f"keep_traits {self.traits}"
