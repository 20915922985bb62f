"""The back-end of synthetic faces: a network that was trained to read the renderer's parameters off a picture.

Its values shrink towards the average where a picture does not tell, as those of any regressor; so what it measures on
results stands beside what it measures on pictures of the exact truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..faces.types import Face
from ..synthetic.parameters import Parameters
from ..synthetic.tables import ATTRIBUTES, IDENTITY
from .measured import Measured

_AT_ONCE = 64
_EXPRESSION = ("eye_opening", "mouth_opening", "smile", "brow_raise")
_LIGHT = ("light_azimuth", "light_elevation", "light_strength", "light_warmth", "ambient")
# what a face is built like: no colours, no hair, and nothing that only matters with something else
_SHAPE = (
    *(parameter.name for parameter in IDENTITY if parameter.group in ("head", "nose")),
    *("eye_size", "eye_roundness", "eye_spacing", "eye_height", "eye_tilt"),
    *("mouth_width", "mouth_height", "upper_lip", "lower_lip"),
)


class SyntheticBackend:
    """regressor: as modules/synthetic/regressor.load_regressor gives it; its `reliability` weighs what it reads.

    reliability: the mean of that over all parameters, 0..1.
    """

    name = "synthetic truth"
    licence = "Apache-2.0, trained by tools/demo_model/train_regressors.py on rendered faces"

    def __init__(self, regressor: torch.nn.Module):
        self._regressor = regressor
        self._reliability = regressor.reliability.detach().cpu().double()
        self.reliability = round(self._reliability.mean().item(), 3)

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Of pictures uint8 [S, S, 3] of one size, each an aligned crop. faces: only whether there is one matters."""
        values = torch.zeros(0, len(IDENTITY) + len(ATTRIBUTES))
        with torch.no_grad():
            for start in range(0, len(pictures), _AT_ONCE):
                batch = torch.from_numpy(np.stack(pictures[start : start + _AT_ONCE])).float() / 255
                values = torch.cat([values, self._regressor(batch).float().cpu()])
        return self._from_values(values.double(), torch.tensor([face is not None for face in faces], dtype=torch.bool))

    def truth(self, identity: Parameters, attributes: Parameters) -> Measured:
        """The same of exactly known faces, without a picture."""
        values = torch.cat([identity.values, attributes.values], 1).double()
        return self._from_values(values, torch.ones(len(values), dtype=torch.bool))

    def _from_values(self, values: torch.Tensor, found: torch.Tensor) -> Measured:
        """values: [N, 101], normalised. Identity is all 57 parameters: one that a picture does not show, such as the
        place of a mole that is not there, is read as its average, and counts for nothing."""
        count = len(IDENTITY)
        average = torch.tensor([-parameter.absent for parameter in (*IDENTITY, *ATTRIBUTES)], dtype=torch.float64)
        weighted = (values - average) * self._reliability.sqrt()
        natural = Parameters(ATTRIBUTES, values[:, count:].float()).natural().double()
        degrees = dict(zip([parameter.name for parameter in ATTRIBUTES], natural.T, strict=True))
        return Measured(
            found=found,
            identity=weighted[:, :count],
            pose=quaternions(degrees["yaw"], degrees["pitch"], degrees["roll"]),
            gaze=directions(degrees["gaze_x"], degrees["gaze_y"]),
            expression=self._weighed(values, _EXPRESSION),
            shape=self._weighed(values, _SHAPE),
            light=self._weighed(values, _LIGHT),
            features=weighted,
        )

    def _weighed(self, values: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
        """So that the sum of absolute differences is their mean, weighed by reliability, as a share of the range."""
        place = [parameter.name for parameter in (*IDENTITY, *ATTRIBUTES)]
        columns = [place.index(name) for name in names]
        weights = self._reliability[columns].clamp(min=1e-6)
        return values[:, columns] / 2 * (weights / weights.sum())


def quaternions(yaw: torch.Tensor, pitch: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    """Unit quaternions [N, 4] of the head's rotation to the camera, from degrees [N]: yaw, then pitch, then roll, with
    the signs of modules/synthetic/geometry.Pose."""
    zero = torch.zeros_like(yaw)
    halves = [(angle / 2).deg2rad() for angle in (yaw, -pitch, -roll)]
    about_y, about_x, about_z = (
        torch.stack([half.cos(), *(half.sin() if axis == i else zero for i in range(3))], 1)
        for half, axis in zip(halves, (1, 0, 2), strict=True)
    )
    return _product(about_z, _product(about_x, about_y))


def directions(right: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Unit vectors [N, 3], x right, y up, z ahead, from degrees [N]."""
    right, up = right.deg2rad(), up.deg2rad()
    return torch.stack([right.sin() * up.cos(), up.sin(), right.cos() * up.cos()], 1)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    (aw, ax, ay, az), (bw, bx, by, bz) = a.unbind(1), b.unbind(1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        1,
    )
