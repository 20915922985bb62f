"""How many frames a second a job does, and how long it still takes, in words. Only the standard library."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_BETWEEN_S = 0.5  # seconds from one text to the next
_RECENT_S = 20.0  # what the rate is taken of: a part of a clip may be harder than the rest
_LEAST_S = 1.0  # no rate is known before


class Pace:
    """A callback(frames done, all frames) that tells how far a job is.

    Args:
        tell: takes a text, at most two a second.
        clock: seconds from any time on.
    """

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._tell, self._clock = tell, clock
        self._recent: deque[tuple[float, float]] = deque()
        self._told = -_BETWEEN_S

    def __call__(self, done: float, count: int) -> None:
        now = self._clock()
        if self._recent and done < self._recent[-1][1]:
            self._recent.clear()  # another pass over the clip
        self._recent.append((now, done))
        while len(self._recent) > 2 and self._recent[0][0] < now - _RECENT_S:
            self._recent.popleft()
        if done >= 1 and (now - self._told >= _BETWEEN_S or done >= count):
            self._told = now
            self._tell(self._said(done, count))

    def _said(self, done: float, count: int) -> str:
        known = f" of {count}" if done <= count else ""  # a container may promise fewer frames than it has
        said = f"frame {int(done)}{known}"
        (then, before), (now, _) = self._recent[0], self._recent[-1]
        if now - then < _LEAST_S or done <= before:
            return said
        rate = (done - before) / (now - then)
        said += f", {rate:.{1 if rate < 10 else 0}f} frames a second"
        return said + (f", {in_words((count - done) / rate)} left" if known and done < count else "")


def in_words(seconds: float) -> str:
    """A time as people say it: 34 s, 2 min 10 s, 3 h 5 min; never 0.

    Args:
        seconds: 0 or more.
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
