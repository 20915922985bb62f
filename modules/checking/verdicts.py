"""Verdicts: one a line, as they come, and a report of them without paths and names. Pure: no ComfyUI here."""

from __future__ import annotations

import contextlib
import getpass
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PASS, FAIL, TOLD = "PASS", "FAIL", "TOLD"  # TOLD: a figure or a fact that nothing is held to


class Verdict(NamedTuple):
    """One line.

    Args:
        word: PASS, FAIL or TOLD.
        what: was checked.
        found: the figures.
    """

    word: str
    what: str
    found: str

    def __str__(self) -> str:
        return f"{self.word}: {self.what}: {self.found}"


class Checks:
    """The verdicts of one run.

    Args:
        say: takes each line as soon as it is known.
        folders: of this machine, which no line may name.
    """

    def __init__(self, say: Callable[[str], None], folders: Sequence[Path] = ()):
        self.verdicts: list[Verdict] = []
        self._say = say
        self._folders = folders

    @property
    def failed(self) -> bool:
        """Whether any verdict is FAIL."""
        return any(verdict.word == FAIL for verdict in self.verdicts)

    def tell(self, what: str, found: str) -> None:
        """Add a figure or a fact that nothing is held to."""
        self._add(Verdict(TOLD, what, found))

    def check(self, what: str, holds: bool, found: str) -> None:
        """Add a PASS or a FAIL.

        Args:
            what: is checked.
            holds: whether it is a PASS.
            found: the figures.
        """
        self._add(Verdict(PASS if holds else FAIL, what, found))

    @contextlib.contextmanager
    def part(self, what: str) -> Iterator[None]:
        """What breaks inside is a FAIL of `what`, with its reason, and the next part goes on."""
        try:
            yield
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = " ".join(str(error).split()) or "no message"
            self.check(what, False, f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {reason}")

    def report(self, title: str) -> str:
        """All verdicts as Markdown to post, with this title."""
        counts = {word: sum(verdict.word == word for verdict in self.verdicts) for word in (PASS, FAIL, TOLD)}
        lines = [f"# {title}", "", ", ".join(f"{count} {word}" for word, count in counts.items()), ""]
        lines += ["| | | |", "|---|---|---|"]
        for word, what, found in self.verdicts:
            cells = (f"**{word}**" if word == FAIL else word, what, found)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        return "\n".join(lines) + "\n"

    def _add(self, verdict: Verdict) -> None:
        verdict = verdict._replace(found=without_names(verdict.found, self._folders))
        self.verdicts.append(verdict)
        self._say(str(verdict))


def without_names(text: str, folders: Sequence[Path] = ()) -> str:
    """`text` without this machine's folders (the given ones, home, temporary files) and without the user's name."""
    known = {"...": folders, "~": [Path.home()], "(temporary)": [Path(tempfile.gettempdir())]}
    for name, places in known.items():
        for place in sorted({str(form) for path in places for form in (path, path.resolve())}, key=len, reverse=True):
            if len(place) > 1:  # not "/", the home of some containers
                text = text.replace(place, name)
    with contextlib.suppress(Exception):  # a user without a name
        user = getpass.getuser()
        text = text.replace(f"/{user}/", "/(user)/").replace(f"\\{user}\\", "\\(user)\\")
    return text
