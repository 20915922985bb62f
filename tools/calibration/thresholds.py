"""How often strangers pass for one person, and one person for two: tables out of what calibration.reading read.

    python tools/run.py calibration.thresholds READ.npz
    python tools/run.py calibration.thresholds READ.npz --nearest 40     the nearest strangers, to look at

People are split into two halves that have about as many pictures each. On the first half the thresholds are chosen: in
steps of 0.05 the widest at which a recogniser alone takes at most MOST_FALSE of the strangers for one person. All
tables are of the second half, whose people nothing was chosen by.

Pairs are of different pictures. Faces that are not measurable are left out. Intervals are 95 %, percentiles of a
bootstrap over people, as pairs of one person are not independent of each other; of no hits at all the upper end is
three in the number of pairs of people ("rule of three"). A false accept rate is published where 30 false accepts stand
behind it ("rule of 30", Doddington et al., 2000); what is below is given as less than that.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from face_anonymizer.modules.recognition.settings import DLIB_PUBLISHED, ReaderSettings

from .reading import LIST, Listed, read_list

MOST_FALSE = 0.01  # of the strangers of the first half
DLIB = (0.4, 0.45, 0.5, 0.55, DLIB_PUBLISHED, 0.65)
FACERES = (0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
DRAWS, LEAST_HITS = 2000, 30


class Pairs(NamedTuple):
    """Pairs of faces of different pictures: [P] each.

    Args:
        first: place of the first person among the people.
        second: of the second.
        dlib: the distance.
        faceres: the cosine.
        drawn: whether both are generated people.
    """

    first: np.ndarray
    second: np.ndarray
    dlib: np.ndarray
    faceres: np.ndarray
    drawn: np.ndarray

    def of(self, rows: np.ndarray) -> Pairs:
        """Some of them."""
        return Pairs(*(values[rows] for values in self))


class Half(NamedTuple):
    """One half of the people: their names in order, the number of their faces, and all pairs."""

    names: list[str]
    faces: int
    strangers: Pairs
    genuine: Pairs


def halves(listed: list[Listed], read: dict[str, np.ndarray]) -> tuple[Half, Half]:
    """Both halves of the people whose faces were read and are measurable."""
    rows = np.flatnonzero(read["reason"] == "")
    lines = [listed[read["number"][row]] for row in rows]
    counts = dict.fromkeys((line.person for line in lines), 0)
    for line in lines:
        counts[line.person] += 1
    ordered = sorted(counts, key=lambda person: (-counts[person], person))
    second = {person for place, person in enumerate(ordered) if place % 4 in (1, 2)}  # so that both have as many pairs
    found = []
    for chosen in (False, True):
        inside = [i for i, line in enumerate(lines) if (line.person in second) == chosen]
        found.append(_half([lines[i] for i in inside], read["dlib"][rows[inside]], read["faceres"][rows[inside]]))
    return found[0], found[1]


def _half(lines: list[Listed], dlib: np.ndarray, faceres: np.ndarray) -> Half:
    names, person = np.unique([line.person for line in lines], return_inverse=True)
    pictures = np.array([line.picture for line in lines])
    drawn = np.array([line.source.startswith("templates") for line in lines])
    first, second = np.triu_indices(len(lines), 1)
    apart = pictures[first] != pictures[second]
    first, second = first[apart], second[apart]
    pairs = Pairs(
        person[first],
        person[second],
        np.linalg.norm(dlib[first] - dlib[second], axis=1),
        (faceres[first] * faceres[second]).sum(1),
        drawn[first] & drawn[second],
    )
    same = pairs.first == pairs.second
    return Half(names.tolist(), len(lines), pairs.of(~same), pairs.of(same))


def chosen(strangers: Pairs) -> tuple[float, float]:
    """The thresholds of dlib's distance and FaceRes' cosine.

    Args:
        strangers: pairs of other people, from whom they are chosen.

    Raises:
        SystemExit: there are too few of them to see a false accept rate of MOST_FALSE.
    """
    if len(strangers.dlib) * MOST_FALSE < LEAST_HITS:
        raise SystemExit(
            f"{len(strangers.dlib)} pairs of strangers are too few: a threshold that takes {MOST_FALSE:.2%} of them "
            f"for one person needs {math.ceil(LEAST_HITS / MOST_FALSE)}. Read more people."
        )
    dlib = max(limit for limit in DLIB if (strangers.dlib < limit).mean() <= MOST_FALSE)
    faceres = min(limit for limit in FACERES if (strangers.faceres > limit).mean() <= MOST_FALSE)
    return dlib, faceres


def interval(pairs: Pairs, hits: np.ndarray, people: int) -> tuple[float, float]:
    """Percentiles of the share of hits over draws of people, 95 %.

    Args:
        pairs: all pairs.
        hits: bool [P], which of them are hits.
        people: how many there are.
    """
    if not hits.any():
        return 0.0, min(1.0, 3 / max(1, len(np.unique(np.stack([pairs.first, pairs.second]), axis=1).T)))
    found, all_pairs = (np.zeros((people, people)) for _ in range(2))
    np.add.at(found, (pairs.first, pairs.second), hits)
    np.add.at(all_pairs, (pairs.first, pairs.second), 1)
    drawn = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), size=DRAWS).astype(float)
    if (pairs.first == pairs.second).all():  # a person who is drawn twice has the pairs twice
        shares = drawn @ found.diagonal() / np.maximum(drawn @ all_pairs.diagonal(), 1)
    else:
        hit, shown = (np.einsum("di,ij,dj->d", drawn, matrix, drawn, optimize=True) for matrix in (found, all_pairs))
        shares = hit / np.maximum(shown, 1)
    low, high = np.percentile(shares, (2.5, 97.5))
    return float(low), float(high)


def share(pairs: Pairs, hits: np.ndarray, people: int, published: bool = False) -> str:
    """Hits, and their share with its interval, in words; of a published rate only what the count supports."""
    low, high = interval(pairs, hits, people)
    least = LEAST_HITS / max(1, len(hits))
    given = f"under {least:.2%}" if published and hits.mean() < least else f"{hits.mean():.2%}"
    return f"{given} ({int(hits.sum())} of {len(hits)}; {low:.2%} to {high:.2%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("read", type=Path)
    parser.add_argument("--list", type=Path, default=LIST, help="of the faces")
    parser.add_argument("--nearest", type=int, default=0, help="print so many of the nearest strangers of each")
    arguments = parser.parse_args()
    listed = read_list(arguments.list)
    with np.load(arguments.read) as data:
        read = {name: data[name] for name in data.files}
    first, second = halves(listed, read)
    for name, half in (("chosen by", first), ("measured on", second)):
        print(
            f"{name}: {len(half.names)} people, {half.faces} faces, {len(half.strangers.dlib)} pairs of strangers, "
            f"{len(half.genuine.dlib)} of one person"
        )
    dlib, faceres = chosen(first.strangers)
    has = ReaderSettings()
    print(f"chosen: one person if dlib < {dlib} or FaceRes > {faceres}")
    print(f"the reader's own: dlib < {has.dlib_same}, FaceRes > {has.faceres_same}\n")
    strangers, genuine, people = second.strangers, second.genuine, len(second.names)
    print("| one person if | strangers taken for one person | of generated people | one person taken for two |")
    print("|---|---|---|---|")
    rows = [(f"dlib < {limit}", strangers.dlib < limit, genuine.dlib < limit) for limit in DLIB]
    rows += [(f"FaceRes > {limit}", strangers.faceres > limit, genuine.faceres > limit) for limit in FACERES]
    for a, b in dict.fromkeys([(0.5, 0.6), (DLIB_PUBLISHED, 0.65), (dlib, faceres)]):
        either = [(pairs.dlib < a) | (pairs.faceres > b) for pairs in (strangers, genuine)]
        rows.append((f"either: dlib < {a} or FaceRes > {b}", *either))
    for title, wrong, right in rows:
        drawn = share(strangers.of(strangers.drawn), wrong[strangers.drawn], people, published=True)
        missed = share(genuine, ~right, people)
        print(f"| {title} | {share(strangers, wrong, people, published=True)} | {drawn} | {missed} |")
    pairs, names = second.strangers, second.names
    for order, which in ((np.argsort(pairs.dlib), "dlib"), (np.argsort(-pairs.faceres), "FaceRes")):
        for i in order[: arguments.nearest]:
            who = f"{names[pairs.first[i]]} {names[pairs.second[i]]}"
            print(f"{which}: {pairs.dlib[i]:.3f} {pairs.faceres[i]:.3f} {who}")
