"""What a run over a dataset is asked for, each default once. Only the standard library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..runs.folder_options import FolderOptions

AUTO = "auto"
FOLDER, WEBDATASET, PARQUET = FORMS = ("folder", "webdataset", "parquet")


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """What scripts/anonymize_dataset.py is asked for.

    Args:
        inputs: folders, tars or parquet files, as paths or addresses such as s3://bucket/folder.
        output: a folder for the results, likewise; empty, or of an earlier run with the same settings.
        faces: what is done to faces, as for folder runs; its paths and output count for nothing.
        form: one of FORMS, or "auto": by what is found.
        column: of parquet, that holds the pictures.
        keep: columns of parquet, or suffixes of members of tars such as "txt", that are copied as they are; each once.
        batch: so many pictures go through the stages together at most.
        address: of a Ray cluster, "auto" for the one that this machine belongs to; None: Ray is started here.
        workers: that change pictures at the same time, each with the networks loaded once.
        gpus_per_worker: 0.25 lets four share one; None: one where the cluster has any and faces are painted.

    Raises:
        ValueError: naming the option of the command line that is out of its range, or does not go with another.
    """

    inputs: Sequence[str]
    output: str
    faces: FolderOptions
    form: str = AUTO
    column: str = "image"
    keep: Sequence[str] = ()
    batch: int = 8
    address: str | None = None
    workers: int = 1
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 256:
            raise ValueError(f"--batch is 1 to 256 pictures, not {self.batch}")
        if not 1 <= self.workers <= 4096:
            raise ValueError(f"--workers is 1 to 4096, not {self.workers}")
        if self.gpus_per_worker is not None and not 0 <= self.gpus_per_worker <= 16:
            raise ValueError(f"--gpus-per-worker is 0 to 16, not {self.gpus_per_worker:g}")
        if not (self.faces.redact or self.faces.model or self.faces.demo):
            raise ValueError("name what paints with --model, or --redact to cover faces, or --demo to try it")
        object.__setattr__(self, "keep", tuple(dict.fromkeys(self.keep)))
        if self.keep and self.form == FOLDER:
            raise ValueError("--keep is for columns of parquet and members of tars: a folder has neither")
