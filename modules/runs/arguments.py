"""Arguments of commands that FolderOptions takes, each said once: of photos and videos, and of datasets."""

from __future__ import annotations

import argparse

from ..attempts.settings import DEGREE_MODES, TRAITS
from ..faces.settings import FALLBACKS, MODES, SHAPES
from ..recognition.settings import VERIFY


def add_refusals(group: argparse._ArgumentGroup) -> None:
    """What becomes of a face that may not leave as it was painted."""
    group.add_argument("--fallback", choices=FALLBACKS, help="for faces too small or broken; keep leaves them open")
    group.add_argument("--allow-uncovered", action="store_true", help="yes, --fallback keep may leave faces open")
    group.add_argument("--verify", choices=VERIFY, help="by recognisers; auto (default): unless the model is a demo")
    group.add_argument("--attempts", type=int, help="at most, until recognisers see a stranger; 4 by default")
    group.add_argument("--keep-traits", choices=TRAITS, help="which attempt is taken; none: the first that passes")
    group.add_argument("--degree-mode", choices=DEGREE_MODES, help="auto: the smallest degree that is enough")


def add_redaction(parser: argparse.ArgumentParser) -> None:
    """How faces are covered."""
    group = parser.add_argument_group("redact")
    group.add_argument("--redact", action="store_true", help="cover faces instead, without a model")
    group.add_argument("--mode", choices=MODES, help="solid leaves nothing")
    group.add_argument("--shape", choices=SHAPES)
    group.add_argument("--detail", type=float, help="samples that mosaic and blur leave across a face")
