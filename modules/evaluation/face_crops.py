"""Upright crops of faces for recognisers."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..faces.alignment import invert_affine


def cut(picture: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut an upright square crop out of a picture, bilinear, black beyond the picture's edge.

    Args:
        picture: uint8 [H, W, 3].
        matrix: [2, 3], from pixels of the picture to those of the crop, integers at pixel centres, as of crop_matrix.
        size: side of the crop in pixels.

    Returns:
        uint8 [size, size, 3].
    """
    to_picture = invert_affine(matrix)
    shift = to_picture[:, 2] - to_picture[:, :2].sum(1) / 2 + 0.5  # Pillow counts from the corner of a pixel
    coefficients = np.column_stack([to_picture[:, :2], shift]).ravel()
    image = Image.fromarray(np.ascontiguousarray(picture))
    # a face much larger than the crop is reduced first: two by two taps of it would be noise
    factor = int(np.sqrt(abs(np.linalg.det(to_picture[:, :2]))) / 2)
    if factor > 1:
        image = image.reduce(factor)
        coefficients = coefficients / factor
    return np.asarray(
        image.transform((size, size), Image.Transform.AFFINE, tuple(coefficients), Image.Resampling.BILINEAR)
    )
