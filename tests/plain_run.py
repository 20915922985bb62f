"""Of many parameters that test one promise, those that a plain run takes; the others come with `--long`."""

from collections.abc import Iterable

import pytest


def rest_is_long(every: Iterable, *quick) -> list:
    """Parameters for `pytest.mark.parametrize`.

    Args:
        every: all of them, in their order; a tuple is the values of several arguments.
        quick: those of them that run without `--long`; each of them must be there.

    Raises:
        ValueError: one of `quick` is none of `every`, or none of them is quick.
    """
    every = list(every)
    if not quick or any(one not in every for one in quick):
        raise ValueError(f"{quick}: not all of them are among {every}, or there are none")
    values = [one if isinstance(one, tuple) else (one,) for one in every]
    marks = [() if one in quick else pytest.mark.long for one in every]
    return [pytest.param(*one, marks=mark) for one, mark in zip(values, marks, strict=True)]
