"""Whose face each person of a clip gets: one driver for crops in one batch and for crops that come by chunks.

Here the faces of a clip meet the method, which knows crops alone. Pure: no ComfyUI here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..attempts.people import choose_for_people
from ..attempts.schedule import Attempt
from ..attempts.settings import FIXED
from ..attempts.studio import Proof, Studio
from ..faces.settings import SAME_FACE
from ..faces.track.tracking import best_frames
from ..faces.types import Faces, Painted
from ..model.engine import Engine
from ..model.painting import anonymize_crops, runs, sources_for, swap_crops
from ..model.settings import PaintSettings
from ..model.sources import Sources


class PeoplePainter:
    """Paints the crops of a clip's faces, one batch after the other, with one progress bar.

    For "same face" the best frame of each person is anonymized at once, before the first batch. Where recognisers look,
    a person's attempts are made before it too: on that frame, or for "same noise" on three frames. All frames are then
    painted with the attempt that was chosen, and looked at; one that does not pass comes back as NaN.

    Args:
        model: the engine that paints.
        painting: degree, seed, sampler.
        identity: one of faces.settings.IDENTITIES.
        faces: all faces of the clip; for "same face" each has its track.
        crops_at: gives the crops of a few faces, float [N, S, S, 3], 0..1, by their places in `faces`.
        batches: how many faces each later call of paint has, for the progress bar.
        proof: what recognisers ask of every result; None: nobody looks.

    Raises:
        ValueError: "same face" with faces that were not tracked, or batches of another number of faces.
    """

    def __init__(
        self,
        model: Engine,
        painting: PaintSettings,
        identity: str,
        faces: Faces,
        *,
        crops_at: Callable[[list[int]], torch.Tensor],
        batches: Sequence[int],
        proof: Proof | None = None,
    ):
        same_face = identity == SAME_FACE
        if same_face and any(face.track is None for face in faces):
            raise ValueError(
                f'identity "{SAME_FACE}" needs to know who is who: put Track Faces before Crop Faces, or take the '
                "faces of a video from Track Faces in Video."
            )
        if sum(batches) != len(faces):
            raise ValueError(
                f"There are {sum(batches)} crops but {len(faces)} faces: connect the faces of these crops."
            )
        best = best_frames(faces) if same_face else {}
        self._model, self._painting, self._proof = model, painting, proof
        counts = (len(best), *batches)
        self._progress = model.progress(painting, sum(runs(count, painting) for count in counts), sum(counts))
        self._synthetic: Sources | None = None  # a crop for each person, read once for all frames
        self._row_of_track: dict[int | None, int] = {track: row for row, track in enumerate(best)}
        self._people: dict[int | None, Painted] = {}  # of "same face", how each person was painted
        self._chosen: dict[int | None, tuple[Attempt, int]] = {}  # of "same noise", each person's attempt
        if best:
            self._paint_people(crops_at(list(best.values())), list(best), faces, list(best.values()))
        elif proof is not None and any(face.track is not None for face in faces):
            chosen = choose_for_people(self._studio(proof), faces, crops_at, painting, proof.settings)
            self._chosen = {track: attempt for track, attempt in chosen.items()}

    def paint(self, crops: torch.Tensor, faces: Faces) -> tuple[torch.Tensor, Faces]:
        """The crops with other faces.

        Args:
            crops: float [N, S, S, 3], 0..1, aligned.
            faces: the N faces in them, some of the clip's.

        Returns:
            float32 [N, S, S, 3] on the host's intermediate device, NaN where recognisers did not let one pass; and the
            faces, each with how it was painted.

        Raises:
            ValueError: other counts or sizes.
        """
        if len(crops) != len(faces):
            raise ValueError(f"There are {len(crops)} crops but {len(faces)} faces: connect the faces of these crops.")
        if self._proof is not None:
            return self._paint_proven(self._proof, crops, faces)
        offsets = faces.seed_offsets()
        if self._synthetic is None:
            painted = anonymize_crops(self._model, crops, offsets, self._painting, self._progress)
        else:
            swap, rows = replace(self._painting, degree=0.0), self._rows(faces)
            painted = swap_crops(
                self._model, self._synthetic, crops, offsets, swap, progress=self._progress, which=rows
            )
        return painted, painted_once(faces, self._painting)

    def _paint_proven(self, proof: Proof, crops: torch.Tensor, faces: Faces) -> tuple[torch.Tensor, Faces]:
        if self._synthetic is not None:
            return self._swap_people(proof, self._synthetic, crops, faces)
        if not self._chosen:
            return self._studio(proof).paint_faces(crops, faces)
        attempts = [
            self._chosen.get(face.track)
            or (Attempt(0, self._painting.seed_of(offset) % 2**64, self._painting.degree), 1)
            for face, offset in zip(faces, faces.seed_offsets(), strict=True)
        ]
        return self._studio(proof).paint_chosen(crops, faces, attempts)

    def _paint_people(self, crops: torch.Tensor, tracks: list[int], faces: Faces, places: list[int]) -> None:
        """Anonymize the best frame of each person."""
        if self._proof is None:
            synthetic = anonymize_crops(self._model, crops, tracks, self._painting, self._progress)
            self._synthetic = Sources(self._model, synthetic, crops.shape[1])
            return
        alone = replace(faces, faces=tuple(faces.faces[place] for place in places))
        synthetic, told = self._studio(self._proof).paint_faces(crops, alone)
        self._synthetic = Sources(self._model, synthetic, crops.shape[1])
        self._people = {face.track: face.painted for face in told if face.painted is not None}

    def _swap_people(
        self, proof: Proof, synthetic: Sources, crops: torch.Tensor, faces: Faces
    ) -> tuple[torch.Tensor, Faces]:
        """Put each person's synthetic face on its frames; those of a person of whom no attempt passed are NaN."""
        people = [self._people[face.track] for face in faces]
        told = [replace(face, painted=how) for face, how in zip(faces, people, strict=True)]
        result = torch.full_like(crops[..., :3], torch.nan, dtype=torch.float32, device=synthetic.images.device)
        fit = [place for place, how in enumerate(people) if how.kept or not how.refused]
        if fit:
            some = replace(faces, faces=tuple(faces.faces[place] for place in fit))
            swap = replace(self._painting, degree=0.0)
            studio = self._studio(replace(proof, settings=replace(proof.settings, degree_mode=FIXED)), swap)
            sources_of = sources_for(self._model, synthetic, crops[fit], self._rows(some))
            result[fit], some = studio.paint_faces(crops[fit], some, sources_of)
            for place, face in zip(fit, some, strict=True):
                if face.painted is not None:
                    count = people[place].attempts + face.painted.attempts - 1
                    how = replace(face.painted, attempts=count, degree=people[place].degree)
                    told[place] = replace(face, painted=how)
        return result, replace(faces, faces=tuple(told))

    def _studio(self, proof: Proof, painting: PaintSettings | None = None) -> Studio:
        return Studio(self._model, painting or self._painting, proof, self._progress)

    def _rows(self, faces: Faces) -> list[int]:
        return [self._row_of_track[face.track] for face in faces]


def swap_faces(
    model: Engine,
    sources: torch.Tensor,
    crops: torch.Tensor,
    faces: Faces,
    painting: PaintSettings,
    *,
    proof: Proof | None = None,
) -> tuple[torch.Tensor, Faces]:
    """Put other people's faces onto crops.

    Args:
        model: the engine that paints.
        sources: float [M, S', S', 3 or 4], 0..1, one for all crops or one a crop.
        crops: float [N, S, S, 3 or 4], 0..1, aligned.
        faces: of the crops.
        painting: degree, usually 0, seed, sampler.
        proof: what recognisers ask of every result; None: nobody looks.

    Returns:
        As PeoplePainter.paint.

    Raises:
        ValueError: other counts.
    """
    if proof is None:
        return swap_crops(model, sources, crops, faces.seed_offsets(), painting), painted_once(faces, painting)
    if len(crops) != len(faces):
        raise ValueError(f"There are {len(crops)} crops but {len(faces)} faces: connect the faces of these crops.")
    progress = model.progress(painting, runs(len(crops), painting), len(crops))
    return Studio(model, painting, proof, progress).paint_faces(crops, faces, sources_for(model, sources, crops))


def painted_once(faces: Faces, painting: PaintSettings) -> Faces:
    """The faces as painted with these settings, at which nobody looked."""
    told = tuple(
        replace(face, painted=Painted(1, painting.degree, painting.seed_of(offset) % 2**64))
        for face, offset in zip(faces, faces.seed_offsets(), strict=True)
    )
    return replace(faces, faces=told)
