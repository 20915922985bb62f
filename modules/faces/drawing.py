"""Pictures with their faces drawn in: what was found, with points and scores, or what is said of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .alignment import check_faces
from .track.smoothing import EXTRAPOLATED, INTERPOLATED
from .types import Face, Faces

_FOUND = (64, 224, 96)
_FILLED = (96, 176, 255)
_KEPT = (224, 96, 64)
_POINT = (255, 208, 0)
_DARK = (0, 0, 0)
RIGHT, WRONG, UNKNOWN, NOT_ASKED = _FOUND, (255, 48, 48), (176, 176, 176), (240, 240, 240)
Colour = tuple[int, int, int]


class _Drawn(NamedTuple):
    """A face and what is written at it: the first of some texts for which there is room."""

    face: Face
    texts: tuple[str, ...]
    colour: Colour
    has_points: bool


def draw_faces(images: torch.Tensor, faces: Faces) -> torch.Tensor:
    """Pictures with the faces drawn in, for the eye only (8 bits a channel).

    Lines and letters grow with the picture. Numbers count the faces of the whole batch from 1, in their order, or are
    those of their tracks, from 1; the score follows where the picture has room for it. Faces that no detector saw, as
    in a track's gaps, and faces that are kept have other colours.

    Args:
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4.
        faces: of these images.

    Returns:
        float32 [B, H, W, 3], 0..1.

    Raises:
        ValueError: the faces are not of these images.
    """
    check_faces(images, faces)
    drawn = []
    for name, face in zip(_names(faces), faces, strict=True):
        colour = _FILLED if face.source in (INTERPOLATED, EXTRAPOLATED) else _FOUND
        drawn.append(_Drawn(face, (f"{name}: {face.score:.2f}", name), colour, True))
    drawn += [_Drawn(face, (f"kept: {face.score:.2f}", "kept"), _KEPT, True) for face in faces.kept]
    return _draw_all(images, drawn)


def draw_words(images: torch.Tensor, faces: Faces, words: Sequence[tuple[str, Colour]]) -> torch.Tensor:
    """Pictures with a box a face, its number and what is said of it, as draw_faces draws them.

    Args:
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4.
        faces: of these images; those that are kept have a box too.
        words: one a face, and its colour, such as RIGHT.

    Returns:
        float32 [B, H, W, 3], 0..1.

    Raises:
        ValueError: the faces are not of these images.
    """
    check_faces(images, faces)
    drawn = [
        _Drawn(face, (f"{name}: {word}", name), colour, False)
        for name, face, (word, colour) in zip(_names(faces), faces, words, strict=True)
    ]
    return _draw_all(images, [*drawn, *(_Drawn(face, ("kept",), NOT_ASKED, False) for face in faces.kept)])


def _names(faces: Faces) -> list[str]:
    return [str(offset + 1) for offset in faces.seed_offsets()]


def _draw_all(images: torch.Tensor, faces: Sequence[_Drawn]) -> torch.Tensor:
    of_image: dict[int, list[_Drawn]] = {}
    for one in faces:
        of_image.setdefault(one.face.image_index, []).append(one)
    drawn = torch.empty((*images.shape[:3], 3), dtype=torch.float32, device=images.device)
    for index in range(len(images)):
        levels = (torch.nan_to_num(images[index, ..., :3]).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3))))
        _draw(picture, of_image.get(index, []))
        drawn[index] = torch.from_numpy(np.array(picture)).float() / 255
    return drawn


def _draw(picture: Image.Image, faces: Sequence[_Drawn]) -> None:
    pen = ImageDraw.Draw(picture)
    side = max(picture.size)
    line = max(1, round(side / 200))  # to be seen where a node shows the picture small
    font = ImageFont.load_default(max(10, side / 28))
    for face, texts, colour, has_points in faces:
        # a box counts pixel edges; the line runs inside it
        low, high = np.clip(face.box.reshape(2, 2), -side, 2 * side)
        (x0, y0), (x1, y1) = np.floor(low).astype(int).tolist(), np.ceil(high).astype(int).tolist()
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        if line > 1:
            pen.rectangle(
                (corners[0] - 1, corners[1] - 1, corners[2] + 1, corners[3] + 1), outline=_DARK, width=line + 2
            )
        pen.rectangle(corners, outline=colour, width=line)
        radius = min(line, round((x1 - x0) / 40))
        points = face.points if has_points else face.points[:0]
        for x, y in np.rint(np.clip(points, -side, 2 * side)).astype(int).tolist():
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_POINT)
        for label in texts:
            left, top, right, bottom = pen.textbbox((0, 0), label, font=font, stroke_width=line)
            if right - left <= picture.width / 2 and bottom - top <= picture.height / 3:
                x = min(max(x0, 0), picture.width - right)
                y = y0 - bottom if y0 >= bottom else min(max(y1, 0), picture.height - bottom)
                pen.text((x, y), label, font=font, fill=colour, stroke_width=line, stroke_fill=_DARK)
                break
