"""Faces that a report calls covered: which of them a picture shows all the same, be they turned, moved or negative."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import torch

from ..faces.detect.glance import of_one_picture
from ..faces.outcomes import box_of
from ..faces.paste.look import STILL_FOUND, Find
from ..faces.traces import Trace, by_image, open_faces, shows_cover
from ..faces.types import Faces
from .pixels import own_originals, sights_of
from .verdict import FAILED, NOT_MEASURABLE
from .verifying import Verified

_SAYS = "it was covered, says the report"


def uncovered(
    before: torch.Tensor,
    after: torch.Tensor,
    faces: Faces,
    covered: Collection[int],
    *,
    traces: Iterable[Trace],
    find: Find,
) -> dict[int, str]:
    """The faces that were covered and that pictures show: place -> what was seen, in words.

    A face that shows its cover, or nothing at all, needs no further look. The others are looked at as Paste Faces looks
    at what was painted, and by the detector.

    Args:
        before: float [B, H, W, C], 0..1, the originals.
        after: of the same size, what became of them.
        faces: of these pictures.
        covered: places of those that a report calls covered.
        traces: of that report.
        find: looks for faces.
    """
    known = by_image(traces)
    open_ = open_faces(after, known)
    traces_of = {trace.key: trace for each in known.values() for trace in each}
    found: dict[int, str] = {}
    asked: dict[int, set[int]] = {}
    for i in covered:
        face = faces.faces[i]
        key = face.image_index, box_of(face)
        if key in open_:
            found[i] = f"{_SAYS}, but the picture shows it as it was"
        elif not shows_cover(after[face.image_index], key, traces_of.get(key)):
            asked.setdefault(face.image_index, set()).add(i)
    for index, mine in asked.items():
        alone, places = of_one_picture(faces, index)
        members = sorted(mine)
        rows = [places.index(i) for i in members]
        one = slice(index, index + 1)
        sights = sights_of(before[one], after[one], replace(alone, faces=tuple(alone.faces[row] for row in rows)))
        found.update((members[at], f"{_SAYS}, but {why}") for at, why in own_originals(sights).items())
        scores = find(after[index], alone, rows).scores
        for i, row in zip(members, rows, strict=True):
            if scores[row] >= STILL_FOUND:
                why = f"the detector's score is {scores[row]:.2f}, below {STILL_FOUND:g} was expected"
                found.setdefault(i, f"{_SAYS}, but {why}")
    return found


def not_covered(verified: Verified, shown: Mapping[int, str]) -> Verified:
    """The verdicts, of which those on faces that should be covered fail where recognisers can say nothing of them.

    Args:
        verified: of all faces.
        shown: of uncovered.
    """
    said = list(verified.verifications)
    for i, why in shown.items():
        one = said[i]
        if one is not None and one.verdict in (NOT_MEASURABLE, FAILED):
            said[i] = replace(one, verdict=FAILED, reason=why)
    return replace(verified, verifications=tuple(said))
