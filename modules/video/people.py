"""Whose face each person of a clip gets: one driver for crops in one batch and for crops that come by chunks.

Here the faces of a clip meet the method, which knows crops alone. Touches the host: runs its models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..faces.settings import SAME_FACE
from ..faces.track.tracking import best_frames
from ..faces.types import Faces
from ..model.comfy_engine import FaceAnonModel
from ..model.painting import anonymize_crops, runs, swap_crops
from ..model.settings import PaintSettings


class PeoplePainter:
    """Paints the crops of a clip's faces, one batch after the other, with one progress bar.

    For "same face" the best frame of each person is anonymized at once, before the first batch.

    Args:
        model: what the loader gave.
        painting: degree, seed, sampler.
        identity: one of faces.settings.IDENTITIES.
        faces: all faces of the clip; for "same face" each has its track.
        crops_at: gives the crops of a few faces, float [N, S, S, 3], 0..1, by their places in `faces`.
        batches: how many faces each later call of paint has, for the progress bar.

    Raises:
        ValueError: "same face" with faces that were not tracked, or batches of another number of faces.
    """

    def __init__(
        self,
        model: FaceAnonModel,
        painting: PaintSettings,
        identity: str,
        faces: Faces,
        *,
        crops_at: Callable[[list[int]], torch.Tensor],
        batches: Sequence[int],
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
        self._model, self._painting = model, painting
        self._progress = model.progress(
            painting, runs(len(best), painting) + sum(runs(count, painting) for count in batches)
        )
        self._synthetic: torch.Tensor | None = None  # a crop for each person
        self._row_of_track: dict[int | None, int] = {track: row for row, track in enumerate(best)}
        if best:
            crops = crops_at(list(best.values()))
            self._synthetic = anonymize_crops(model, crops, list(best), painting, self._progress)

    def paint(self, crops: torch.Tensor, faces: Faces) -> torch.Tensor:
        """The crops with other faces.

        Args:
            crops: float [N, S, S, 3], 0..1, aligned.
            faces: the N faces in them, some of the clip's.

        Returns:
            float32 [N, S, S, 3] on the host's intermediate device.

        Raises:
            ValueError: other counts or sizes.
        """
        offsets = faces.seed_offsets()
        if self._synthetic is None:
            return anonymize_crops(self._model, crops, offsets, self._painting, self._progress)
        rows = [self._row_of_track[face.track] for face in faces]
        swap = replace(self._painting, degree=0.0)
        return swap_crops(self._model, self._synthetic, crops, offsets, swap, progress=self._progress, which=rows)
