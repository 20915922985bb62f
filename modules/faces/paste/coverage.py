"""How much of a face was really replaced: after feather, protect mask, kept parts, neighbours and borders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .edge import Edge
from .masks import FaceShapes
from .placement import Placement
from .resampling import ownership

LEAST = 0.90  # share of the face's oval; with less of it the face is kept, not replaced
_POINTS = 48  # along each side of the oval's bounds


def oval_points(shapes: FaceShapes, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points that fill the part of a face's oval which lies in the picture.

    Returns:
        x and y, float32 [N], integers at pixel centres.
    """
    x, y, inside = _oval_grid(shapes, height, width)
    rows, columns = inside.nonzero(as_tuple=True)
    return x[columns], y[rows]


def _oval_grid(shapes: FaceShapes, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As oval_points: x of columns, y of rows, and which of their crossings are such points, bool [rows, columns]."""
    x0, y0, x1, y1 = shapes.bounds("oval")
    share = (np.arange(_POINTS, dtype=np.float32) + np.float32(0.5)) / np.float32(_POINTS)
    x, y = np.float32(x0 - 0.5) + share * (x1 - x0), np.float32(y0 - 0.5) + share * (y1 - y0)
    x, y = x[(x > -0.5) & (x < width - 0.5)], y[(y > -0.5) & (y < height - 0.5)]
    x, y = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.float32))
    return x, y, shapes.field("oval", x[None, :], y[:, None]) > 0


def covered_share(mask: torch.Tensor, shapes: FaceShapes) -> float:
    """The mean of a mask over a face's oval.

    Args:
        mask: float32 [H, W], 0..1, what was replaced.
        shapes: of the face.

    Returns:
        0..1; 1 for a face beside the picture.
    """
    x, y, inside = _oval_grid(shapes, *mask.shape)
    rows, columns = (t.round().long().to(mask.device) for t in (y, x))
    covered = mask[rows[:, None], columns].cpu()[inside]
    return float(covered.mean()) if len(covered) else 1.0


def replaced_shares(mask: torch.Tensor, placements: Sequence[Placement], edge: Edge) -> list[float]:
    """The share of each face's oval that shows what was painted for it.

    Where crops overlap, what a neighbour's crop shows of a face is no new face of it, unless the place belongs to the
    neighbour's own oval: there one face is in front of the other.

    Args:
        mask: float32 [H, W], 0..1, as paste_into left it.
        placements: that were pasted into the picture.
        edge: of the paste.

    Returns:
        0..1 each; 1 for a face beside the picture.
    """
    squares = [placement.square for placement in placements]
    shares = []
    for i, placement in enumerate(placements):
        x, y = oval_points(placement.shapes, *mask.shape)
        if not len(x):
            shares.append(1.0)
            continue
        replaced = _mask_at(mask, x, y)
        others = [j for j in range(len(placements)) if j != i and _overlap(squares[i], squares[j])]
        if others:
            own = _ownership(placement, edge, x, y)
            whole = own.clone()
            for j in others:
                theirs = _ownership(placements[j], edge, x, y)
                whole += theirs
                own += theirs * (placements[j].shapes.field("oval", x, y) > 0)
            replaced = replaced * own / whole.clamp_min(1e-20)
        shares.append(float(replaced.mean()))
    return shares


def _mask_at(mask: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    rows, columns = (t.round().long().to(mask.device) for t in (y, x))
    return mask[rows.clamp(0, mask.shape[0] - 1), columns.clamp(0, mask.shape[1] - 1)].cpu()


def _ownership(placement: Placement, edge: Edge, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    (a, b, c), (d, e, f) = placement.to_unit.tolist()
    u, v = a * x + b * y + c, d * x + e * y + f
    return ownership(edge.mask(placement, x, y, u, v), u, v)


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
