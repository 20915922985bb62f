"""What an attack counts: how much was tried, how much of it ended as it should, and what got through."""

from __future__ import annotations

import argparse
import random
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


class Tally:
    """The figures of one attack.

    Args:
        name: of the attack.
    """

    def __init__(self, name: str):
        self.name = name
        self.tried = 0
        self.leaks: list[str] = []
        self.failures: list[str] = []

    def count(self, case: str, leak: str = "", failure: str = "") -> None:
        """Count a case that was tried.

        Args:
            case: what was tried.
            leak: what got through, was lost or was written where it should not be; "" for nothing.
            failure: how it crashed, hung or ended without a clear message; "" for none.
        """
        self.tried += 1
        if leak:
            self.leaks.append(f"{case}: {leak}")
        elif failure:
            self.failures.append(f"{case}: {failure}")

    def close(self) -> int:
        """Print the figures and every case that went wrong; the exit status: 0, or 1 where any did."""
        survived = self.tried - len(self.leaks) - len(self.failures)
        for kind, cases in (("LEAKED", self.leaks), ("FAILED", self.failures)):
            for case in cases:
                print(f"{kind} {self.name}: {case}"[:600])
        print(f"{self.name}: tried {self.tried}, survived {survived}, leaked {len(self.leaks)}", flush=True)
        return int(bool(self.leaks or self.failures))


def within(seconds: float, run: Callable[[], T]) -> T | BaseException | None:
    """What a run gives, or the error that it ends with; None where it has not ended in time.

    Args:
        seconds: that it may take; after them it goes on, in a thread of its own.
        run: what is tried; it gives anything but None.
    """
    ended: list[T | BaseException] = []

    def go() -> None:
        try:
            ended.append(run())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(seconds)
    return ended[0] if ended else None


def parse_arguments(description: str | None, count: int) -> argparse.Namespace:
    """The options that every attack has: count, seed, plant.

    Args:
        description: of the tool.
        count: of cases, by default; the whole attack.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count, help="cases to try (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which ones, and how they are made (%(default)s)")
    parser.add_argument("--plant", action="store_true", help="plant a leak, to see that it is found")
    return parser.parse_args()


def choose(cases: Mapping[str, T], count: int, seed: int) -> dict[str, T]:
    """`count` of some cases, each seed others; all, in their order, where there are no more."""
    names = list(cases)
    if count < len(names):
        chosen = set(random.Random(seed).sample(names, count))
        names = [name for name in names if name in chosen]
    return {name: cases[name] for name in names}


def cases_of(
    options: argparse.Namespace, cases: Mapping[str, T], whole: int, name: str, make: Callable[[int], T]
) -> dict[str, T]:
    """As many cases as are asked for: of those that have a name their share, and for the rest made ones.

    Args:
        options: of parse_arguments.
        cases: that have a name.
        whole: how many the whole attack has.
        name: of those that are made.
        make: one, by its seed.
    """
    chosen = choose(cases, max(1, round(options.count / whole * len(cases))), options.seed)
    for i in range(options.count - len(chosen)):
        chosen[f"{name} {options.seed} {i}"] = make(options.seed * 1000 + i)
    return chosen
