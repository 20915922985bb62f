"""Texts of a language that somebody translates back into English (docs/translations.md), always the same ones.

    python scripts/with_env.py tools/run.py locales.sample zh
    python scripts/with_env.py tools/run.py locales.sample --promises zh     # what is promised of privacy

The English texts are not shown: who has read them translates those back, not the translation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from face_anonymizer.modules.host.location import PACK

COUNT = 20
# Where a word that is too strong or too weak would mislead somebody about what is seen of a face.
_PROMISES = """
AnonymizeCrops.inputs.keep AnonymizeCrops.inputs.verify AnonymizePhoto.inputs.cover_with AnonymizePhoto.inputs.min_score
AnonymizePhoto.inputs.what AnonymizePhoto.inputs.who AnonymizePhoto.outputs.3 BeforeAfter.inputs.before DetectFaces
DetectFaces.outputs.2 PasteFaces PasteFaces.inputs.fallback PasteFaces.inputs.feather PasteFaces.inputs.keep
PasteFaces.inputs.keep_eyes RedactFaces RedactFaces.inputs.detail RedactFaces.inputs.keep RedactFaces.inputs.mode
Report Report.inputs.filename_prefix SaveImage SaveImage.inputs.keep_icc_profile SaveVideo Variations.outputs.0
VerifyFaces
"""
PROMISES = _PROMISES.split()


def texts(nodes: Mapping, key: str = "") -> Iterator[tuple[str, str]]:
    """("DetectFaces.inputs.image", text) of every tooltip, and ("DetectFaces", text) of every description."""
    for name, below in nodes.items():
        if isinstance(below, Mapping):
            yield from texts(below, f"{key}.{name}".removeprefix(".").removeprefix("FaceAnon"))
        elif name in ("tooltip", "description"):
            yield key, below


def sample(nodes: Mapping, code: str) -> list[tuple[str, str]]:
    """COUNT texts that differ, in the order of their nodes. A new text beside them changes at most one of them.

    Args:
        nodes: of a language's nodeDefs.json.
        code: of the language, for which other texts are drawn than for another one.
    """
    first = {text: key for key, text in reversed(list(texts(nodes)))}
    chosen = sorted(first.values(), key=lambda key: sha256(f"{code} {key}".encode()).digest())[:COUNT]
    return [(key, text) for key, text in texts(nodes) if key in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("language", help="its code, the name of its folder in locales/")
    parser.add_argument("--promises", action="store_true", help="those that promise something of privacy")
    parser.add_argument("--locales", type=Path, default=PACK / "locales", help="the folder of the languages' folders")
    arguments = parser.parse_args()
    file = arguments.locales / arguments.language / "nodeDefs.json"
    nodes = json.loads(file.read_text(encoding="utf-8"))
    chosen = [(key, text) for key, text in texts(nodes) if key in PROMISES]
    chosen = chosen if arguments.promises else sample(nodes, arguments.language)
    print(*(f"{key}\n    {text}" for key, text in chosen), sep="\n")
    if missing := set(PROMISES) - {key for key, _ in texts(nodes)}:
        raise SystemExit(f"no node says these any more: {', '.join(sorted(missing))}")
