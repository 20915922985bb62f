"""What every worker of a run is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Work:
    """What is done to the pictures of all shards.

    Args:
        settings: as FolderOptions.of_results gives them, with what made the results.
        output: where results go.
        run: the name of this run in the claim on the output folder.
        model: folder of the model that paints; None for a redaction.
        source: the photo whose largest face all faces get, encoded; None: each becomes a stranger.
        column: of parquet, that holds the pictures.
        keep: columns of parquet or suffixes of members of tars that are copied.
        batch: so many pictures in a chunk at most.
    """

    settings: Mapping[str, Any]
    output: str
    run: str
    model: str | None = None
    source: bytes | None = None
    column: str = "image"
    keep: tuple[str, ...] = ()
    batch: int = 8
