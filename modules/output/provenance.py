"""Which files a picture came from, by the graph that made it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Prompt = Mapping[str, Mapping]
# what a link carries: a picture; a mask, which may be one plane of a picture; what may bear on a picture, as models and
# conditions do; nothing of a picture that could be seen again; or what comes into its node
PICTURE, MASK, ASIDE, NOTHING, SAME = "picture", "mask", "aside", "nothing", "same"

_MAIN = ("image", "images", "pixels", "samples", "latent_image", "latent", "input", "video")  # the first comes first
_KEEP_FRAME = ("FaceAnonPasteFaces", "FaceAnonRedactFaces", "FaceAnonAnonymizePhoto")
_OURS = "FaceAnon"
_FACES_ALONE = ("source", "mask", "report", "faces")  # inputs of ours of which no more than a face is painted
# they give files of their own, in which what was hidden is empty
EMPTYING = ("FaceAnonAnonymizeVideoFile", "FaceAnonAnonymizeVideo", "FaceAnonRedactVideo")
_SWITCH = "ComfySwitchNode"
_ONE_EACH = re.compile("Batch|Switch|List")  # nodes of these names have several pictures, but not several in one
_FOLDER_INPUT = re.compile("folder|dir|path|source|file|dataset", re.IGNORECASE)
_LOADER = re.compile(
    r"(Load|Loader|Read|Reader|Fetch|Download|U[Rr][Ll]|Base64|Clipboard|Import)(?![a-z])"
    r"|(?<![A-Za-z])(load|loader|read|fetch|download|url|base64|clipboard|import)(?![a-z])"
)
_ELSEWHERE = re.compile(r"^\s*(https?|ftp|s3|gs|data|file):", re.IGNORECASE)
_NAME = re.compile(
    r"[^\n]{1,400}\.(png|apng|webp|gif|tiff?|avif|jxl|heic|heif|exr|tga|dds|psd|jp2|bmp)(\s*\[\w+\])?$", re.I
)
_OPAQUE = re.compile(r"\.(jpe?g|jfif)([?#].*)?$", re.IGNORECASE)
_BASE64 = 2000  # characters, from which a text without spaces is a file in letters


class Host(Protocol):
    """What a graph does not say of its nodes itself."""

    def carries(self, class_type: str, slot: int) -> str:
        """PICTURE, MASK, ASIDE, NOTHING or SAME, for an output of a node."""
        ...

    def gives_pictures(self, class_type: str) -> bool:
        """Whether a node has an output for pictures, videos or latents, and not merely for anything."""
        ...

    def find_files(self, name: str, folders: bool) -> list[Path]:
        """The files that a text names: one, all of a folder where these count, or none."""
        ...


class ByNames:
    """Without a host: every link may carry a picture, and files are not looked for."""

    def carries(self, class_type: str, slot: int) -> str:
        return PICTURE

    def gives_pictures(self, class_type: str) -> bool:
        return False

    def find_files(self, name: str, folders: bool) -> list[Path]:
        return [Path(name)]


@dataclass(frozen=True)
class Origin:
    """Where the pictures of a batch came from.

    Args:
        files: of which pictures came, in the order in which a batch has them.
        asides: files that only bear on them: by a mask that is laid over, a condition, a model.
        pictures: those of the files that a node names alone, and that has no picture before it: what is loaded.
        joined: whether a node that makes no batch has pictures of several inputs, which may be in one picture then.
        doubled: whether one file comes to such a node by several of them.
        unseen: what kind of node gives pictures of a file, or of the net, that nobody can look into; "" for none.
    """

    files: tuple[Path, ...] = ()
    asides: tuple[Path, ...] = ()
    pictures: frozenset[Path] = frozenset()
    joined: bool = False
    doubled: bool = False
    unseen: str = ""


class Link(NamedTuple):
    """A node and the output of it that a node's input is connected to."""

    node: str
    slot: int


def source_image(prompt: Prompt, node_id: str, input_name: str = "images", host: Host | None = None) -> Path | None:
    """The file that the picture at a node's input was loaded from.

    Inputs that carry the picture itself are followed, `image` first; masks, models and second pictures are not.

    Args:
        prompt: the graph as ComfyUI runs it: node id -> {"inputs": {name: a value, or a link [node id, slot]}, ...}.
        node_id: of the node to start at.
        input_name: of the input to start at.
        host: that knows the nodes; None goes by names of inputs alone.

    Returns:
        None where there is none, or there are several and nobody says which.
    """
    host = host or ByNames()
    found: dict[str, Path | None] = {node_id: None}

    def walk(link: Link | None) -> Path | None:
        if link is None or link.node not in prompt:
            return None
        if link.node not in found:
            found[link.node] = None  # a loop leads to no file
            found[link.node] = load(link.node)
        return found[link.node]

    def load(number: str) -> Path | None:
        if files := files_of(prompt, number, host):
            return files[0] if len(files) == 1 else None
        links = {name: way for name, way, kind in links_of(prompt[number], prompt, host) if kind == PICTURE}
        for name in _MAIN:
            if name in links and (file := walk(links.pop(name))):
                return file
        others = {file for way in links.values() if (file := walk(way))}
        return others.pop() if len(others) == 1 else None

    return walk(linked(prompt.get(node_id), input_name))


def source_images(
    prompt: Prompt, node_id: str, input_name: str, host: Host, ends: Collection[str] = EMPTYING
) -> Origin:
    """All files that pictures at a node's input may have been loaded from, by whatever way.

    Args:
        prompt, node_id, input_name, host: as of source_image.
        ends: kinds of nodes beyond which nobody asks: those whose files hide nothing.
    """
    found: dict[Path, None] = {}
    asides: dict[Path, None] = {}
    loaded: set[Path] = set()
    beside: list[Link] = []
    joined, doubled, unseen = False, False, ""
    visited: set[tuple[str, bool]] = {(node_id, False)}

    def walk(start: Link | None, files: dict[Path, None], sure: bool) -> None:
        nonlocal joined, doubled, unseen
        waiting = [start]
        while waiting:
            link = waiting.pop()
            if link is None or link.node not in prompt:
                continue
            node = prompt[link.node]
            kind = str(node.get("class_type", ""))
            is_mask = _carried(prompt, link, host) == MASK
            if (link.node, is_mask) in visited or kind in ends:
                continue
            visited.add((link.node, is_mask))
            named = files_of(prompt, link.node, host)
            if named and is_mask and _is_alpha(node, kind, host):
                continue
            files |= dict.fromkeys(named)
            links = links_of(node, prompt, host)
            ways = [way for _, way, what in links if what == PICTURE]
            masks = [way for _, way, what in links if what == MASK]
            if not ways:
                ways, masks = masks, []
            if sure and not ways and len(named) == 1:
                loaded.add(named[0])
            if sure and not ways and not named and _reads(prompt, link.node, kind, host):
                unseen = unseen or kind
            if sure and len(set(ways)) + bool(named) > 1 and not _ONE_EACH.search(kind):
                reached = [_reached(prompt, way, host) for way in dict.fromkeys(ways)]
                pasted = kind in _KEEP_FRAME and set().union(*reached) <= _reached(prompt, linked(node, "image"), host)
                joined = joined or not pasted
                doubled = doubled or (not pasted and sum(map(len, reached)) > len(set().union(*reached)))
            waiting += reversed(ways)
            beside.extend(masks)
            beside.extend(way for _, way, what in links if what == ASIDE)

    walk(linked(prompt.get(node_id), input_name), found, True)
    while beside:
        walk(beside.pop(), asides, False)
    return Origin(
        tuple(found),
        tuple(file for file in asides if file not in found),
        frozenset(loaded),
        joined,
        doubled,
        unseen,
    )


def keeps_frame(prompt: Prompt, node_id: str, input_name: str = "images") -> bool:
    """Whether the pictures at a node's input are those of a loader of which nodes of this pack alone changed the faces:
    such a graph leaves every other pixel at its place.

    Args:
        prompt, node_id, input_name: as of source_image.
    """
    upstream = linked(prompt.get(node_id), input_name)
    visited = {node_id}
    while upstream is not None and upstream.node in prompt and upstream.node not in visited:
        node = prompt[upstream.node]
        if not any(linked(node, name) for name in node["inputs"]):
            return len(visited) > 1
        if node.get("class_type") not in _KEEP_FRAME or upstream.slot:
            return False
        visited.add(upstream.node)
        upstream = linked(node, "image")
    return False


def pastes_others(prompt: Prompt, number: str, host: Host) -> bool:
    """Whether a node pastes crops of other files into a picture."""
    image, crops = (_reached(prompt, linked(prompt[number], name), host) for name in ("image", "crops"))
    return not crops <= image


def is_drawn(file: Path) -> bool:
    """Whether the page's mask editor wrote a file: its alpha is a mask that its user drew, and hides nothing."""
    return file.parent.name == "clipspace"


def links_of(node: Mapping, prompt: Prompt, host: Host) -> list[tuple[str, Link, str]]:
    """The inputs of a node that are connected, and what they carry."""
    kind = str(node.get("class_type", ""))
    switch = node["inputs"].get("switch") if kind == _SWITCH else None
    left_out = {"on_false" if switch else "on_true"} if isinstance(switch, bool) else set()
    found = []
    for name in node["inputs"]:
        link = linked(node, name)
        if link is None or name in left_out or (kind.startswith(_OURS) and name in _FACES_ALONE):
            continue
        carried = _carried(prompt, link, host)
        if carried != NOTHING:
            found.append((name, link, carried))
    return found


def _carried(prompt: Prompt, link: Link, host: Host, visited: frozenset[str] = frozenset()) -> str:
    """What a link carries; of a node that gives what it gets, what comes into it."""
    node = prompt.get(link.node, {})
    carried = host.carries(str(node.get("class_type", "")), link.slot)
    if carried != SAME:
        return carried
    if link.node in visited:
        return PICTURE
    ways = [linked(node, name) for name in node["inputs"] if name != "switch"]
    into = {_carried(prompt, way, host, visited | {link.node}) for way in ways if way is not None}
    return next((what for what in (PICTURE, MASK, ASIDE) if what in into), PICTURE)


def _reached(prompt: Prompt, start: Link | None, host: Host) -> set[Path]:
    """The files that a link's picture comes from, pictures followed alone."""
    waiting, visited, files = [start], set(), set()
    while waiting:
        link = waiting.pop()
        if link is not None and link not in visited and link.node in prompt:
            visited.add(link)
            files |= set(files_of(prompt, link.node, host))
            waiting += [way for _, way, what in links_of(prompt[link.node], prompt, host) if what == PICTURE]
    return files


def files_of(prompt: Prompt, number: str, host: Host) -> list[Path]:
    """The files that a node loads, by the texts it has, of its own or by wires from primitives."""
    node = prompt[number]
    if str(node.get("class_type", "")).startswith(_OURS):
        return []
    if isinstance(host, ByNames):
        return [Path(name)] if isinstance(name := node["inputs"].get("image"), str) else []
    is_source = not any(what in (PICTURE, MASK) for _, _, what in links_of(node, prompt, host))
    files: list[Path] = []
    for name, text in _texts(prompt, number, host):
        files += host.find_files(text, is_source and bool(_FOLDER_INPUT.search(name)))
    return files


def _texts(prompt: Prompt, number: str, host: Host) -> Iterator[tuple[str, str]]:
    """The texts of a node and of what is wired to it beside pictures, each with the input it comes to."""
    waiting, visited = [(number, "")], set()
    while waiting:
        at, through = waiting.pop()
        if at in visited or at not in prompt:
            continue
        visited.add(at)
        for name, value in prompt[at]["inputs"].items():
            link = linked(prompt[at], name)
            if link is None:
                yield from ((through or name, text) for text in _strings(value))
            elif _carried(prompt, link, host) == ASIDE:
                waiting.append((link.node, through or name))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _strings(one)


def _reads(prompt: Prompt, number: str, kind: str, host: Host) -> bool:
    """Whether a node without pictures before it reads them from somewhere, and does not make them."""
    if kind.startswith(_OURS) or not host.gives_pictures(kind):
        return False
    texts = [text for _, text in _texts(prompt, number, host)]
    named = [
        text
        for text in texts
        if _ELSEWHERE.match(text) or _NAME.fullmatch(text) or (len(text) >= _BASE64 and " " not in text)
    ]
    if named:
        return not all(_OPAQUE.search(text) for text in named)
    return bool(_LOADER.search(kind)) and not any(_OPAQUE.search(text) for text in texts)


def _is_alpha(node: Mapping, kind: str, host: Host) -> bool:
    """Whether the mask that a loader gives is the alpha of its file, and no colour of it."""
    return host.gives_pictures(kind) or node["inputs"].get("channel") == "alpha"


def linked(node: Mapping | None, input_name: str) -> Link | None:
    """What an input is connected to, or None."""
    value = None if node is None else node["inputs"].get(input_name)
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int) and not isinstance(value[1], bool):
        return Link(str(value[0]), value[1])
    return None


def file_of(prompt: Prompt, number: str, host: Host) -> Path:
    """The one file that a node loads.

    Raises:
        LookupError: it loads none, or several.
    """
    files = files_of(prompt, number, host)
    if len(files) != 1:
        raise LookupError(f"node {number} loads {len(files)} files")
    return files[0]
