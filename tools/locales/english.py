"""The English texts of all nodes, and what of locales/ no longer says what they say.

    python scripts/with_env.py tools/run.py locales.english                    # after a node's texts have changed
    python scripts/with_env.py tools/run.py locales.english --output FOLDER    # for a new language: what to translate

The texts that are translated stand in english.json beside this file. Where a node says something else now, the first
command takes the old translations out of locales/ (the page then shows the English text, which is better than one that
is no longer true), writes english.json, and names what each language lacks. tests/host/test_locales.py fails until it
is translated.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from face_anonymizer.modules.files import replace_whole
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.runs.server import Server

PREFIX = "FaceAnon"
LOCALES = PACK / "locales"
RECORD = Path(__file__).with_name("english.json")
FILES = ("main", "nodeDefs")  # that a language consists of
# Rooms of the search box that the page has words for already: a second word would be shown for other packs' nodes too.
OF_THE_PAGE = {"video"}


def english(infos: Mapping[str, Mapping]) -> dict[str, dict]:
    """What can be said in another language, in the shape in which ComfyUI's page looks for it.

    Args:
        infos: node id -> what /object_info says of it; nodes of others are left out.

    Returns:
        {"main": {"nodeCategories": word -> word}, "nodeDefs": node id -> display_name, description, inputs, outputs}:
        the files of a language. An output has a name where it has one of its own: the page knows those of the sockets'
        types by itself. And "literals": key of a text -> choices of a widget that it names, which stay English.
    """
    ours = {id: info for id, info in sorted(infos.items()) if id.startswith(PREFIX)}
    words = {word for info in ours.values() for word in info["category"].split("/")} - OF_THE_PAGE
    found = {
        "main": {"nodeCategories": {word: word for word in sorted(words)}},
        "nodeDefs": {_key(id): _of_node(info) for id, info in ours.items()},
    }
    choices = {f"nodeDefs.{_key(id)}": _choices(info) for id, info in ours.items()}
    literals = {}
    for key, text in texts(found):
        own = choices.get(".".join(key.split(".")[:2]), set())
        if named := [word for word in sorted(own) if key.endswith("tooltip") and _names(text, word)]:
            literals[key] = named
    return {**found, "literals": literals}


def texts(files: Mapping) -> Iterator[tuple[str, str]]:
    """("nodeDefs.FaceAnonReport.inputs.save.name", text) of each text of a language's files."""
    for name in FILES:
        yield from _leaves(files.get(name, {}), name)


def read_language(folder: Path) -> dict[str, dict]:
    """The files of a language's folder, as `english` gives them; an absent one is empty."""
    paths = {name: folder / f"{name}.json" for name in FILES}
    return {
        name: json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {} for name, path in paths.items()
    }


def write_texts(file: Path, texts: Mapping) -> None:
    """As all files of texts look."""
    replace_whole(file, (json.dumps(texts, ensure_ascii=False, indent=4) + "\n").encode())


def without(files: Mapping, keys: set[str]) -> dict:
    """The files of a language without the texts of these keys; branches that are empty then go too."""

    def kept(branch: Mapping, at: str) -> dict:
        found = {}
        for name, below in branch.items():
            key = f"{at}.{name}" if at else name
            if isinstance(below, Mapping):
                if rest := kept(below, key):
                    found[name] = rest
            elif key not in keys:
                found[name] = below
        return found

    return kept(files, "")


def _of_node(info: Mapping) -> dict:
    inputs, outputs = {}, {}
    for name, (_, options) in _inputs(info):
        inputs[_key(name)] = {"name": options.get("display_name") or name, "tooltip": options["tooltip"]}
    for index, (type, name) in enumerate(zip(info["output"], info["output_name"], strict=True)):
        own = {} if name == type else {"name": name}
        outputs[str(index)] = {**own, "tooltip": info["output_tooltips"][index]}
    branches = {"inputs": inputs, "outputs": outputs}
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        **{name: branch for name, branch in branches.items() if branch},
    }


def _inputs(info: Mapping) -> Iterator[tuple[str, list]]:
    for group in ("required", "optional"):
        yield from info["input"].get(group, {}).items()


def _choices(info: Mapping) -> set[str]:
    """What can be chosen in the node's widgets."""
    lists = (type if isinstance(type, list) else options.get("options", []) for _, (type, options) in _inputs(info))
    return {choice for one in lists for choice in one if isinstance(choice, str)}


def _names(text: str, choice: str) -> bool:
    """Whether a text means a choice by this word: "solid: ...", "list", (crop), With swap, or a small first letter."""
    word = re.escape(choice)
    return bool(re.search(rf"(?<!\w){word}:|\"{word}\"|\({word}\)|[Ww]ith {word}\b|(?:^|\. ){word} ", text))


def _leaves(branch: Mapping, at: str) -> Iterator[tuple[str, str]]:
    for name, below in branch.items():
        if isinstance(below, Mapping):
            yield from _leaves(below, f"{at}.{name}")
        else:
            yield f"{at}.{name}", below


def _key(name: str) -> str:
    """As the page makes keys of names: a dot would begin a branch of its own."""
    return name.replace(".", "_")


def _take_out(changed: set[str]) -> None:
    for folder in sorted(path for path in LOCALES.glob("*") if path.is_dir()):
        files = read_language(folder)
        before = dict(texts(files))
        if old := changed & before.keys():
            rest = without(files, old)
            for name in FILES:
                write_texts(folder / f"{name}.json", rest.get(name, {}))
            print(f"locales/{folder.name} lacks", *(f"    {key}" for key in sorted(old)), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="only write the English files into this folder")
    folder = parser.parse_args().output
    with Server() as server:
        found = english(server.object_info())
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            write_texts(folder / f"{name}.json", found[name])
        return
    before = dict(texts(json.loads(RECORD.read_text(encoding="utf-8")))) if RECORD.is_file() else {}
    now = dict(texts(found))
    _take_out({key for key in before if now.get(key) != before[key]})
    write_texts(RECORD, found)
    print(*(f"new: {key}: {text}" for key, text in now.items() if before.get(key) != text), sep="\n")
