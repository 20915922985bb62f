"""What is wrong with the languages of locales/: texts that are missing, English, or say other numbers and names.

    python scripts/with_env.py tools/run.py locales.check                 # all languages; needs no ComfyUI
    python scripts/with_env.py tools/run.py locales.check --locales FOLDER

tests/host/test_locales.py holds the same. Whether a text is right, only a reader of the language can say.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from .english import LOCALES, RECORD, read_language, texts

# The page of ComfyUI has no German yet; it reads the file as soon as it does.
LANGUAGES = ("zh", "ja", "ko", "de", "fr", "es", "ru", "pt-BR")
# Each text has such a letter. In Japanese a name may consist of Han alone.
_SCRIPTS = {"zh": r"[\u4e00-\u9fff]", "ja": r"[\u3040-\u30ff\u4e00-\u9fff]", "ko": r"[\uac00-\ud7a3]", "ru": r"[а-яё]"}
# And none of these: in Chinese no kana, and no forms of Taiwan, which has files of its own in ComfyUI.
_FOREIGN = {
    "zh": r"[\u3040-\u30ff\uac00-\ud7a3們個這來為與臉圖顯會對從應點視頻選]",
    "ja": r"[\uac00-\ud7a3]",
    "ko": r"[\u3040-\u30ff\u4e00-\u9fff]",
    "ru": r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]",
    "": r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3а-яё]",
}
# What is the same word in a language, or a name everywhere.
_SAME = {
    "": {"vae"},
    "zh": {"latent"},  # as ComfyUI itself writes it
    "fr": {"action", "format", "image", "images", "mode", "photo", "points", "position", "source"},
    "es": {"video"},
}
_SPECIAL = "{}@|"  # what the page's translations take for their own syntax
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』|\([^)]*\)|（[^）]*）|`[^`]*`')
_ENGLISH = re.compile(r"\b(the|of|and|with|which|that|is|are)\b", re.IGNORECASE)
# What stays letter for letter: code that has a blank in it, %...%, paths, lists of numbers, file endings, names.
_FIXED = re.compile(
    r"`[^`]* [^`]*`|%[^%]+%|\w+/\w+(?:/\w+)*/?|\d+, \d+-\d+|(?<![\w.])\.[a-z]+\b|\d+(?:\.\d+)?|[A-Z]{3,}"
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
# which may be written in digits
_SPELLED = {"a": "1", "one": "1", "each": "1", "two": "2", "both": "2", "three": "3", "five": "5"}


def faults(code: str, files: Mapping, record: Mapping) -> list[str]:
    """What is wrong with one language, a line each; none where all is well.

    Args:
        code: of the language, the name of its folder.
        files: as read_language gives them.
        record: as english() gives it: the texts that it translates.
    """
    theirs, ours = dict(texts(record)), dict(texts(files))
    missing = [f"{key}: missing. English: {text}" for key, text in theirs.items() if key not in ours]
    unknown = [f"{key}: no node says this (any more): remove it" for key in ours if key not in theirs]
    named = _named(theirs, ours)
    wrong = []
    for key in theirs.keys() & ours.keys():
        text = ours[key]
        literals = record["literals"].get(key, [])
        if not isinstance(text, str) or not text.strip():
            wrong.append(f"{key}: empty")
            continue
        wrong += [f"{key}: {fault}\n    {theirs[key]}\n    {text}" for fault in _of_text(code, theirs[key], text)]
        for choice in literals:
            if choice not in text:
                wrong.append(f"{key}: the choice {choice!r} stays as it is in the widget\n    {text}")
        for fault in _of_names(key, theirs[key], text, named):
            wrong.append(f"{key}: {fault}\n    {theirs[key]}\n    {text}")
    return missing + unknown + sorted(wrong)


def _of_text(code: str, english: str, text: str) -> Iterator[str]:
    if text != text.strip() or "  " in text:
        yield "a blank too many"
    if special := set(text) & set(_SPECIAL):
        yield f"the page cannot show {' '.join(sorted(special))}"
    for fixed in _FIXED.findall(english):
        if not re.search(rf"(?<![\d.]){re.escape(fixed)}(?!\d|\.\d)" if fixed[0].isdigit() else re.escape(fixed), text):
            yield f"{fixed} is missing"
    known = {*_NUMBER.findall(english), *(_SPELLED.get(word, "") for word in re.findall(r"[a-z]+", english.lower()))}
    for number in sorted(set(_NUMBER.findall(text)) - known):
        yield f"{number} is not in the English text"
    if english.endswith(".") and text[-1] not in ".。)）」":
        yield "no sentence: it ends without a full stop"
    if english.lower() in _SAME[""] | _SAME.get(code, set()):
        return
    if text == english:
        yield "the English text"
    if (script := _SCRIPTS.get(code)) and not re.search(script, text, re.IGNORECASE):
        yield "not a letter of the language's script"
    if found := re.findall(_FOREIGN.get(code, _FOREIGN[""]), text, re.IGNORECASE):
        yield f"letters of another script: {''.join(sorted(set(found)))}"
    if found := _ENGLISH.findall(_QUOTED.sub("", text)):
        yield f"English words: {', '.join(sorted(set(found)))}"


def _named(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, set[str]]:
    """English names that a text can name without being misunderstood -> what they are called in the language."""
    named: dict[str, set[str]] = {}
    for key, text in theirs.items():
        is_node = key.endswith(".display_name") and " " in text
        is_socket = key.endswith(".name") and ("_" in text or text == "verify")
        if (is_node or is_socket) and key in ours:
            named.setdefault(text, set()).add(ours[key])
            if not text.endswith("(clean)"):  # without it, it would be ComfyUI's
                # texts name a node without the words behind it in brackets, by which it is found
                named.setdefault(text.partition(" (")[0], set()).add(re.split(r" ?[(（]", ours[key])[0])
    return named


def _of_names(key: str, english: str, text: str, named: Mapping[str, set[str]]) -> Iterator[str]:
    """Nodes and sockets that the English text names, and the translation does not as they are called there."""
    if key.endswith("name"):
        return
    for name in sorted(named, key=len, reverse=True):  # Track Faces in Video before Track Faces
        pattern = rf"\b[Ww]ith {name}\b" if name == "verify" else rf"(?<![\w/]){re.escape(name)}(?!\w)"
        if not re.search(pattern, english):
            continue
        english = re.sub(pattern, "", english)
        if not any(theirs.casefold() in text.casefold() for theirs in named[name]):
            yield f"{name} is called {' or '.join(sorted(named[name]))}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--locales", type=Path, default=LOCALES, help="the folder of the languages' folders")
    parser.add_argument("languages", nargs="*", default=LANGUAGES, help="their codes; all without")
    arguments = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    found = {code: faults(code, read_language(arguments.locales / code), record) for code in arguments.languages}
    for code, lines in found.items():
        print(f"{code}: {len(lines)} faults", *lines, sep="\n")
    return int(any(found.values()))
