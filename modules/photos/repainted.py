"""Which hidden parts of a photo are still in a picture that a sampler painted: what was painted over them, such as into
an erased area, shows nothing of them, and stays."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, label

from ..faces.placing import DIRECTIONS, find_place, oriented, to_square

SIDE = 256  # cells along each side of what is compared
_BAND = (1.0, 4.0)  # deviations, in cells, of the two Gaussians between which it is
_EDGE = 2  # cells along the edge of a part, in which a brush or a latent mixes it with what is beside it
_LEAST_CELLS = 256  # of a part that can be judged; smaller ones are judged together
_FLAT = 0.4 / 255  # deviation in the band, below which a part shows nothing
# Correlation from which a part is still there: as a whole, in any direction; or in one of its tiles. Of two photos that
# have nothing to do with each other 95 of 100 stay below 0.24 and 0.70; a JPEG of quality 20 or half the size
# and back leaves 0.93.
_STILL, _TILE_STILL = 0.25, 0.75
_TILE = 32  # cells along its sides


def still_hidden(hidden: np.ndarray, colours: np.ndarray, image: torch.Tensor) -> np.ndarray:
    """What of the hidden parts of a photo may be seen in a picture of its proportions.

    Args:
        hidden: bool [H, W].
        colours: uint8 [H, W, 3], of the photo.
        image: float [h, w, C], 0..1.

    Returns:
        `hidden`, without the parts of which the picture shows something else.
    """
    photo = torch.from_numpy(np.array(colours)).float() / 255
    there, now = _banded(to_square(photo, SIDE)), _banded(to_square(image, SIDE))
    grown = to_square(torch.from_numpy(hidden)[..., None].float(), SIDE) > 0.5
    parts, count = label(grown)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    small = [number for number in range(1, count + 1) if sizes[number] < _LEAST_CELLS]
    parts[np.isin(parts, small)] = count + 1
    still = np.isin(parts, [number for number in np.unique(parts)[1:] if _is_there(there, now, parts == number)])
    if not still.all() and _is_elsewhere(hidden, photo, image):
        return hidden
    rows, columns = ((np.arange(side) * SIDE) // side for side in hidden.shape)
    gone = binary_dilation(grown & ~still, iterations=_EDGE) & ~binary_dilation(still, iterations=_EDGE)
    return hidden & ~gone[np.ix_(rows, columns)]


def _banded(square: np.ndarray) -> np.ndarray:
    return gaussian_filter(square, _BAND[0]) - gaussian_filter(square, _BAND[1])


def _is_there(there: np.ndarray, now: np.ndarray, part: np.ndarray) -> bool:
    inner = binary_erosion(part, iterations=_EDGE)
    if inner.sum() < _LEAST_CELLS // 4:
        return True
    if there[inner].std() < _FLAT:
        return False
    if any(_agreement(there, oriented(now, way), inner) >= _STILL for way in range(DIRECTIONS)):
        return True
    for top in range(0, SIDE, _TILE // 2):
        for left in range(0, SIDE, _TILE // 2):
            tile = np.s_[top : top + _TILE, left : left + _TILE]
            if inner[tile].sum() >= _LEAST_CELLS and _agreement(there[tile], now[tile], inner[tile]) >= _TILE_STILL:
                return True
    return False


def _agreement(there: np.ndarray, now: np.ndarray, part: np.ndarray) -> float:
    one, other = there[part] - there[part].mean(), now[part] - now[part].mean()
    if min(one.std(), other.std()) < _FLAT:
        return 0.0
    return abs(float((one * other).mean() / (one.std() * other.std())))


def _is_elsewhere(hidden: np.ndarray, photo: torch.Tensor, image: torch.Tensor) -> bool:
    """Whether what is hidden was cut out, and is at another place of the picture, or in another size."""
    rows, columns = (np.flatnonzero(hidden.any(axis)) for axis in (1, 0))
    cut = photo[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    place = find_place(to_square(image), image.shape[:2], cut)
    return place is not None and place.is_certain
