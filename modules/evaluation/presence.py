"""Whether there is a face at all: what cannot be found is not measurable, and never a success."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from ..faces.detect.detection import FaceNetworks, detect_faces
from ..faces.settings import DetectSettings
from ..faces.types import BOX_ONLY, Face

MIN_SCORE = DetectSettings().min_score
_AT_ONCE = 16
_SIDE = 256  # faces of 128-pixel crops are looked for at twice their size


def face_scores(
    networks: FaceNetworks, pictures: np.ndarray, progress: Callable[[int], object] = lambda _: None
) -> np.ndarray:
    """The best score of a face in each aligned crop.

    The same faces as detect_faces finds, but faster: a picture in which the detector's first look finds a face is done
    (the score of the best candidate is the maximum of the heatmap), and only the others go through all of it.

    Args:
        networks: of the detector.
        pictures: uint8 [N, S, S, 3]; they are looked at with a side of 256 pixels.
        progress: called with the number of pictures that were done since its last call.

    Returns:
        Float32 [N]; 0 where the detector finds no face.
    """
    scores = np.zeros(len(pictures), np.float32)
    settings = DetectSettings(MIN_SCORE, max_faces=1)
    for start in range(0, len(pictures), _AT_ONCE):
        batch = enlarged(pictures[start : start + _AT_ONCE])
        with torch.inference_mode():
            heatmap = networks.centerface(batch.movedim(-1, 1) * 255)[0]
        best = heatmap.flatten(1).amax(1).numpy()
        for row in np.flatnonzero(best < MIN_SCORE):
            found = detect_faces(networks, batch[row : row + 1], settings)
            best[row] = max((face.score for face in found), default=0.0)
        scores[start : start + len(batch)] = best
        progress(len(batch))
    return scores


def as_faces(scores: np.ndarray, side: int) -> list[Face | None]:
    """Faces for back-ends that read whole crops: one that fills each crop.

    Args:
        scores: of the crops, as face_scores gives them.
        side: of the crops in pixels.

    Returns:
        A face for each crop, None where the score is less than MIN_SCORE.
    """
    box, points = np.array([0.0, 0, side, side]), np.zeros((0, 2))
    return [
        Face(i, box, float(score), points, BOX_ONLY, "crop") if score >= MIN_SCORE else None
        for i, score in enumerate(scores)
    ]


def enlarged(pictures: np.ndarray) -> torch.Tensor:
    """Pictures, uint8 [N, S, S, 3], at the size at which faces are looked for: float32 [N, 256, 256, 3], 0..1."""
    images = torch.from_numpy(np.ascontiguousarray(pictures)).float().movedim(-1, 1) / 255
    if images.shape[2:] != (_SIDE, _SIDE):
        images = functional.interpolate(images, (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False)
    return images.clamp(0, 1).movedim(1, -1)
