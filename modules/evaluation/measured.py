"""What is read off faces, and how two faces are compared: the one interface between back-ends and protocols.

A back-end is anything with the attributes and the method of Backend; back-ends leave out what they cannot measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ..faces.types import Face


class Aspect(NamedTuple):
    """Something in which two faces are compared.

    Attributes:
        title: its name in tables.
        unit: of the distance, which is 0 for equal faces. A share is one of the range of the values that a back-end
            reads, or for the face's shape of the distance between the eyes.
    """

    title: str
    unit: str


IDENTITY, POSE, GAZE, EXPRESSION, SHAPE, LIGHT = "identity", "pose", "gaze", "expression", "shape", "light"
AGE, MAN = "age", "man"
ASPECTS: dict[str, Aspect] = {
    IDENTITY: Aspect("identity", "1 - cosine"),
    POSE: Aspect("head pose", "degrees"),
    GAZE: Aspect("gaze", "degrees"),
    EXPRESSION: Aspect("expression", "share of range"),
    SHAPE: Aspect("face shape", "share"),
    LIGHT: Aspect("light", "share of range"),
    AGE: Aspect("age", "years"),
    MAN: Aspect("a man or a woman", "probability"),
}
FEATURES = "features"  # no aspect: only populations are compared by them
KEPT = (POSE, GAZE, EXPRESSION, LIGHT)  # what a changed face is to keep


@dataclass(frozen=True)
class Measured:
    """What a back-end read off N faces; None for an aspect that it cannot measure.

    Attributes:
        found: bool [N]; a face that is not found is not measurable, and all its values are NaN.
        identity: float [N, D], centred on the population, any length.
        pose: unit quaternions [N, 4], real part first.
        gaze: unit directions [N, 3], relative to the head.
        expression, shape, light: float [N, K], scaled so that the sum of absolute differences is the distance.
        age, man: float [N, 1], in years, and the probability of a man.
        features: float [N, F], what Fréchet distances are taken of.

    Raises:
        ValueError: an aspect has another number of faces than `found`.
    """

    found: torch.Tensor
    identity: torch.Tensor | None = None
    pose: torch.Tensor | None = None
    gaze: torch.Tensor | None = None
    expression: torch.Tensor | None = None
    shape: torch.Tensor | None = None
    light: torch.Tensor | None = None
    age: torch.Tensor | None = None
    man: torch.Tensor | None = None
    features: torch.Tensor | None = None

    def __post_init__(self):
        for name, values in self._values().items():
            if len(values) != len(self.found):
                raise ValueError(f"{name} holds {len(values)} faces, found {len(self.found)}.")
            hidden = torch.where(self.found[:, None], values.double(), torch.nan)
            object.__setattr__(self, name, hidden)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, rows) -> Measured:
        """The faces of these rows: a slice, indices or bool [N]."""
        return replace(self, found=self.found[rows], **{name: values[rows] for name, values in self._values().items()})

    @classmethod
    def join(cls, parts: Sequence[Measured]) -> Measured:
        """The faces of several parts, which one back-end measured, as one."""
        named = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        return cls(**{name: torch.cat(values) for name, values in named.items() if values[0] is not None})

    def _values(self) -> dict[str, torch.Tensor]:
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "found"}
        return {name: values for name, values in named.items() if values is not None}

    def of(self, name: str) -> torch.Tensor:
        """The values of an aspect, or FEATURES.

        Raises:
            ValueError: the back-end does not measure them.
        """
        values = getattr(self, name)
        if values is None:
            raise ValueError(f"This back-end does not measure {ASPECTS[name].title if name in ASPECTS else name}.")
        return values

    @property
    def aspects(self) -> tuple[str, ...]:
        """The aspects that the back-end measures, in the order of ASPECTS."""
        return tuple(aspect for aspect in ASPECTS if getattr(self, aspect) is not None)


class Backend(Protocol):
    """What measures faces.

    Attributes:
        name: in tables.
        licence: of its weights, with their source.
    """

    name: str
    licence: str

    def measure(self, pictures: Sequence[np.ndarray], faces: Sequence[Face | None]) -> Measured:
        """Measure one face of each picture.

        Args:
            pictures: N pictures, uint8 [H, W, 3].
            faces: the face of each; None where none was found, which is not measurable.
        """
        ...


def distance(aspect: str, a: Measured, b: Measured) -> torch.Tensor:
    """How far face i of one set is from face i of another in one aspect.

    Pose: the angle of the rotation between both, 2 arccos |q1 q2|, as in section 4 of the paper (Kung et al., WACV
    2025, arXiv 2411.00762), which compares quaternions. Identity: 1 - cosine. Gaze: the angle between both directions.
    All others: the sum of absolute differences.

    Args:
        aspect: of ASPECTS.
        a: N faces.
        b: N faces.

    Returns:
        Float64 [N] in the aspect's unit (see ASPECTS); NaN where either face is not measurable.

    Raises:
        ValueError: a back-end does not measure the aspect, or the numbers of faces differ.
    """
    first, second = a.of(aspect), b.of(aspect)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} faces cannot be compared one by one with {len(second)}.")
    if aspect == IDENTITY:
        return 1 - (unit(first) * unit(second)).sum(1)
    if aspect == POSE:
        # by its sine and cosine: arccos alone turns the last digits of 1 into hundredths of a degree
        apart = torch.minimum((first - second).norm(dim=1), (first + second).norm(dim=1))
        return (4 * torch.asin((apart / 2).clamp(max=1))).rad2deg()
    if aspect == GAZE:
        return (2 * torch.asin(((first - second).norm(dim=1) / 2).clamp(max=1))).rad2deg()
    return (first - second).abs().sum(1)


def similarities(probes: Measured, gallery: Measured) -> torch.Tensor:
    """Cosines of identity vectors, each probe with each of the gallery.

    Returns:
        Float64 [P, G]; NaN where either is not measurable.
    """
    return unit(probes.of(IDENTITY)) @ unit(gallery.of(IDENTITY)).T


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors [N, D] scaled to length 1; a vector of zeros stays one."""
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
