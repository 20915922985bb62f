"""Transparency: what is looked at must be what is there, and what is hidden must not come out."""

from __future__ import annotations

import numpy as np

CLEAR, _OPAQUE = 0.02, 0.98  # shares of the largest alpha: nearly so counts as so
_WINDOW = 9  # pixels: the edge of a cut-out is thinner
_MOST_SOFT = 0.6  # of such a window may be soft; of a dither of half the pixels it is three quarters
_WHITE_STENCIL = 0.85  # a picture as light as this is not seen on white


def separate(rgb: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, str]:
    """The colours that are looked at, and the alpha that the result gets back.

    A cut-out keeps its alpha, and what lies under alpha 0, or so little that nobody sees it, is emptied. Where alpha is
    a picture of its own, as in shadows, soft vignettes or stencils, a face may stand in it alone: the picture is joined
    on white, without alpha.

    Args:
        rgb: uint8 or uint16 [H, W, 3].
        alpha: of the same type, [H, W].

    Returns:
        The colours, [H, W, 3]; alpha, or None where there is none any more; and a note, or "".
    """
    top = np.iinfo(alpha.dtype).max
    if (alpha == top).all():
        return rgb, None, ""
    behind = _background(rgb, alpha, top)
    if _is_cut_out(alpha, top):
        rgb = rgb.copy()
        rgb[alpha <= int(CLEAR * top)] = behind
        return rgb, alpha, ""
    share = alpha[..., None].astype(np.float64) / top
    joined = np.rint(rgb * share + behind * (1 - share)).astype(rgb.dtype)
    return joined, None, f"what is half transparent in it was joined on {'white' if behind else 'black'}"


def _background(rgb: np.ndarray, alpha: np.ndarray, top: int) -> int:
    seen = rgb[alpha > 0]
    return 0 if len(seen) and seen.mean() > _WHITE_STENCIL * top else top


def _is_cut_out(alpha: np.ndarray, top: int) -> bool:
    """Whether alpha of 0..top is all or nothing but at thin edges."""
    solid = alpha > top // 2
    soft = (alpha > int(CLEAR * top)) & (alpha < int(_OPAQUE * top))
    soft[:, 1:] |= solid[:, 1:] != solid[:, :-1]
    soft[1:] |= solid[1:] != solid[:-1]
    window = min(_WINDOW, *soft.shape)
    sums = np.zeros((soft.shape[0] + 1, soft.shape[1] + 1), np.int32)
    sums[1:, 1:] = soft.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
    counts = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window] + sums[:-window, :-window]
    return counts.max() < _MOST_SOFT * window**2
