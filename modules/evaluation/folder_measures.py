"""Pairs of photos: find the faces of each and measure them with every back-end, one pair at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ..faces import alignment, types
from ..faces.detect import detection
from ..faces.settings import DetectSettings
from ..recognition.verdict import Verification
from . import folder_pairs, quality
from .conditions import ORIGINAL
from .face_own import as_image, shared_reader
from .folder_tables import JPEG, RECONSTRUCTION, RESULT

SHARPNESS_SIDE = 256  # of the aligned crops that sharpness is measured on
_SAME_SHAPE = 0.01  # difference of proportions up to which a result was only scaled
SHARPNESS, SCORE = "sharpness", "detector's score"
OUTSIDE, EQUAL = "outside the face squares", "equal outside the face squares"


class FolderMeasures:
    """What was measured of the faces of all pairs, face by face.

    Args:
        backends: that measure.
        conditions: their names.

    Attributes:
        people: for each face the number of its picture.
        lost: how many faces of originals have none in their place in the result.
        resized: how many results have another size than their original.
        measured: back-end -> condition -> parts of Measured, to be joined.
        verdicts: condition -> what the pack's own recognisers say of each face; empty without them.
        values: condition -> column of the table of quality -> value of each face or picture.
    """

    def __init__(self, backends: list, conditions: list[str]):
        self.people: list[int] = []
        self.lost = self.resized = 0
        self.measured = {backend.name: {title: [] for title in conditions} for backend in backends}
        self.verdicts: dict[str, list[Verification]] = {}
        self.values = {title: {SHARPNESS: [], SCORE: []} for title in conditions}
        self.values[RESULT] |= {OUTSIDE: [], EQUAL: []}

    def quality_rows(self) -> dict[str, dict[str, torch.Tensor]]:
        """`values` as tensors, float64 [N] each."""
        return {
            title: {column: torch.tensor(values, dtype=torch.float64) for column, values in columns.items()}
            for title, columns in self.values.items()
        }


def measure_pairs(
    pairs: Sequence[folder_pairs.PhotoPair], backends: list, min_score: float, reconstruct: Callable | None
) -> FolderMeasures:
    """Find and measure the faces of all pairs, one pair at a time.

    Args:
        pairs: of photos.
        backends: that measure.
        min_score: of the detector, 0..1.
        reconstruct: a VAE's function on aligned crops, as backends.load_reconstruction gives it, or None.
    """
    conditions = [ORIGINAL, RESULT, JPEG, *([RECONSTRUCTION] if reconstruct else [])]
    measures, networks = FolderMeasures(backends, conditions), detection.load_face_networks()
    reader = shared_reader(backends)

    def find(picture: np.ndarray, max_faces: int = 0):
        return detection.detect_faces(networks, as_image(picture), DetectSettings(min_score, max_faces))

    for number, pair in enumerate(tqdm(pairs, unit="picture", desc="faces")):
        original, result = folder_pairs.read_picture(pair.original), folder_pairs.read_picture(pair.result)
        faces = find(original).faces
        if not faces:
            continue
        measures.people += [number] * len(faces)
        same_size = original.shape == result.shape
        measures.resized += not same_size
        result = _of_its_size(result, original)
        # a result of other proportions has its faces elsewhere: none of them is measurable
        fits = original.shape == result.shape
        in_result = folder_pairs.match_faces(faces, find(result).faces) if fits else [None] * len(faces)
        measures.lost += in_result.count(None)
        jpeg = quality.as_jpeg(original[None])[0]
        shown = {
            ORIGINAL: ([original] * len(faces), list(faces)),
            RESULT: ([result] * len(faces), in_result),
            JPEG: ([jpeg] * len(faces), folder_pairs.match_faces(faces, find(jpeg).faces)),
        }
        if reconstruct:
            crops, _ = alignment.crop_faces(as_image(original), one_picture(faces, original), reconstruct.size)
            pictures = [np.asarray((crop * 255).round().clamp(0, 255).byte()) for crop in reconstruct(crops)]
            shown[RECONSTRUCTION] = (pictures, [next(iter(find(picture, 1)), None) for picture in pictures])
        before = [] if reader is None else reader.read(*shown[ORIGINAL])
        for title, (pictures, found) in shown.items():
            for backend in backends:
                measures.measured[backend.name][title].append(backend.measure(pictures, found))
            if reader is not None and title != ORIGINAL:
                measures.verdicts.setdefault(title, []).extend(reader.verify(before, pictures, found))
            measures.values[title][SCORE] += [face.score if face else 0.0 for face in found]
            measures.values[title][SHARPNESS] += sharpness(pictures, found)
        if same_size:
            difference, equal = outside(original, result, one_picture(faces, original))
            measures.values[RESULT][OUTSIDE].append(difference)
            measures.values[RESULT][EQUAL].append(equal)
    return measures


def sharpness(pictures: list[np.ndarray], faces: list) -> list[float]:
    """Sharpness of the aligned crop of each face (see quality.sharpness); NaN where a picture has no face."""
    values = []
    for picture, face in zip(pictures, faces, strict=True):
        if face is None:
            values.append(float("nan"))
            continue
        crop, _ = alignment.crop_faces(as_image(picture), one_picture([face], picture), SHARPNESS_SIDE)
        values.append(quality.sharpness(np.asarray((crop * 255).round().byte()))[0].item())
    return values


def _of_its_size(result: np.ndarray, original: np.ndarray) -> np.ndarray:
    """A result as large as its original, where only its size is another."""
    (height, width), (ours, across) = original.shape[:2], result.shape[:2]
    if result.shape == original.shape or abs(across * height / (ours * width) - 1) > _SAME_SHAPE:
        return result
    return np.asarray(Image.fromarray(result).resize((width, height), Image.Resampling.LANCZOS))


def outside(original: np.ndarray, result: np.ndarray, faces) -> tuple[float, float]:
    """How much a result differs from its original outside the squares of the faces' crops.

    Args:
        original: uint8 [H, W, 3].
        result: of the same shape.
        faces: types.Faces of the original.

    Returns:
        The mean absolute difference in levels of 255, and 1 if every value is equal, else 0. Both are NaN when the
        squares cover the whole picture.
    """
    size = 64
    _, cropped = alignment.crop_faces(as_image(original), faces, size)
    height, width = original.shape[:2]
    y, x = np.mgrid[:height, :width]
    free = np.ones((height, width), bool)
    for face in cropped:
        u, v = (row[0] * x + row[1] * y + row[2] for row in face.crop_place()[0])
        free &= ~((u > -1) & (u < size) & (v > -1) & (v < size))
    if not free.any():
        return float("nan"), float("nan")
    difference = np.abs(original.astype(np.int16) - result)[free]
    return float(difference.mean()), float(not difference.any())


def one_picture(faces, picture: np.ndarray):
    """These faces as those of one picture."""
    height, width = picture.shape[:2]
    return types.Faces(1, height, width, tuple(replace(face, image_index=0) for face in faces))
