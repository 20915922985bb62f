"""How often strangers pass for one person, and one person for two: tables out of what calibration.reading read.

    python tools/run.py calibration.thresholds READ.npz [READ.npz ...] --people tools/calibration/people.txt
    python tools/run.py calibration.thresholds READ.npz --people ... --nearest 40     the nearest pairs, to look at

Pairs are of different pictures. Two pictures whose names are equal up to a last number are one workflow's, before and
after: they count neither as strangers nor as one person, unless the list of people says so. Faces that are not
measurable are left out. Intervals are Clopper and Pearson's, 95 %; pairs of one face are not independent, so that the
true ones are wider.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from face_anonymizer.modules.recognition.settings import DLIB_PUBLISHED, ReaderSettings

DLIB = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, DLIB_PUBLISHED)
FACERES = (0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)


class Read(NamedTuple):
    """Measurable faces. name: their pictures' names, with "#n" for face n of several. [N], [N, 128], [N, 1024]."""

    name: np.ndarray
    dlib: np.ndarray
    faceres: np.ndarray


class People(NamedTuple):
    """same: face -> number of the person. left_out: faces that are no person's or drawn."""

    same: dict[str, int]
    left_out: set[str]


def load(paths: list[Path]) -> tuple[Read, dict[str, int]]:
    """The measurable faces of several files, and how many faces there were of each reason ("" for measurable)."""
    names, dlib, faceres, reasons = [], [], [], {}
    for path in paths:
        data = np.load(path)
        seen: dict[str, int] = {}
        for i, picture in enumerate(data["picture"]):
            name = Path(str(picture)).name
            number = seen[name] = seen.get(name, -1) + 1
            reason = str(data["reason"][i]).partition(":")[0]
            reasons[reason] = reasons.get(reason, 0) + 1
            if not reason:
                names.append(f"{name}#{number}")
                dlib.append(data["dlib"][i])
                faceres.append(data["faceres"][i])
    return Read(np.array(names), np.array(dlib), np.array(faceres)), reasons


def read_people(path: Path) -> People:
    """The list of people: a line with the faces of each, or "-" and faces to leave out; "# " begins a remark."""
    same: dict[str, int] = {}
    left_out: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        words = re.sub(r"(^|\s)# .*", "", line).split()
        if words[:1] == ["-"]:
            left_out.update(words[1:])
        else:
            same.update({word: number for word in words})
    return People(same, left_out)


def pairs(read: Read, people: People) -> tuple[np.ndarray, np.ndarray]:
    """Places of strangers' pairs and of one person's, each [P, 2]."""
    strangers, genuine = [], []
    scene = [re.sub(r"-?\d*\.\w+#\d+$", "", name) for name in read.name]
    picture = [name.rpartition("#")[0] for name in read.name]
    person = [people.same.get(name) for name in read.name]
    kept = [i for i, name in enumerate(read.name) if name not in people.left_out]
    for place, i in enumerate(kept):
        for j in kept[place + 1 :]:
            if picture[i] == picture[j]:
                continue
            if person[i] is not None and person[i] == person[j]:
                genuine.append((i, j))
            elif scene[i] != scene[j]:
                strangers.append((i, j))
    return np.array(strangers).reshape(-1, 2), np.array(genuine).reshape(-1, 2)


def interval(hits: int, count: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, 95 %."""
    if not count:
        return 0.0, 1.0
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, count - hits + 1))
    high = 1.0 if hits == count else float(beta.ppf(0.975, hits + 1, count - hits))
    return low, high


def share(found: np.ndarray) -> str:
    """Hits, and their share with its interval, in words."""
    hits, count = int(found.sum()), len(found)
    low, high = interval(hits, count)
    return f"{hits} of {count} ({low:.2%} to {high:.2%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("read", type=Path, nargs="+")
    parser.add_argument("--people", type=Path, default=Path(__file__).with_name("people.txt"))
    parser.add_argument("--nearest", type=int, default=0, help="print so many of the nearest strangers of each")
    arguments = parser.parse_args()
    read, reasons = load(arguments.read)
    strangers, genuine = pairs(read, read_people(arguments.people))
    print(f"faces: {len(read.name)} measurable; " + ", ".join(f"{v} {k}" for k, v in reasons.items() if k))

    def values(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second = places.T
        return (
            np.linalg.norm(read.dlib[first] - read.dlib[second], axis=1),
            (read.faceres[first] * read.faceres[second]).sum(1),
        )

    apart, alike = values(strangers)
    same_apart, same_alike = values(genuine)
    print(f"{len(strangers)} pairs of strangers, {len(genuine)} of one person\n")
    for name, of_strangers, of_one in (("dlib", apart, same_apart), ("faceres", alike, same_alike)):
        for who, numbers in (("strangers", of_strangers), ("one person", of_one)):
            if len(numbers):
                parts = np.quantile(numbers, (0, 0.001, 0.01, 0.5, 0.99, 0.999, 1))
                print(f"{name}, {who}: least, 0.1 %, 1 %, middle, 99 %, 99.9 %, most", *(f"{p:.3f}" for p in parts))
    print("\n| one person if | strangers taken for one person | one person taken for two |\n|---|---|---|")
    for limit in DLIB:
        print(f"| dlib < {limit} | {share(apart < limit)} | {share(same_apart >= limit)} |")
    for limit in FACERES:
        print(f"| faceres > {limit} | {share(alike > limit)} | {share(same_alike <= limit)} |")
    ours = ReaderSettings()
    either = (apart < ours.dlib_same) | (alike > ours.faceres_same)
    neither = (same_apart >= ours.dlib_same) & (same_alike <= ours.faceres_same)
    print(f"| either, at {ours.dlib_same} and {ours.faceres_same} | {share(either)} | {share(neither)} |")
    for name, order in (("dlib", np.argsort(apart)), ("faceres", np.argsort(-alike))):
        for place in order[: arguments.nearest]:
            first, second = strangers[place]
            print(f"{name}: {apart[place]:.3f} {alike[place]:.3f} {read.name[first]} {read.name[second]}")
