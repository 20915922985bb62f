"""What the demonstration model may be taken for without a word: the pack's own samples. Only the standard library."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..files import sha256_of
from ..model.checkpoint import DEMO, GET_MODELS
from ..terminal import shown
from .jobs import PlanRefused, Source


def check_demo(sources: Iterable[Source], samples: Iterable[Path]) -> None:
    """Refuse to paint files of the user's own with the demonstration model, where nobody asked for it by name.

    Args:
        sources: that would be painted.
        samples: the files that ship with the pack; one that is not there counts for none.

    Raises:
        PlanRefused: names the first source that is none of these, and what there is in place of the model.
    """
    there = [path for path in samples if path.is_file()]
    sizes, digests = {path.stat().st_size for path in there}, {sha256_of(path) for path in there}
    for source in sources:
        is_sample = source.path.stat().st_size in sizes and sha256_of(source.path) in digests
        if not is_sample:
            raise PlanRefused(
                f"{shown(source.name)} is a file of your own, and no --model is named. The only model that ships with "
                f"the pack, {DEMO}, paints drawn faces of nobody and is not for real use. Choose one:\n"
                "--redact covers faces and needs no model;\n"
                f"--model face-anon-simple paints them: `{GET_MODELS}` downloads it once;\n"
                f"--demo takes {DEMO} all the same, to see what a run does."
            )
