"""Paste what came back from the model, look at the result, and fail closed: a face that is refused is covered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import torch

from ..detect.glance import LEAST, of_one_picture
from ..notes import PARTS_KEPT, Doubt
from ..numbers import named_faces
from ..outcomes import KEPT_BY_USER, REDACTED, Outcome
from ..report import Report, entries_elsewhere, report_faces
from ..settings import KEEP, MOST_FEATHER, PasteSettings, RedactSettings
from ..types import Face, Faces
from .at_place import half_open, open_beside, who_is_there
from .compositing import check_protect, paste_into, shield_of
from .edge import Edge
from .exchange import Originals
from .look import LEAST_OF_SEEN, Find, Look, faces_seen, judge_glance, judge_seen, look_at_crop, look_at_faces
from .masks import FaceShapes
from .painted import judge_painted, with_what_holds
from .placement import Placement, check_crops, placements_in
from .redaction import cover
from .repaint import judge_of_repaints, painted_already, with_originals
from .verdicts import PARTLY, Verdict


def replace_faces(
    images: torch.Tensor,
    crops: torch.Tensor,
    faces: Faces,
    settings: PasteSettings = PasteSettings(),
    *,
    look: Look = Look(),
    protect: torch.Tensor | None = None,
    earlier: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, Report]:
    """The images with every crop pasted, where they were changed, and the report of it.

    Each face is looked at (look.py): the crop before it is pasted, the finished picture afterwards. A face that is
    refused is covered by settings.fallback, and its crop is not in the result. With KEEP, and where settings.keep_faces
    names it, it stays as it came instead; a crop that is no picture is never pasted.

    Args:
        images, crops, faces, protect, progress: as for paste_faces.
        settings: how crops are pasted, and what becomes of faces that are refused. A feather beyond MOST_FEATHER, at
            which the original would show through, is limited to it, and the report says so.
        look: who looks, and what the report calls a face that passes.
        earlier: the report of the steps before: faces that those painted may stay as these pictures show them.

    Returns:
        Images like the input, mask float32 [B, H, W], 0..1, what was replaced or covered, and the report.

    Raises:
        ValueError: counts or sizes do not fit together, or a face has no matrix.
    """
    check_crops(images, crops, faces)
    check_protect(protect, faces)
    kept = named_faces(faces, settings.keep_faces, "keep")
    notes = []
    if len(faces) and settings.feather > (most := MOST_FEATHER[settings.region]):
        notes.append(
            f"feather {settings.feather:g} was limited to {most:g}: with region {settings.region} more would let the "
            "original show through"
        )
        settings = replace(settings, feather=most)
    faces, holds = with_what_holds(faces, crops, settings, protect is not None)
    notes += holds
    kept_as_painted = frozenset(i for i, face in enumerate(faces) if face.painted is not None and face.painted.kept)
    repainted = painted_already(images, faces, earlier)
    faces = with_originals(faces, repainted)
    exchange = (Originals(faces),) if not look.swap and len(faces) > 1 else ()
    again = (judge_of_repaints(repainted, faces),) if repainted else ()
    look = replace(look, judges=(*exchange, *look.judges, *again, judge_painted))
    result = images.clone()
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    outcomes: dict[int, Outcome] = {}
    elsewhere: list[Face] = []
    for index in range(faces.image_count):
        placements = placements_in(index, images, crops, faces, repainted)
        picture = _Picture(result[index], mask[index], placements, settings, kept)
        picture.kept_as_painted = kept_as_painted
        picture.paste(look, shield_of(protect, index))
        if look.find is not None and picture.placements and (look.looks_at(index) or picture.refused):
            elsewhere += picture.look_for_faces(look.find, faces, index)
        for i, verdict in picture.verdicts.items():
            outcome = verdict.outcome(
                look.action, fallback_keeps=settings.fallback == KEEP, user_keeps=picture.user_keeps(i)
            )
            is_covered = outcome.action == REDACTED
            outcomes[i] = outcome._replace(cover=settings.fallback) if is_covered else outcome
        if progress is not None:
            progress(index + 1, faces.image_count)
    report = report_faces(faces, look.action, look.seed, outcomes).traced(images, result, look.looks_at, faces)
    if len(faces) and settings.keep:
        parts = ", ".join(settings.keep)
        why = f"of every face that was pasted the original's {parts} stay: they help to recognise a person"
        shown = (look.action, KEPT_BY_USER)
        pasted = [(entry.image, entry.box) for entry in report.entries if entry.action in shown]
        shows = sorted({image for image, _ in pasted})
        notes.insert(0, Doubt(why, PARTS_KEPT, shows, pasted) if pasted else why)
    return result, mask, replace(report, elsewhere=entries_elsewhere(elsewhere), notes=tuple(notes))


@dataclass
class _Picture:
    """One picture on its way: what is pasted into it, and what was seen.

    Args:
        image: float [H, W, C], the result, changed in place.
        mask: float32 [H, W], changed in place.
        placements: index of a face -> its crop.
        settings: of the paste.
        kept: indices of faces that the user keeps.
        kept_as_painted: indices of faces whose painting the user keeps, whatever recognisers say of it. It is no word
            on what else may be wrong with it: then the face is covered, not left as it came.
        verdicts: index of a face -> what was seen on it.
    """

    image: torch.Tensor
    mask: torch.Tensor
    placements: dict[int, Placement]
    settings: PasteSettings
    kept: frozenset[int]
    kept_as_painted: frozenset[int] = frozenset()
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    @property
    def refused(self) -> list[int]:
        """The faces that the fallback takes."""
        return [i for i, verdict in self.verdicts.items() if verdict.refused and not self._stays(i)]

    def paste(self, look: Look, shield: torch.Tensor | None) -> None:
        """Paste all crops that pass, and cover the faces of the others."""
        for i, placement in self.placements.items():
            self.verdicts[i] = look_at_crop(placement, self.settings.min_size)
            if self.verdicts[i].refused or not self.settings.colour_match:
                placement.forget_cut()  # nobody needs it any more
        edge = Edge(self.settings.region, self.settings.feather)
        self._paste_once(shield)
        while True:
            pasted = self._pasted()
            seen = look_at_faces([self.placements[i] for i in pasted], self.image, self.mask, edge, look)
            self.verdicts |= dict(zip(pasted, seen, strict=True))
            if self._pasted() == pasted:
                break
            # once more without them: a refused crop is no better than what it shows
            self._paste_once(shield)
        self._cover()

    def look_for_faces(self, find: Find, faces: Faces, index: int) -> list[Face]:
        """Let the detector look at the finished picture; gives the faces elsewhere, of that picture of the batch."""
        alone, places = of_one_picture(faces, index)
        # the picture is not the one that they were found in, or was changed since
        came = next(iter(self.placements.values())).image
        moved = [i for i, placement in self.placements.items() if placement.first is not None]
        self._cover_what_is_seen(faces_seen(find, came, alone, places, moved), moved)
        near = who_is_there(find, came, alone).beside(alone)
        self._cover_who_is_beside({places[i]: there for i, there in near.items()})
        pasted = self._pasted()
        found = find(self.image, alone, [places.index(i) for i in pasted])
        scores = dict(zip(places, found.scores, strict=True))
        missing = [i for i in pasted if scores[i] < LEAST and not self.verdicts[i].refused]
        if missing:
            # where the original has no face for this look either (turned away, hidden), none can be expected
            before = find(self.placements[missing[0]].image, alone, [places.index(i) for i in missing])
            missing = [i for i in missing if before.scores[places.index(i)] >= LEAST]
        for i in missing:
            seen = self.verdicts[i]
            missed = judge_glance(scores[i], LEAST, painted=True)
            self.verdicts[i] = replace(missed, covered=seen.covered, verification=seen.verification)
        seen = (*found.elsewhere, *open_beside(found.found, alone, self.mask))
        return [replace(face, image_index=index) for face in seen]

    def user_keeps(self, i: int) -> bool:
        """Whether a refused face stays because the user named it."""
        verdict = self.verdicts[i]
        is_by_recognisers = verdict.pasteable and verdict.verification is not None
        return i in self.kept or (i in self.kept_as_painted and is_by_recognisers)

    def _cover_what_is_seen(self, seen: dict[int, Face], moved: Collection[int]) -> None:
        """Cover faces of which more can be seen than the box that another node gave, or that lie elsewhere."""
        small = {}
        for i, ours in seen.items():
            verdict = judge_seen(ours, self.mask, self.placements[i].face if i in moved else None)
            if verdict.refused:
                small[i] = ours
                self.verdicts[i] = self.verdicts[i] if self.verdicts[i].refused else verdict
        covered = [FaceShapes(ours) for i, ours in small.items() if not self._stays(i)]
        if covered:
            cover(self.image, self.mask, covered, RedactSettings(self.settings.fallback))
            self._cover()

    def _cover_who_is_beside(self, near: dict[int, list[Face]]) -> None:
        """Cover faces that stand half beside the places of listed ones: the picture is another shot."""
        for i, there in near.items():
            open_, why = half_open(there, self.mask, LEAST_OF_SEEN)
            if open_ and not self._stays(i):
                cover(self.image, self.mask, open_, RedactSettings(self.settings.fallback))
                self.verdicts[i] = self.verdicts[i] if self.verdicts[i].refused else Verdict(PARTLY, why)
                self._cover()

    def _stays(self, i: int) -> bool:
        return self.user_keeps(i) or self.settings.fallback == KEEP

    def _pasted(self) -> list[int]:
        return [i for i, v in self.verdicts.items() if not v.refused or (v.pasteable and self._stays(i))]

    def _paste_once(self, shield: torch.Tensor | None) -> None:
        pasted = [self.placements[i] for i in self._pasted()]
        if self.mask.any():
            self.image.copy_(next(iter(self.placements.values())).image)
            self.mask.zero_()
        paste_into(self.image, self.mask, pasted, self.settings, shield)

    def _cover(self) -> None:
        # last, as a neighbour's crop may show the refused face once more
        if refused := self.refused:
            covering = RedactSettings(self.settings.fallback)
            cover(self.image, self.mask, [self.placements[i].shapes for i in refused], covering)
