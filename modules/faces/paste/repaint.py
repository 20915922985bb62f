"""Second passes: of a face that an earlier step painted, the picture shows a stranger already, and may go on doing so.

The report of that step tells which faces those are, and its traces whether this picture is what came out of it. Then
the result need not differ from what the picture shows; it must not show what was there before that step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..alignment import invert_affine, remember_faces
from ..boxes import iou
from ..originals import as_colours, read_square
from ..outcomes import ANONYMIZED, SWAPPED, box_of
from ..report import Report
from ..traces import Trace, by_image, shows_original, shows_result
from ..types import Face, Faces
from .likeness import compare
from .verdicts import STILL_ORIGINAL, Judge, Sight, Verdict

_LEAST_AT_PLACE = 0.4  # intersection over union of two boxes of one face, found before and after it was painted


def painted_already(images: torch.Tensor, faces: Faces, earlier: Report | None) -> dict[int, Trace]:
    """The faces that the pictures show as an earlier step painted them.

    Args:
        images: float [B, H, W, C], 0..1, before this step.
        faces: of these pictures.
        earlier: the report of the steps before; None: there were none.

    Returns:
        Index of a face -> what the earlier step made of it.
    """
    if earlier is None or (earlier.images, earlier.height, earlier.width) != images.shape[:3]:
        return {}
    painted = {(entry.image, entry.box) for entry in earlier.entries if entry.action in (ANONYMIZED, SWAPPED)}
    traces = by_image(trace for trace in earlier.traces if trace.key in painted)
    found = {i: _trace_of(face, traces.get(face.image_index, ())) for i, face in enumerate(faces)}
    return {
        i: trace
        for i, trace in found.items()
        if trace is not None and shows_result(images[faces.faces[i].image_index], trace)
    }


def painted_over(images: torch.Tensor, faces: Faces, report: Report) -> dict[int, Trace]:
    """The faces that the report's steps painted, of which the pictures show something else than was there at first.

    Args:
        images: float [B, H, W, C], 0..1, of some step, of the size of the report's.
        faces: of these pictures, with the boxes by which the report knows them.
        report: of the last step.

    Returns:
        Index of a face -> what those steps made of it; the first original is known of each.
    """
    painted = {(entry.image, entry.box) for entry in report.entries if entry.action in (ANONYMIZED, SWAPPED)}
    known = {trace.key: trace for trace in report.traces if trace.key in painted and trace.original is not None}
    found = {}
    for i, face in enumerate(faces):
        trace = known.get((face.image_index, box_of(face)))
        if trace is None or trace.original is None:
            continue
        (member,) = remember_faces(images, replace(faces, faces=(face,)))
        matrix, size = member.crop_place()
        to_picture = invert_affine(matrix)
        first = as_colours(trace.original.at(to_picture, size))
        if not compare(first, *read_square(images[face.image_index], to_picture, size)).is_original:
            found[i] = trace
    return found


def with_originals(faces: Faces, traces: Mapping[int, Trace]) -> Faces:
    """The faces of which those that were found in the painted picture remember the first one instead.

    Args:
        faces: with what they remember.
        traces: of painted_already or painted_over.
    """
    members = list(faces)
    for i, trace in traces.items():
        if trace.original is not None:
            matrix, size = members[i].crop_place()
            members[i] = replace(members[i], original=trace.original.at(invert_affine(matrix), size))
    return replace(faces, faces=tuple(members))


def judge_of_repaints(traces: Mapping[int, Trace], faces: Faces) -> Judge:
    """A judge that refuses what shows again what was there before the earlier step.

    Args:
        traces: of painted_already.
        faces: that those are of.
    """
    known = {id(faces.faces[i]): trace for i, trace in traces.items()}

    def judge(sights: Sequence[Sight]) -> list[Verdict | None]:
        said: list[Verdict | None] = []
        for sight in sights:
            trace = known.get(id(sight.placement.face))
            is_back = trace is not None and shows_original(sight.after, trace)
            said.append(Verdict(STILL_ORIGINAL, "it shows what an earlier step had painted over") if is_back else None)
        return said

    return judge


def _trace_of(face: Face, traces: Sequence[Trace]) -> Trace | None:
    if not traces:
        return None
    overlaps = iou(face.box[None], np.array([trace.box for trace in traces]))[0]
    best = int(overlaps.argmax())
    return traces[best] if overlaps[best] >= _LEAST_AT_PLACE else None
