"""Paint, let recognisers look, paint those again that did not pass. It knows neither networks nor pictures' files.

A sitter is what is painted with one seed: a face of a photo, or a few frames of one person of a clip. Nothing of one
sitter depends on another: neither on how many there are, nor on their order, nor on which of them did not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ..recognition.verdict import Verification
from .choosing import is_enough, is_unmeasurable, keeps, with_margin_missed, worth
from .schedule import Attempt, next_seeds, schedule
from .settings import FIXED, AttemptSettings

# Paints the crops at some places, each with its seed, all at one degree: float [len(places), S, S, 3].
Paint = Callable[[Sequence[int], Sequence[int], float], torch.Tensor]
# What recognisers say of results of the crops at some places; given the crops themselves, whether they can be measured.
Check = Callable[[Sequence[int], torch.Tensor], Sequence[Verification]]


@dataclass(frozen=True)
class Sitter:
    """What is painted with one seed, and passes or fails as one.

    Args:
        places: of its crops among all.
        seed: of its first attempt.
        swaps: whether somebody else's face is painted onto it.
    """

    places: tuple[int, ...]
    seed: int
    swaps: bool = False


@dataclass(frozen=True, eq=False)
class Chosen:
    """The attempt that a sitter is given.

    Args:
        attempt: its seed and degree.
        painted: how many attempts were made.
        crops: float [len(places), S, S, 3], of the chosen one.
        verifications: of these crops.
    """

    attempt: Attempt
    painted: int
    crops: torch.Tensor
    verifications: tuple[Verification, ...]

    @property
    def passed(self) -> bool:
        """Whether all of the crops may leave."""
        return all(verification.passed for verification in self.verifications)


@dataclass
class _Course:
    """A sitter on its way through its attempts."""

    sitter: Sitter
    attempts: tuple[Attempt, ...]
    required: float
    settings: AttemptSettings
    best: Chosen | None = None
    is_done: bool = False

    def note(self, attempt: Attempt, crops: torch.Tensor, said: Sequence[Verification]) -> None:
        """Keep the attempt if it is better than those before."""
        made = Chosen(attempt, attempt.number + 1, crops, tuple(said))
        if self.best is None or self._is_better(made, self.best):
            self.best = replace(made, crops=crops.clone())  # not the whole round's
        self.best = replace(self.best, painted=made.painted)
        if self.settings.degree_mode != FIXED and attempt.seed == self.attempts[0].seed and keeps(said, self.required):
            # the search ends at the smallest degree that is enough: what is compared further is painted at it
            further = next_seeds(attempt, self.sitter.seed, self.settings.attempts)
            self.attempts = (*self.attempts[: made.painted], *further)
        self.is_done = made.painted == len(self.attempts) or is_enough(said, self.settings, self.required)
        if self.is_done and self.best.passed:
            self.best = replace(self.best, verifications=with_margin_missed(self.best.verifications, self.required))

    def _is_better(self, made: Chosen, best: Chosen) -> bool:
        mine, theirs = self._worth(made), self._worth(best)
        # where the margin is kept by none, of equals the higher degree is the safer one
        return mine > theirs or (mine == theirs and made.attempt.degree > best.attempt.degree and self.required > 0)

    def _worth(self, made: Chosen) -> tuple[float, ...]:
        return worth(made.verifications, self.settings, self.required)


def choose_attempts(
    sitters: Sequence[Sitter],
    originals: torch.Tensor,
    degree: float,
    settings: AttemptSettings,
    *,
    paint: Paint,
    check: Check,
) -> list[Chosen]:
    """Paint each sitter until it passes, or until its attempts are used up.

    Sitters that pass are not painted again, unless traits are compared, so that n of them cost n paintings and one for
    each further attempt of those that did not. Where the smallest degree is looked for too, seeds at it are compared.
    Of a sitter no original of which can be measured nothing can be said: it is painted once, at the degree that is set.
    Those that are open are painted together, as long as they have the same degree.

    Args:
        sitters: whose crops may go through the networks together.
        originals: float [N, S, S, 3 or 4], 0..1, all crops.
        degree: that is set.
        settings: how often, and which is taken.
        paint: paints some of the crops.
        check: looks at some results.

    Returns:
        One a sitter, whether it passed or not.

    Raises:
        ValueError: see schedule.
    """
    courses = _plan(sitters, originals, degree, settings, check)
    while open_ := [course for course in courses if not course.is_done]:
        turns = [(course, _next(course)) for course in open_]
        for wanted in sorted({attempt.degree for _, attempt in turns}):
            now = [(course, attempt) for course, attempt in turns if attempt.degree == wanted]
            places = [place for course, _ in now for place in course.sitter.places]
            results = paint(places, [a.seed for course, a in now for _ in course.sitter.places], wanted)
            said = check(places, results)
            start = 0
            for course, attempt in now:
                mine = slice(start, start + len(course.sitter.places))
                course.note(attempt, results[mine], said[mine])
                start = mine.stop
    return [course.best for course in courses if course.best is not None]


def _next(course: _Course) -> Attempt:
    return course.attempts[0 if course.best is None else course.best.painted]


def _plan(
    sitters: Sequence[Sitter], originals: torch.Tensor, degree: float, settings: AttemptSettings, check: Check
) -> list[_Course]:
    """The attempts of each sitter. Where the smallest degree is looked for, one look at the originals comes before, as
    a face that cannot be measured gets the degree that is set, of which nobody says that it is enough.
    """
    if settings.degree_mode == FIXED:
        return [_Course(s, schedule(settings, s.seed, degree, s.swaps), 0.0, settings) for s in sitters]
    places = [place for sitter in sitters for place in sitter.places]
    said = dict(zip(places, check(places, originals[places]), strict=True)) if places else {}
    courses = []
    for sitter in sitters:
        attempts = schedule(settings, sitter.seed, degree, sitter.swaps)
        if is_unmeasurable([said[place] for place in sitter.places]):
            attempts = (Attempt(0, sitter.seed % 2**64, degree),)
        courses.append(_Course(sitter, attempts, settings.margin, settings))
    return courses
