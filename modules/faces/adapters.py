"""Faces from what other nodes of ComfyUI found: FACE_LANDMARKS and BOUNDING_BOX, read and never changed.

Source of both formats: the host's comfy_extras (nodes_mediapipe, nodes_sam3, nodes_sdpose of ComfyUI 0.33); of the
point map: each entry mirrors into the entry of the mirrored iBUG point on MediaPipe's canonical face model, without
residual.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from .types import ADAPTED, BOX_ONLY, IBUG_68, Face, Faces

logger = logging.getLogger("face_anonymizer")

# Entry i is the point of MediaPipe's mesh at iBUG point i.
MESH_TO_IBUG = np.array(
    [
        127, 234, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356,  # jaw
        70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
        168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
        33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
        61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips
        78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
    ]
)  # fmt: skip
_MESH_POINTS = 468  # the mesh; ten more are the irises


def faces_from_landmarks(face_landmarks: Mapping, image_count: int, height: int, width: int) -> Faces:
    """Faces with 68 points from the host's FACE_LANDMARKS. A frame without faces is no error.

    Args:
        face_landmarks: `frames`, a list for each image of a list of faces with `landmarks_xy` (478, 2) in image pixels
            and optionally `score` 0..1; `image_size`, (height, width).
        image_count, height, width: of the images that the faces are for.

    Raises:
        ValueError: the landmarks belong to images of another size or number, or are not such a mesh.
    """
    frames, size = face_landmarks.get("frames"), face_landmarks.get("image_size")
    if frames is None or size is None:
        raise ValueError(
            "These face landmarks have no frames or no image_size: connect the output of a face landmarker."
        )
    if tuple(int(v) for v in size) != (height, width):
        raise ValueError(
            f"The face landmarks were found on images of {int(size[1])}x{int(size[0])} pixels, but the images here are "
            f"{width}x{height}: connect the same images to both."
        )
    _check_count("face landmarks", len(frames), image_count)
    faces = []
    for index, frame in enumerate(frames):
        for entry in frame:
            mesh = np.asarray(entry["landmarks_xy"], dtype=np.float64)
            if mesh.ndim != 2 or len(mesh) < _MESH_POINTS or mesh.shape[1] != 2 or not np.isfinite(mesh).all():
                raise ValueError(
                    f"Face landmarks of image {index} have shape {mesh.shape} or are not finite: "
                    "(478, 2) points of the MediaPipe face mesh are needed."
                )
            points = mesh[MESH_TO_IBUG]
            box = np.concatenate([mesh[:_MESH_POINTS].min(0), mesh[:_MESH_POINTS].max(0)])
            score = entry.get("score")
            faces.append(Face(index, box, 1.0 if score is None else float(score), points, IBUG_68, ADAPTED[0]))
    return Faces(image_count, height, width, tuple(faces))


def faces_from_boxes(bboxes: Mapping | Sequence, image_count: int, height: int, width: int) -> Faces:
    """Faces without points from the host's BOUNDING_BOX.

    Boxes that are empty or lie outside the picture are left out, with a warning in the log; the others keep what
    reaches over its border.

    Args:
        bboxes: one box, a list of boxes (both for every image), or a list for each image of lists of boxes (a single
            inner list serves every image); a box has x, y, width and height in pixels of the image and optionally score
            0..1.
        image_count, height, width: of the images that the faces are for.

    Raises:
        ValueError: there are lists for another number of images, or a box lacks a value or has one that is no number.
    """
    if isinstance(bboxes, Mapping):
        frames = [[bboxes]]
    elif bboxes and isinstance(bboxes[0], Mapping):
        frames = [bboxes]
    else:
        frames = list(bboxes) or [[]]
    if len(frames) == 1:
        frames = frames * image_count
    _check_count("bounding boxes", len(frames), image_count)
    faces, left_out = [], 0
    for index, frame in enumerate(frames):
        for entry in frame or ():
            try:
                x, y, w, h = (float(entry[key]) for key in ("x", "y", "width", "height"))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"A bounding box needs the numbers x, y, width and height, got {entry!r}.") from error
            box = np.array([x, y, x + w, y + h])
            if not np.isfinite(box).all():
                raise ValueError(
                    f"A bounding box of image {index} has values that are no numbers, {entry!r}: the face that it "
                    "stands for would stay open. Look at what made the boxes."
                )
            if w <= 0 or h <= 0 or x >= width or y >= height or box[2] <= 0 or box[3] <= 0:
                left_out += 1
                continue
            score = entry.get("score")
            points = np.zeros((0, 2))
            faces.append(Face(index, box, 1.0 if score is None else float(score), points, BOX_ONLY, ADAPTED[1]))
    if left_out:
        logger.warning("%d bounding boxes are empty or lie outside the picture, and are left out.", left_out)
    return Faces(image_count, height, width, tuple(faces))


def _check_count(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(
            f"There are {what} for {found} images, but {expected} images: connect the same images to both."
        )
