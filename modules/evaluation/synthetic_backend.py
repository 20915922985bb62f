"""The back-end of synthetic faces: a network that was trained to read the renderer's parameters off a picture.

As with any regressor, its values shrink towards the average where a picture does not show them; so measurements on
results stand beside those on pictures of the exact truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..faces.types import Face
from ..synthetic.parameters import Parameters
from ..synthetic.regressor import SyntheticRegressor
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
    """Reads the renderer's parameters off pictures.

    Args:
        regressor: of synthetic.regressor.load_regressor; its `reliability`, of each parameter, weighs its values.

    Attributes:
        reliability: the mean over all parameters, 0..1.
    """

    name = "synthetic truth"
    licence = "Apache-2.0, trained on rendered faces"

    def __init__(self, regressor: SyntheticRegressor):
        self._regressor = regressor
        self._reliability = regressor.reliability.detach().cpu().double()
        self.reliability = round(self._reliability.mean().item(), 3)

    def measure(self, pictures: Sequence[np.ndarray] | np.ndarray, faces: Sequence[Face | None]) -> Measured:
        """Measure aligned crops, as Backend describes.

        Args:
            pictures: N crops of one size, uint8 [S, S, 3].
            faces: only whether there is one matters.
        """
        values = torch.zeros(0, len(IDENTITY) + len(ATTRIBUTES))
        with torch.no_grad():
            for start in range(0, len(pictures), _AT_ONCE):
                batch = torch.from_numpy(np.array(pictures[start : start + _AT_ONCE])).float() / 255
                values = torch.cat([values, self._regressor(batch).float().cpu()])
        return self._from_values(values.double(), torch.tensor([face is not None for face in faces], dtype=torch.bool))

    def truth(self, identity: Parameters, attributes: Parameters) -> Measured:
        """Exactly known faces, as if `measure` had read every parameter without an error."""
        values = torch.cat([identity.values, attributes.values], 1).double()
        return self._from_values(values, torch.ones(len(values), dtype=torch.bool))

    def _from_values(self, values: torch.Tensor, found: torch.Tensor) -> Measured:
        """Measured of parameters.

        Identity is all 57 parameters of it. A parameter that a picture does not show (the position of a mole, on a face
        without moles) is taken as its average, so that it adds nothing to a distance.

        Args:
            values: [N, 101], normalised, identity before attributes.
            found: bool [N].
        """
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
        """Values scaled so that their sum of absolute differences is a mean, weighed by the reliability of each, as a
        share of the range.
        """
        place = [parameter.name for parameter in (*IDENTITY, *ATTRIBUTES)]
        columns = [place.index(name) for name in names]
        weights = self._reliability[columns].clamp(min=1e-6)
        return values[:, columns] / 2 * (weights / weights.sum())


def quaternions(yaw: torch.Tensor, pitch: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    """The head's rotation to the camera.

    Args:
        yaw, pitch, roll: degrees, float64 [N], turned in this order, with the signs of modules/synthetic/geometry.Pose.

    Returns:
        Unit quaternions [N, 4], real part first.
    """
    angles = torch.stack([yaw, -pitch, -roll], 1).numpy()
    turned = Rotation.from_euler("yxz", angles, degrees=True).as_quat()  # about the camera's axes: lower case
    return torch.from_numpy(turned).roll(1, dims=1)


def directions(right: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Unit vectors [N, 3], x right, y up, z ahead, of angles in degrees, [N] each."""
    right, up = right.deg2rad(), up.deg2rad()
    return torch.stack([right.sin() * up.cos(), up.sin(), right.cos() * up.cos()], 1)
