"""The 68 landmarks of faces: as the reader reads them, and as points by which crops are aligned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ..faces.alignment import check_faces
from ..faces.types import IBUG_68, Face, Faces
from . import crops
from .settings import ReaderSettings

# what crops are aligned by: what the detector found, or these landmarks
DETECTED, LANDMARKS = ALIGNMENTS = ("detected points", "68 landmarks")

# for each of iBUG's points its mirror image
_MIRRORED = np.r_[
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40, 54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1
]


def find_landmarks(net: nn.Module, squares: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks of squares of faces: the mean of those of each and of its mirror image, half the noise of either.

    Args:
        net: of face_api.load_landmark_net.
        squares: float32 [N, 3, SIDE, SIDE], 0..255, as crops.FACE_API cuts them.

    Returns:
        float64 (N, 68, 2), in shares of the square, edges; and (N,), how far both are apart (see Reading.unsteady).
    """
    found = net(torch.cat([squares, squares.flip(3)])).detach().cpu().double().numpy()
    plain, mirrored = found.reshape(2, -1, 68, 2)
    mirrored = ([1, 0] - mirrored * [1, -1])[:, _MIRRORED]
    eyes = np.hypot(*np.moveaxis(plain[:, 36] - plain[:, 45], 1, 0))
    apart = np.hypot(*np.moveaxis(plain - mirrored, 2, 0)).mean(1)
    return (plain + mirrored) / 2, apart / np.maximum(eyes, 1e-6)


@torch.inference_mode()
def with_landmarks(
    net: nn.Module, images: torch.Tensor, faces: Faces, settings: ReaderSettings = ReaderSettings()
) -> Faces:
    """The same faces with 68 points in the place of five, so that crops, masks and tracks go by these.

    A face keeps its points where it has 68 already, where a track says how its crop lies, and where the landmarks
    cannot be believed, as of a covered face: where they are less steady than settings.max_unsteady.

    Args:
        net: of face_api.load_landmark_net, on any device.
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4.
        faces: of these images.
        settings: what is steady, and how many faces go through the network at once.

    Raises:
        ValueError: the faces are not of these images.
    """
    check_faces(images, faces)
    device = next(net.parameters()).device
    changed = list(faces)
    wanted = [i for i, face in enumerate(changed) if face.layout != IBUG_68 and face.alignment is None]
    for start in range(0, len(wanted), settings.at_once):
        places = wanted[start : start + settings.at_once]
        matrices = [crops.FACE_API.matrix(crops.face_transform(changed[i])) for i in places]
        squares = [
            crops.cut(crops.as_picture(images[changed[i].image_index], device), [matrix], crops.FACE_API.side)
            for i, matrix in zip(places, matrices, strict=True)
        ]
        marks, unsteady = find_landmarks(net, torch.cat(squares) * 255)
        for i, points, matrix, moves in zip(places, marks, matrices, unsteady, strict=True):
            if moves <= settings.max_unsteady:
                changed[i] = _with_points(changed[i], crops.to_picture(points * crops.FACE_API.side, matrix) - 0.5)
    return replace(faces, faces=tuple(changed))


def _with_points(face: Face, points: np.ndarray) -> Face:
    return replace(face, points=points, layout=IBUG_68)
