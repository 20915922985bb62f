"""Which of a face's paintings is taken: the figures that they are compared by. No torch, no ComfyUI here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..recognition.verdict import NOT_MEASURABLE, Verification, apart
from .settings import ALL_TRAITS, NO_TRAITS, AttemptSettings

# How much of each counts as much as a whole other expression (half the sum of differences of seven probabilities).
_DEGREES = 30.0  # of the head, and of the eyes in it
_YEARS = 30.0
_UNSEEN = 1.0  # of what cannot be read: the gaze of an attempt that closed the eyes was not kept
_ROUNDING = 1e-9  # 0.7 less 0.6 is less than 0.1


def margin(verification: Verification) -> float:
    """How far beyond its threshold the recogniser is that is nearest to it: the least of dlib's distance less its
    threshold, and FaceRes' threshold less its cosine; negative where one says "the same", -inf where none could look.
    """
    margins = [opinion.margin for opinion in verification.opinions]
    return min((one if math.isfinite(one) else -math.inf for one in margins), default=-math.inf)


def drift(verification: Verification, traits: str) -> float:
    """How much of what should be kept was not: 0 for all of it.

    Pose and gaze in shares of 30 degrees, the expression as the report has it (0..1), and where gender and age count
    the age in shares of 30 years and the change of the probability of a man. What cannot be read (the gaze of closed
    eyes) counts as much as a whole other expression; where it is the original that cannot, that is so in every attempt.

    Args:
        verification: of a result that passed.
        traits: one of TRAITS.
    """
    found = verification.difference
    if found is None or traits == NO_TRAITS:
        return 0.0
    parts = [found.pose / _DEGREES, found.gaze / _DEGREES, found.expression]
    if traits == ALL_TRAITS:
        parts += [abs(found.age) / _YEARS, abs(found.man)]
    return sum(part if math.isfinite(part) else _UNSEEN for part in parts)


def is_unmeasurable(verifications: Sequence[Verification]) -> bool:
    """Whether no original can be measured: nothing can be said, however often these are painted."""
    return all(verification.verdict == NOT_MEASURABLE for verification in verifications)


def is_enough(verifications: Sequence[Verification], settings: AttemptSettings, required: float) -> bool:
    """Whether no further attempt is needed.

    Args:
        verifications: of all crops of a person that were painted with one attempt.
        settings: where traits are compared, all attempts are painted.
        required: beyond both thresholds.
    """
    if is_unmeasurable(verifications):
        return True
    return settings.traits == NO_TRAITS and keeps(verifications, required)


def worth(verifications: Sequence[Verification], settings: AttemptSettings, required: float) -> tuple[float, ...]:
    """What an attempt is worth: of two the larger one is taken, of equals the earlier.

    Those that all pass with the margin come first, among them those with the least drift, where it counts; then those
    that pass; then those of which most pass; and of these the ones farthest from the thresholds.

    Args:
        verifications, settings, required: as for is_enough.
    """
    if keeps(verifications, required):
        drifts = [drift(verification, settings.traits) for verification in verifications]
        return (2.0, 0.0, -sum(drifts) / len(drifts))
    passed = sum(verification.passed for verification in verifications) / len(verifications)
    # of what could not be measured before either nothing is known
    known = [margin(one) for one in verifications if one.verdict != NOT_MEASURABLE]
    return (1.0 if passed == 1 else 0.0, passed, min(known, default=-math.inf))


def with_margin_missed(verifications: Sequence[Verification], required: float) -> tuple[Verification, ...]:
    """Verifications that say so where a face passed without the margin that was asked for.

    Args:
        verifications: that passed.
        required: beyond both thresholds; 0 asks for none.
    """

    def missed(one: Verification) -> Verification:
        word = f"no degree kept the margin of {required:g}: it is {apart(margin(one), required, 3)}"
        return replace(one, reason="; ".join(filter(None, (one.reason, word))))

    return tuple(one if keeps([one], required) else missed(one) for one in verifications)


def keeps(verifications: Sequence[Verification], required: float) -> bool:
    """Whether all pass, by the margin where they could be measured.

    Args:
        verifications, required: as for is_enough.
    """
    return all(
        one.passed and (required <= 0 or one.verdict == NOT_MEASURABLE or margin(one) >= required - _ROUNDING)
        for one in verifications
    )
