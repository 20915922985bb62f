"""Pieces of code that stand twice: runs of equal tokens, without comments, docstrings and line breaks.

    python tools/run.py checks.copies              # 60 tokens, some six full lines
    python tools/run.py checks.copies --tokens 40

Lists of what a thing has by its nature (the inputs of a node's execute, imports) are found too, so it judges nothing.
"""

from __future__ import annotations

import argparse
import io
import tokenize
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from face_anonymizer.modules.host.location import PACK

_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


class Piece(NamedTuple):
    """Lines of a file, the first and the last."""

    file: str
    first: int
    last: int


def read_tokens(file: Path) -> list[tuple[str, int]]:
    """Each token and its line."""
    text = io.StringIO(file.read_text(encoding="utf-8"))
    tokens = [one for one in tokenize.generate_tokens(text.readline) if one.type not in _SILENT]
    return [(one.string, one.start[0]) for one in tokens if not one.string.startswith(('"""', 'r"""'))]


def find_copies(folder: Path, rooms: tuple[str, ...], length: int) -> dict[tuple[str, str], tuple[int, Piece, Piece]]:
    """Two files -> how many tokens they have in common in runs of `length` and more, and between which lines."""
    places = defaultdict(list)
    for file in sorted(path for room in rooms for path in (folder / room).rglob("*.py")):
        tokens = read_tokens(file)
        for start in range(len(tokens) - length + 1):
            window = tokens[start : start + length]
            places[tuple(token for token, _ in window)].append(
                Piece(str(file.relative_to(folder)), window[0][1], window[-1][1])
            )
    pairs = defaultdict(list)
    for same in places.values():
        for one, other in combinations(same, 2):
            if one.file != other.file or one.last < other.first:
                pairs[one.file, other.file].append((one, other))
    return {
        files: (length - 1 + len(found), *(Piece(p[0].file, p[0].first, p[-1].last) for p in zip(*found, strict=True)))
        for files, found in pairs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=60, help="the shortest run that is told (%(default)s)")
    arguments = parser.parse_args()
    copies = find_copies(PACK, ("modules", "nodes", "scripts", "tools"), arguments.tokens)
    for count, *pieces in sorted(copies.values(), reverse=True):
        print(f"{count} tokens:", " and ".join(f"{piece.file}:{piece.first}-{piece.last}" for piece in pieces))
