"""The method and the recognisers on the crops of faces: painted, looked at, painted again. Pure: no ComfyUI here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ..faces.numbers import named_faces
from ..faces.paste.painted import crop_digest
from ..faces.types import Face, Faces, Painted
from ..model.engine import Engine, Progress
from ..model.painting import Sitting
from ..model.settings import PaintSettings
from ..model.sources import SourceFaces
from ..recognition.verdict import Verification
from .loop import Chosen, Sitter, choose_attempts
from .schedule import Attempt
from .settings import AttemptSettings

# (original crops, results, the faces of both) -> what recognisers say of each; crops float [N, S, S, 3], 0..1
Recognise = Callable[[torch.Tensor, torch.Tensor, Sequence[Face]], Sequence[Verification]]
SourcesOf = Callable[[Sequence[int]], SourceFaces]


@dataclass(frozen=True)
class Proof:
    """What is asked of every result.

    Args:
        recognise: who looks.
        settings: how often a face is painted, and which painting is taken.
        keep: numbers of faces that leave whatever is seen on them, such as "1, 3-5".
    """

    recognise: Recognise
    settings: AttemptSettings
    keep: str = ""


class Studio:
    """Paints crops until recognisers take them for strangers, in parts of bounded memory.

    Args:
        engine: of the model.
        painting: degree, seed, sampler, how many crops go through at once.
        proof: what is asked of every result.
        progress: of the job; further attempts make it longer.
    """

    def __init__(self, engine: Engine, painting: PaintSettings, proof: Proof, progress: Progress):
        self._engine, self._painting, self._proof, self._progress = engine, painting, proof, progress

    def paint_faces(
        self, crops: torch.Tensor, faces: Faces, sources_of: SourcesOf | None = None
    ) -> tuple[torch.Tensor, Faces]:
        """Paint faces, each by itself: of n that pass at once n crops are painted, as without recognisers.

        Args:
            crops: float [N, S, S, 3 or 4], 0..1.
            faces: of these crops.
            sources_of: gives the sources of the crops at some places; None: each crop is its own.

        Returns:
            float32 [N, S, S, 3], NaN where no attempt passed and the user does not keep the face; and the faces, each
            with how it was painted.
        """
        kept = named_faces(faces, self._proof.keep, "keep")
        seeds = [self._painting.seed_of(offset) for offset in faces.seed_offsets()]
        painted, told = [], []
        for part in _parts(range(len(crops)), self._painting.faces_at_once):
            sitters = [Sitter((row,), seeds[place], sources_of is not None) for row, place in enumerate(part)]
            sources = None if sources_of is None else sources_of(part)
            mine = [faces.faces[place] for place in part]
            chosen = self.attend(crops[part], mine, sitters, sources=sources)
            for place, face, one in zip(part, mine, chosen, strict=True):
                crop, how = self.as_may_leave(one.crops[0], one.verifications[0], one, place in kept)
                painted.append(crop)
                told.append(replace(face, painted=how))
        if not painted:
            return crops[..., :3].float(), faces
        return torch.stack(painted), replace(faces, faces=tuple(told))

    def attend(
        self,
        crops: torch.Tensor,
        faces: Sequence[Face],
        sitters: Sequence[Sitter],
        *,
        sources: SourceFaces | None = None,
        is_planned: bool = True,
    ) -> list[Chosen]:
        """Choose the attempt of sitters whose crops go through the networks together.

        Args:
            crops: float [N, S, S, 3 or 4], 0..1, at most faces_at_once of them.
            faces: of these crops.
            sitters: of these crops.
            sources: as for Sitting.
            is_planned: whether the progress knows of the first run.
        """
        sitting = Sitting(self._engine, crops, self._painting.sampler, sources)

        def paint(places: Sequence[int], seeds: Sequence[int], degree: float) -> torch.Tensor:
            nonlocal is_planned
            if not is_planned:
                self._progress.add_runs(1)
            self._progress.start_run(len(places), again=not is_planned)
            is_planned = False
            which = None if list(places) == list(range(len(crops))) else places
            return sitting.paint(seeds, degree, self._progress.step, which)

        def check(places: Sequence[int], results: torch.Tensor) -> Sequence[Verification]:
            return self._proof.recognise(crops[list(places)], results, [faces[place] for place in places])

        settings = self._proof.settings
        return choose_attempts(sitters, crops, self._painting.degree, settings, paint=paint, check=check)

    def paint_chosen(
        self, crops: torch.Tensor, faces: Faces, attempts: Sequence[tuple[Attempt, int]]
    ) -> tuple[torch.Tensor, Faces]:
        """Paint each face once, as was chosen for its person, and let recognisers look.

        Args:
            crops: float [N, S, S, 3 or 4], 0..1.
            faces: of these crops.
            attempts: one a face, with how many were made for the choice.

        Returns:
            As paint_faces.
        """
        kept = named_faces(faces, self._proof.keep, "keep")
        crops_of, faces_of = {}, {}
        planned = -(-len(crops) // self._painting.faces_at_once)
        for degree in sorted({attempt.degree for attempt, _ in attempts}):
            mine = [place for place, (attempt, _) in enumerate(attempts) if attempt.degree == degree]
            for part in _parts(mine, self._painting.faces_at_once):
                if planned == 0:
                    self._progress.add_runs(1)
                planned = max(0, planned - 1)
                self._progress.start_run(len(part))
                seeds = [attempts[place][0].seed for place in part]
                sitting = Sitting(self._engine, crops[part], self._painting.sampler)
                results = sitting.paint(seeds, degree, self._progress.step)
                said = self._proof.recognise(crops[part], results, [faces.faces[place] for place in part])
                for place, crop, verification in zip(part, results, said, strict=True):
                    attempt, count = attempts[place]
                    one = Chosen(attempt, count, crop[None], (verification,))
                    crops_of[place], how = self.as_may_leave(crop, verification, one, place in kept)
                    faces_of[place] = replace(faces.faces[place], painted=how)
        places = range(len(crops))
        if not places:
            return crops[..., :3].float(), faces
        return torch.stack([crops_of[i] for i in places]), replace(faces, faces=tuple(faces_of[i] for i in places))

    @staticmethod
    def as_may_leave(
        crop: torch.Tensor, verification: Verification, chosen: Chosen, is_kept: bool
    ) -> tuple[torch.Tensor, Painted]:
        """A crop as it may leave: NaN where it did not pass, so that Paste Faces covers the face; and its story.

        Args:
            crop: float [S, S, 3].
            verification: of this crop.
            chosen: the attempt that it is of.
            is_kept: whether the user lets it leave whatever was seen.
        """
        count = "1 attempt" if chosen.painted == 1 else f"{chosen.painted} attempts"
        how = Painted(
            chosen.painted,
            chosen.attempt.degree,
            chosen.attempt.seed,
            verification.to_dict(),
            refused="" if verification.passed else f"{verification.reason}, after {count}",
            kept=is_kept and not verification.passed,
            digest=crop_digest(crop),
        )
        if how.refused and not how.kept:
            crop = torch.full_like(crop, torch.nan)
        return crop, how


def _parts(places: Sequence[int], at_once: int) -> list[list[int]]:
    """The places in order, at most so many in each part."""
    return [list(places[start : start + at_once]) for start in range(0, len(places), at_once)]
