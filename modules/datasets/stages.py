"""The two stages that think: faces are found, and changed. Each takes a chunk and hands it on; no Ray here.

What one picture causes becomes its row; what stops all, such as a model that is not there, is raised.
"""

from __future__ import annotations

import gc
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from ..faces.types import Face, Faces
from ..files import sha256_of_folder
from ..headless.anonymizer import Anonymizer
from ..headless.folder_run import change, explained, is_out_of_memory, options_of
from ..model import checkpoint
from ..output.generated import says_so
from ..photos.reading import Photo, read_photo
from .chunks import Chunk, Item, Made
from .deaths import Deaths
from .ends import Stopped
from .rows import row_of
from .work import Work

# What one picture may cause, RuntimeError for want of memory among it: the others are done all the same.
_FAILURES = (OSError, LookupError, ValueError, RuntimeError, MemoryError)
_TOGETHER_PIXELS = 1 << 23  # of pictures of one size that go through the networks together


class Finder:
    """Reads pictures and finds their faces.

    Args:
        work: what is done.
    """

    def __init__(self, work: Work):
        self._work, self._deaths = work, Deaths(work.run, "find")
        self._detecting = options_of(work.settings).detecting
        self._anonymizer = Anonymizer(work.model or checkpoint.DEMO)

    def __call__(self, chunk: Chunk) -> Chunk:
        self._deaths.guard(chunk, self._find)
        return chunk

    def _find(self, items: Sequence[Item]) -> None:
        for item in items:
            try:
                photo = read_photo(item.data or b"")
                item.faces = self._anonymizer.detect(photo.seen, self._detecting)
            except _FAILURES as error:
                item.failed(_in_words(error))


class Changer:
    """Changes the faces that were found; the model is loaded at the first one.

    Args:
        work: what is done.
    """

    def __init__(self, work: Work):
        self._work, self._deaths = work, Deaths(work.run, "change")
        self._settings, self._options = work.settings, options_of(work.settings)
        self._source = None if work.source is None else read_photo(work.source).seen
        self._anonymizer: Anonymizer | None = None

    def __call__(self, chunk: Chunk) -> Chunk:
        self._deaths.guard(chunk, self._change_all)
        return chunk

    @property
    def _loaded(self) -> Anonymizer:
        """With its model, which is loaded once. Stopped: it cannot be."""
        if self._anonymizer is None:
            if self._work.model is not None:
                _check_model(Path(self._work.model), self._settings)
            anonymizer = Anonymizer(self._work.model or checkpoint.DEMO)
            if self._work.model is not None:
                try:
                    _ = anonymizer.engine
                except _FAILURES as error:
                    where = f"{self._work.model} on {socket.gethostname()}"
                    raise Stopped(f"The model in {where} cannot be loaded: {explained(error)}") from error
            self._anonymizer = anonymizer
        return self._anonymizer

    def _change_all(self, items: Sequence[Item]) -> None:
        read, anonymizer = [], self._loaded
        for item in items:
            try:
                read.append((item, read_photo(item.data or b"")))
            except _FAILURES as error:
                item.failed(_in_words(error))
        for _, same in groupby(read, key=lambda one: one[1].seen.shape):
            group = list(same)
            height, width = group[0][1].seen.shape[:2]
            together = max(1, _TOGETHER_PIXELS // (height * width))
            for first in range(0, len(group), together):
                halve(group[first : first + together], partial(self._change_some, anonymizer))

    def _change_some(self, anonymizer: Anonymizer, group: Sequence[tuple[Item, Photo]], smaller: int) -> None:
        """Change pictures of one size, and write down what became of each.

        Args:
            anonymizer: with its model.
            group: the pictures.
            smaller: how often the faces that go through the networks together were halved.
        """
        started = time.monotonic()
        options = replace(self._options, faces_at_once=max(1, self._options.faces_at_once >> smaller))
        faces = joined([_found(item) for item, _ in group])
        seen = np.stack([photo.seen for _, photo in group])
        result = change(anonymizer, self._settings, seen, options=options, source=self._source, faces=faces)
        report, seconds = json.loads(result.report.to_json()), (time.monotonic() - started) / len(group)
        report["notes"] = [note for note in report["notes"] if note != anonymizer.settings.notice]
        format = self._settings["format"]
        for number, (item, photo) in enumerate(group):
            changed = result.image[number]
            pixels = changed if photo.is_finished_by_nodes(format) else photo.finish(changed)
            item.made = Made(pixels, photo.colour.profile, photo.colour.cicp, says_so(item.data or b""))
            item.row = row_of(report, number, seconds, photo.said(format))
            item.data = item.faces = None


def halve(group: Sequence, do: Callable[[Sequence, int], None], smaller: int = 0) -> None:
    """Do pictures together; for want of memory in two halves, and one alone with fewer faces at once, until one face.

    Args:
        group: (Item, ...) each; one that cannot be done gets its error.
        do: does some; its second argument says how often the faces at once are to be halved.
        smaller: the same, to begin with.
    """
    try:
        do(group, smaller)
        return
    except _FAILURES as error:
        failed = error
        failed.__traceback__ = None  # which would hold what the networks had in memory
    if is_out_of_memory(failed):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(group) == 1 and smaller < 3:
            halve(group, do, smaller + 1)
            return
    if len(group) == 1:
        group[0][0].failed(_in_words(failed))
        return
    middle = len(group) // 2
    halve(group[:middle], do, smaller)
    halve(group[middle:], do, smaller)


def joined(found: Sequence[Faces]) -> Faces:
    """The faces of several pictures of one size as those of their batch, each with the seed that it has alone."""
    faces = [replace(face, image_index=image) for image, one in enumerate(found) for face in one.faces]
    kept = [replace(face, image_index=image) for image, one in enumerate(found) for face in one.kept]
    return _Apart(len(found), found[0].height, found[0].width, tuple(faces), tuple(kept))


class _Apart(Faces):
    """Faces of pictures that have nothing to do with each other: seeds count from each picture's first."""

    def seed_offsets(self) -> list[int]:
        counted: dict[int, int] = {}
        return [_next(counted, face) for face in self.faces]


def _next(counted: dict[int, int], face: Face) -> int:
    counted[face.image_index] = counted.get(face.image_index, -1) + 1
    return counted[face.image_index]


def _check_model(folder: Path, settings: Mapping) -> None:
    """That this machine has the model that the run is of, as far as its small files tell.

    Raises:
        Stopped: it has not.
    """
    if not (folder / checkpoint.UNET / "config.json").is_file():
        raise Stopped(
            f"The machine {socket.gethostname()} has no model in {folder}: put it there, under the same path on every "
            "machine, or name one on a disk that they share."
        )
    if sha256_of_folder(folder, (".json",)) != settings.get("model_configs_sha256"):
        raise Stopped(f"The model in {folder} on {socket.gethostname()} is another than where the run was started.")


def _found(item: Item) -> Faces:
    if item.faces is None:
        raise ValueError("its faces were not looked for")
    return item.faces


def _in_words(error: BaseException) -> str:
    if is_out_of_memory(error):
        return f"out of memory, with one face at a time too: give the worker more, or a smaller --size ({error})"
    return explained(error)
