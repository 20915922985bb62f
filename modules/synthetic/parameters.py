"""Parameters of synthetic faces as tensors, and their drawing by seed.

A face is drawn by its own generator from (seed, number of the face): it depends neither on the faces drawn with it nor
on the device. Identities and attributes have separate streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .tables import ATTRIBUTES, IDENTITY, Parameter

_STREAMS = {IDENTITY: 0, ATTRIBUTES: 1}


@dataclass(frozen=True)
class Parameters:
    """The same parameters of B faces.

    Args:
        table: what the columns are, IDENTITY or ATTRIBUTES.
        values: float32 [B, P], normalised: -1 is each parameter's `low`, 1 its `high`. Regressors learn these.

    Raises:
        ValueError: the shape does not fit the table.
    """

    table: tuple[Parameter, ...]
    values: torch.Tensor

    def __post_init__(self):
        if self.values.ndim != 2 or self.values.shape[1] != len(self.table):
            raise ValueError(
                f"Values of these parameters are [B, {len(self.table)}], got {list(self.values.shape)}: "
                "one column a name."
            )

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: int | slice | Sequence[int] | torch.Tensor) -> Parameters:
        """The faces of these rows; one row stays a batch of one."""
        if isinstance(rows, int):
            rows = [rows]
        return Parameters(self.table, self.values[rows])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of the columns."""
        return tuple(parameter.name for parameter in self.table)

    def natural(self) -> torch.Tensor:
        """The values in the units of the table, float32 [B, P]."""
        low = torch.tensor([p.low for p in self.table], device=self.values.device)
        high = torch.tensor([p.high for p in self.table], device=self.values.device)
        return low + (self.values + 1) * 0.5 * (high - low)

    def replace(self, **normalised: float | torch.Tensor) -> Parameters:
        """A copy in which some parameters are set for all faces.

        Args:
            normalised: by name, the normalised value: a number, or one for each face, [B].

        Raises:
            ValueError: a name is not in the table.
        """
        values = self.values.clone()
        for name, value in normalised.items():
            if name not in self.names:
                raise ValueError(f"There is no parameter {name!r} here: the names are {', '.join(self.names)}.")
            values[:, self.names.index(name)] = torch.as_tensor(value, dtype=values.dtype, device=values.device)
        return Parameters(self.table, values)

    def to(self, device: torch.device | str | None) -> Parameters:
        """The same parameters on a device; None leaves them where they are."""
        return Parameters(self.table, self.values.to(device))

    @classmethod
    def from_natural(cls, table: tuple[Parameter, ...], values: torch.Tensor) -> Parameters:
        """Parameters from values in the units of the table.

        Args:
            table: what the columns are, IDENTITY or ATTRIBUTES.
            values: float [B, P].

        Raises:
            ValueError: the shape does not fit the table.
        """
        if values.ndim != 2 or values.shape[1] != len(table):
            raise ValueError(f"Values of these parameters are [B, {len(table)}], got {list(values.shape)}.")
        low = torch.tensor([p.low for p in table], device=values.device)
        high = torch.tensor([p.high for p in table], device=values.device)
        return cls(table, (values.float() - low) / (high - low) * 2 - 1)

    @classmethod
    def average(cls, table: tuple[Parameter, ...], count: int = 1) -> Parameters:
        """Faces in the middle of every range; what at least half of the drawn faces lack (`absent`) is absent."""
        row = torch.tensor([-1.0 if p.absent >= 0.5 else 0.0 for p in table])
        return cls(table, row.repeat(count, 1))


def sample_identities(numbers: int | Iterable[int], seed: int) -> Parameters:
    """Identities by their numbers, on the CPU.

    Args:
        numbers: 0 or more each; a count stands for 0..count-1.
        seed: 0 or more; a seed and a number give the same identity always, whatever else is drawn.

    Raises:
        ValueError: a number or the seed is negative.
    """
    return _sample(IDENTITY, numbers, seed)


def sample_attributes(numbers: int | Iterable[int], seed: int) -> Parameters:
    """Attributes by their numbers, as sample_identities."""
    return _sample(ATTRIBUTES, numbers, seed)


def _sample(table: tuple[Parameter, ...], numbers: int | Iterable[int], seed: int) -> Parameters:
    if isinstance(numbers, int):
        if numbers < 0:
            raise ValueError(f"A count of faces is 0 or more, not {numbers}.")
        numbers = range(numbers)
    numbers = [int(number) for number in numbers]
    if seed < 0 or any(number < 0 for number in numbers):
        raise ValueError(f"Seeds and numbers of faces are 0 or more; got seed {seed}, least {min(numbers, default=0)}.")
    absent = np.array([parameter.absent for parameter in table])
    values = np.empty((len(numbers), len(table)), np.float32)
    for row, number in zip(values, numbers, strict=True):
        generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, _STREAMS[table], number]))
        drawn = generator.random((2, len(table)))
        row[:] = np.where(drawn[0] < absent, -1.0, 2 * drawn[1] - 1)
    return Parameters(table, torch.from_numpy(values))
