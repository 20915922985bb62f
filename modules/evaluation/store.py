"""Painted pictures on disk: FOLDER/<condition>/NNNN.png, so that an evaluation that was interrupted goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import replace_whole, replaced_whole

_SETTINGS = "settings.json"


class PictureStore:
    """A folder of pictures, by condition and number.

    Args:
        folder: made if need be.
        settings: all that makes the pictures what they are; written into the folder.

    Raises:
        ValueError: the folder holds pictures of other settings, or something else.
    """

    def __init__(self, folder: Path, settings: Mapping):
        self.folder = folder
        file = folder / _SETTINGS
        settings = json.loads(json.dumps(settings))
        if file.is_file():
            held = json.loads(file.read_text(encoding="utf-8"))
            other = [key for key in settings if held.get(key) != settings[key]]
            if other:
                listed = "; ".join(f"{key}: {held.get(key)}, asked for {settings[key]}" for key in other)
                raise ValueError(f"{folder} holds pictures of other settings ({listed}). Take another output folder.")
        elif folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and was not made by an evaluation. Take another output folder.")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            replace_whole(file, json.dumps(settings, indent=1).encode())

    def path(self, condition: str, number: int) -> Path:
        """The file of a picture, which need not exist."""
        return self.folder / condition / f"{number:04}.png"

    def has(self, condition: str, number: int) -> bool:
        """Whether a picture is there."""
        return self.path(condition, number).is_file()

    def write(self, condition: str, number: int, picture: np.ndarray) -> None:
        """Save a picture, whole or not at all.

        Args:
            condition: that it was painted under.
            number: of the picture, from 0.
            picture: uint8 [H, W, 3].
        """
        path = self.path(condition, number)
        path.parent.mkdir(exist_ok=True)
        with replaced_whole(path) as part:
            Image.fromarray(picture).save(part, "PNG")

    def keep(self, condition: str, pictures: np.ndarray) -> None:
        """Save those pictures, uint8 [N, H, W, 3], that are not there yet."""
        for number, picture in enumerate(pictures):
            if not self.has(condition, number):
                self.write(condition, number, picture)

    def read(self, condition: str, count: int) -> np.ndarray:
        """The first pictures of a condition, uint8 [count, H, W, 3].

        Raises:
            ValueError: some are missing.
        """
        missing = [number for number in range(count) if not self.has(condition, number)]
        if missing:
            raise ValueError(
                f"{self.folder / condition} lacks {len(missing)} of {count} pictures, the first is number "
                f"{missing[0]}. The same command paints them."
            )
        return np.stack([np.asarray(Image.open(self.path(condition, i)).convert("RGB")) for i in range(count)])

    def remember(self, condition: str, name: str, values: list) -> None:
        """Save what was computed of a condition's pictures, for `recall`.

        Args:
            condition: whose pictures.
            name: of the values.
            values: one for each picture, as JSON can hold them.
        """
        (self.folder / condition).mkdir(exist_ok=True)
        replace_whole(self.folder / condition / f"{name}.json", json.dumps(values).encode())

    def recall(self, condition: str, name: str, count: int) -> list | None:
        """Values that `remember` saved.

        Args:
            condition: whose pictures.
            name: of the values.
            count: how many pictures the condition has.

        Returns:
            The values, or None when there are none for just so many pictures.
        """
        file = self.folder / condition / f"{name}.json"
        values = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        return values if len(values) == count else None
