"""Recognisers to download on request: SFace and AuraFace, both Apache-2.0, as ONNX files run by onnxruntime.

An ONNX file is a graph of numbers, no pickle. onnxruntime is an optional package. Neither network could be run where
this was written: input, scale and template are those of their published code, checked on a stand-in. The sums are
those of opencv_zoo's own LFS pointer (SFace), and of three public projects that agree (AuraFace).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..faces.alignment import crop_matrix, umeyama
from ..faces.types import FIVE_POINTS, Face
from .face_crops import cut
from .measured import Measured

_SIDE = 112
# Eyes, nose, corners of the mouth in the crop; OpenCV's face_recognize.cpp and InsightFace have the same.
_TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)


class Recogniser(NamedTuple):
    """A published network, whose input is (level - shift) / scale of RGB levels 0..255.

    Attributes:
        title: in tables.
        file: its name.
        url: where it is published.
        sha256: of the file.
        size: of the file, in bytes.
        shift: of the input.
        scale: of the input.
        licence: of the weights.
    """

    title: str
    file: str
    url: str
    sha256: str
    size: int
    shift: float
    scale: float
    licence: str


RECOGNISERS = {
    "sface": Recogniser(
        "SFace",
        "face_recognition_sface_2021dec.onnx",
        "https://media.githubusercontent.com/media/opencv/opencv_zoo/47534e27c9851bb1128ccc0102f1145e27f23f98/"
        "models/face_recognition_sface/face_recognition_sface_2021dec.onnx",
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        38_696_353,
        0.0,
        1.0,
        "Apache-2.0, opencv_zoo (Zhong et al., TIP 2021)",
    ),
    "auraface": Recogniser(
        "AuraFace",
        "glintr100.onnx",
        "https://huggingface.co/fal/AuraFace-v1/resolve/main/glintr100.onnx",
        "a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60",
        260_694_151,
        127.5,
        127.5,
        "Apache-2.0, fal/AuraFace-v1, this one file of it",
    ),
}


class OnnxBackend:
    """Identity by a published network.

    Args:
        name: of RECOGNISERS.
        folder: that its file is in.
        session: anything with get_inputs and run of onnxruntime.InferenceSession; None opens the file.

    Raises:
        ValueError: the file is missing; the message says how to fetch it.
        RuntimeError: onnxruntime is missing; the message says how to install it.
    """

    def __init__(self, name: str, folder: Path, session=None):
        self._recogniser = RECOGNISERS[name]
        self.name, self.licence = self._recogniser.title, self._recogniser.licence
        self._session = _open(name, folder / self._recogniser.file) if session is None else session
        self._input = self._session.get_inputs()[0].name

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Measure faces, as Backend describes."""
        rows = [
            self._vector(picture, face) if face is not None else None
            for picture, face in zip(pictures, faces, strict=True)
        ]
        width = next((len(row) for row in rows if row is not None), 1)
        vectors = torch.tensor(np.array([np.zeros(width) if row is None else row for row in rows]).reshape(-1, width))
        found = torch.tensor([row is not None for row in rows], dtype=torch.bool)
        return Measured(found=found, identity=vectors, features=vectors)

    def _vector(self, picture: np.ndarray, face: Face) -> np.ndarray:
        crop = cut(picture, template_matrix(face), _SIDE).astype(np.float32)
        scaled = (crop - np.float32(self._recogniser.shift)) / np.float32(self._recogniser.scale)
        return self._session.run(None, {self._input: scaled.transpose(2, 0, 1)[None]})[0][0].astype(np.float64)


def template_matrix(face: Face) -> np.ndarray:
    """The matrix [2, 3] from pixels of the picture to those of the crop that these networks are trained on."""
    if face.layout == FIVE_POINTS:
        return umeyama(face.points, _TEMPLATE)[:2]
    # without five points: by the paper's crop, in which the average face lies at known places
    whole = crop_matrix(face.points, face.layout, face.box, 1)
    average = crop_matrix(_TEMPLATE, FIVE_POINTS, np.zeros(4), 1)
    inverse = np.linalg.inv(np.vstack([average, [0, 0, 1]]))
    return (inverse @ np.vstack([whole, [0, 0, 1]]))[:2]


def _open(name: str, file: Path):
    if not file.is_file():
        raise ValueError(
            f"{file} is missing. `python scripts/evaluate.py --download {name}` fetches it "
            f"({RECOGNISERS[name].size / 1e6:.0f} MB)."
        )
    try:
        import onnxruntime
    except ImportError:
        raise RuntimeError(f"The back-end {name} needs a package: pip install onnxruntime") from None
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
