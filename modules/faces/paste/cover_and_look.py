"""Cover faces, and look at the result: is enough of each covered, does a detector still find one, are there others?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from ..alignment import check_faces, remember_faces
from ..detect.glance import of_one_picture
from ..numbers import named_faces, percent
from ..outcomes import AS_SEEN, KEPT, KEPT_BY_USER, OVAL_TOO, REDACTED, Outcome
from ..report import Report, entries_elsewhere, report_faces
from ..settings import RedactSettings
from ..types import Face, Faces
from .at_place import changed_before, doubt_of, half_open, open_beside, who_is_there
from .coverage import LEAST, covered_share
from .look import STILL_FOUND, Look, faces_seen, judge_glance, judge_seen
from .masks import FaceShapes
from .redaction import cover


def cover_and_look(
    images: torch.Tensor,
    faces: Faces,
    settings: RedactSettings = RedactSettings(),
    *,
    look: Look = Look(REDACTED),
    earlier: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, Report]:
    """The images with every face covered, where, and the report of it.

    A shape that covers less than nine tenths of a face's oval, as an ellipse without margin, is followed by the oval
    itself, and the report says so; where settings.keep_faces names the face, it stays as the shape left it. After
    "solid" no detector may find the face; a mosaic or blur that it finds is only reported. Where a place shows
    something else than where its face was found, what a detector sees at it and half beside it is covered too.

    Args:
        images: float [B, H, W, C], 0..1. Never modified.
        faces: of these images.
        settings: how they are covered.
        look: who looks.
        earlier: the report of the steps before: the places of faces that those changed show something else.
        progress: called with (pictures done, all) after each.

    Returns:
        As redact_faces, and the report.

    Raises:
        ValueError: as redact_faces.
    """
    check_faces(images, faces)
    kept = named_faces(faces, settings.keep_faces, "keep")
    result = images.clone()
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    outcomes: dict[int, Outcome] = {}
    elsewhere: list[Face] = []
    doubtful: list[tuple[int, Face]] = []
    for index in range(faces.image_count):
        alone, places = of_one_picture(faces, index)
        shapes = {i: FaceShapes(faces.faces[i]) for i in places}
        cover(result[index], mask[index], list(shapes.values()), settings)
        low = {}
        for i in places:
            share = covered_share(mask[index], shapes[i])
            outcomes[i] = Outcome(look.action, covered=share)
            if share < LEAST:
                low[i] = share
        _cover_ovals(result[index], mask[index], {i: shapes[i] for i in low if i not in kept}, settings)
        for i, share in low.items():
            outcomes[i] = _of_little(share, covered_share(mask[index], shapes[i]), settings, i in kept)
        if look.find is not None:
            for i, seen in faces_seen(look.find, images[index], alone, places).items():
                verdict = judge_seen(seen, mask[index])
                if verdict.refused and i in kept:
                    outcomes[i] = Outcome(KEPT_BY_USER, verdict.reason, verdict.word, verdict.covered)
                elif verdict.refused:
                    _cover_ovals(result[index], mask[index], {i: FaceShapes(seen)}, settings)
                    why = f"{verdict.why}: what it sees was covered too"
                    outcomes[i] = Outcome(look.action, why, AS_SEEN, 1.0)
        present = who_is_there(look.find, images[index], alone, changed_before(alone, earlier, look.first + index))
        doubtful += [(places[i], faces.faces[places[i]]) for i in present.doubtful]
        for number, there in present.near.items():
            open_, why = half_open(there, mask[index])
            if open_ and (i := places[number]) not in kept:
                _cover_ovals(result[index], mask[index], dict(enumerate(open_)), settings)
                outcomes[i] = Outcome(look.action, why, AS_SEEN, 1.0)
        if look.find is not None and places and (look.looks_at(index) or low or present.near):
            found = look.find(result[index], alone, ())
            seen = (*found.elsewhere, *open_beside(found.found, alone, mask[index]))
            elsewhere += [replace(face, image_index=index) for face in seen]
            for i, score in zip(places, found.scores, strict=True):
                verdict = judge_glance(score, STILL_FOUND, painted=False)
                if verdict.refused and outcomes[i].action == look.action:
                    failed = KEPT if settings.mode == "solid" else look.action
                    outcomes[i] = Outcome(failed, verdict.reason, verdict.word, outcomes[i].covered)
        if progress is not None:
            progress(index + 1, faces.image_count)
    for i, outcome in outcomes.items():
        if outcome.action == REDACTED:
            outcomes[i] = outcome._replace(cover=settings.mode)
    # who was covered is still somebody whom a later step's results may not show; of a film, in some frames
    known = remember_faces(images, replace(faces, faces=tuple(f for f in faces if look.looks_at(f.image_index))))
    report = report_faces(faces, look.action, reasons=outcomes).traced(images, result, look.looks_at, known)
    if doubtful:
        report = report.noting(doubt_of(doubtful, sorted({face.image_index for _, face in doubtful})))
    return result, mask, replace(report, elsewhere=entries_elsewhere(elsewhere))


def _cover_ovals(
    image: torch.Tensor, mask: torch.Tensor, shapes: dict[int, FaceShapes], settings: RedactSettings
) -> None:
    if shapes:
        cover(image, mask, list(shapes.values()), replace(settings, shape="oval", margin=0.0))


def _of_little(share: float, covered: float, settings: RedactSettings, kept: bool) -> Outcome:
    """The outcome of a face of which the shape alone covered too little."""
    shape = f"the {settings.shape} with margin {settings.margin:g}"
    why = f"{shape} covers {percent(share)} of the face's oval, {LEAST:.0%} is the least"
    if kept:
        return Outcome(KEPT_BY_USER, why, KEPT, share)
    return Outcome(REDACTED, f"{why}: the oval was covered too", OVAL_TOO, covered)
