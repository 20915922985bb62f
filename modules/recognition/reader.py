"""The reader of faces: from pictures and faces, or aligned crops, to what each face shows and whose it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import nn

from ..faces.alignment import check_faces
from ..faces.detect.onet import SIDE as ONET_SIDE
from ..faces.detect.onet import load_onet
from ..faces.types import FIVE_POINTS, Face, Faces
from . import crops
from .dlib_resnet import load_dlib_resnet
from .face_api import load_age_gender_net, load_expression_net, load_landmark_net
from .faceres import load_faceres
from .gaze import gaze
from .head_pose import angles, head_rotation
from .iris import load_iris_net
from .landmarks import find_landmarks
from .reading import COVERED, NO_FACE, TURNED_AWAY, Reading, too_small
from .settings import ReaderSettings
from .verdict import apart

_NO_HEAD = 100.0  # degrees of yaw or pitch: of the back of a head no face is read
_ONET = crops.Square((0.49, 0.39), 1.366, ONET_SIDE)  # CenterFace's box as a square, which O-Net is used to


class ReaderNetworks(nn.Module):
    """All networks of the reader as one module, so that a host can manage them as one model. float32, for inference."""

    def __init__(self):
        super().__init__()
        self.dlib, self.faceres = load_dlib_resnet(), load_faceres()
        self.landmarks, self.expression, self.age_gender = (
            load_landmark_net(),
            load_expression_net(),
            load_age_gender_net(),
        )
        self.iris, self.onet = load_iris_net(), load_onet()


class FaceReader:
    """Reads faces. Loaded once, it serves any number of pictures.

    Args:
        settings: what can be read.
        networks: as of ReaderNetworks, on any device; None loads them, on the CPU.

    Raises:
        FileNotFoundError: a file of weights is missing.
        ValueError: one is damaged.
    """

    def __init__(self, settings: ReaderSettings = ReaderSettings(), networks: ReaderNetworks | None = None):
        self.settings = settings
        self.networks = ReaderNetworks() if networks is None else networks

    def read(self, images: torch.Tensor, faces: Faces) -> list[Reading]:
        """Read the faces of pictures.

        Args:
            images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is dropped), on any device.
            faces: of these images, with 68 points, five or only a box.

        Returns:
            One reading a face, in their order.

        Raises:
            ValueError: the faces are not of these images.
        """
        check_faces(images, faces)
        return self._read((images[face.image_index], face) for face in faces)

    def read_crops(self, images: torch.Tensor, faces: Sequence[Face] | None = None) -> list[Reading]:
        """Read aligned crops, as crop_faces cuts them, or what was painted into them.

        Landmarks are in pixels of the crop.

        Args:
            images: float [N, S, S, C], 0..1.
            faces: the face of each crop in its picture, which says how large it is there; None: as large as it is here.

        Returns:
            One reading a crop.

        Raises:
            ValueError: the crops are not square, or not as many as the faces.
        """
        if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] not in (1, 3, 4):
            raise ValueError(f"Crops are [N, S, S, C] with 1, 3 or 4 channels, got {list(images.shape)}.")
        if faces is not None and len(faces) != len(images):
            raise ValueError(f"{len(images)} crops cannot be those of {len(faces)} faces.")
        size = images.shape[1]
        points = crops.five_points_in_crop(size)
        place = crops.box_in_crop(size)
        placed = [Face(i, place, 1.0, points, FIVE_POINTS, "crop") for i in range(len(images))]
        sizes = None if faces is None else [face.size for face in faces]
        return self._read(zip(images, placed, strict=True), sizes)

    def _read(self, seen: Iterable[tuple[torch.Tensor, Face]], sizes: list[float] | None = None) -> list[Reading]:
        readings: list[Reading] = []
        batch: list[tuple[torch.Tensor, Face]] = []
        for one in seen:
            batch.append(one)
            if len(batch) == self.settings.at_once:
                readings += self._batch(batch, sizes, len(readings))
                batch = []
        return readings + self._batch(batch, sizes, len(readings)) if batch else readings

    @torch.inference_mode()
    def _batch(self, seen: Sequence[tuple[torch.Tensor, Face]], sizes: list[float] | None, start: int) -> list[Reading]:
        net = self.networks
        device = next(net.parameters()).device
        pictures = [crops.as_picture(image, device) for image, _ in seen]
        to_unit = [crops.face_transform(face) for _, face in seen]

        def cut(square: crops.Square, transforms: list[np.ndarray]) -> torch.Tensor:
            placed = [square.matrix(transform) for transform in transforms]
            return torch.cat([crops.cut(p, [m], square.side) for p, m in zip(pictures, placed, strict=True)])

        small = cut(crops.FACE_API, to_unit) * 255
        marks, unsteady = find_landmarks(net.landmarks, small)
        landmarks = [
            crops.to_picture(points * crops.FACE_API.side, crops.FACE_API.matrix(transform))
            for points, transform in zip(marks, to_unit, strict=True)
        ]
        expression = _numpy(net.expression(small))
        age, man = (_numpy(values) for values in net.age_gender(small))
        descriptors = _numpy(net.dlib(cut(crops.DLIB, to_unit) * 255))
        features, second_man, ages = (_numpy(v) for v in net.faceres(cut(crops.FACERES, to_unit) * 255))
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        second_age = ages @ np.arange(ages.shape[1])
        certainty = _numpy(net.onet(cut(_ONET, to_unit))[0])
        irises = self._irises(pictures, landmarks)
        readings = []
        for i, (_, face) in enumerate(seen):
            turned = head_rotation(landmarks[i])
            size = face.size if sizes is None else sizes[start + i]
            readings.append(
                Reading(
                    dlib=descriptors[i],
                    faceres=features[i],
                    landmarks=landmarks[i] - 0.5,
                    rotation=turned,
                    gaze=gaze(landmarks[i], irises[i]),
                    expression=expression[i],
                    age=float(age[i] + second_age[i]) / 2,
                    man=float(man[i] + second_man[i]) / 2,
                    certainty=float(certainty[i]),
                    unsteady=float(unsteady[i]),
                    size=float(size),
                    reason=self._reason(float(size), float(certainty[i]), float(unsteady[i]), turned),
                )
            )
        return readings

    def _irises(self, pictures: Sequence[torch.Tensor], landmarks: Sequence[np.ndarray]) -> np.ndarray:
        """The middles of both irises of each face, [N, 2, 2], in edge coordinates of its picture."""
        matrices = [crops.eye_matrices(points) for points in landmarks]
        eyes = torch.cat([crops.cut(p, m, crops.EYE_SIDE) for p, m in zip(pictures, matrices, strict=True)])
        eyes[1::2] = eyes[1::2].flip(3)  # MediaPipe's network knows one eye: mirrored, the other is that
        found = _numpy(self.networks.iris(eyes))[:, 0]
        found[1::2, 0] = 1 - found[1::2, 0]
        places = [crops.to_picture(p[None] * crops.EYE_SIDE, m) for p, m in zip(found, chain(*matrices), strict=True)]
        return np.stack(places).reshape(-1, 2, 2)

    def _reason(self, size: float, certainty: float, unsteady: float, turned: np.ndarray) -> str:
        """Why a face is not measurable, or "" where it is."""
        limits = self.settings
        if size < limits.min_size:
            return too_small(size, limits)
        if certainty < limits.min_certainty:
            needed = limits.min_certainty
            return f"{NO_FACE}: certainty {apart(certainty, needed, 2)}, {needed:.2f} is needed"
        yaw, pitch, _ = angles(turned)
        if max(abs(yaw), abs(pitch)) > _NO_HEAD:  # landmarks of a blur
            worst = apart(max(abs(yaw), abs(pitch)), _NO_HEAD, 0)
            return f"{NO_FACE}: its landmarks turn a head by {worst} degrees, {_NO_HEAD:.0f} is the most"
        for angle, limit, name in ((yaw, limits.max_yaw, "yaw"), (pitch, limits.max_pitch, "pitch")):
            if abs(angle) > limit:
                figure = apart(angle, math.copysign(limit, angle), 0)
                return f"{TURNED_AWAY}: {name} {figure} degrees, {limit:g} is the most"
        if unsteady > limits.max_unsteady:
            figure = apart(unsteady, limits.max_unsteady, 3)
            return f"{COVERED}: landmarks move by {figure} of the eyes, {limits.max_unsteady:.3f} is the most"
        return ""


def _numpy(values: torch.Tensor) -> np.ndarray:
    return values.cpu().double().numpy()  # not every device has float64
