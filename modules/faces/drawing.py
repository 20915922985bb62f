"""A preview of the faces that were found: boxes, points, scores."""

from __future__ import annotations

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
_Labelled = tuple[str, Face, tuple[int, int, int]]  # what is written, the face, its colour


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
    labelled: dict[int, list[_Labelled]] = {}
    for i, face in enumerate(faces, 1):
        colour = _FILLED if face.source in (INTERPOLATED, EXTRAPOLATED) else _FOUND
        name = str(i if face.track is None else face.track + 1)
        labelled.setdefault(face.image_index, []).append((name, face, colour))
    for face in faces.kept:
        labelled.setdefault(face.image_index, []).append(("kept", face, _KEPT))
    drawn = torch.empty((*images.shape[:3], 3), dtype=torch.float32, device=images.device)
    for index in range(len(images)):
        levels = (torch.nan_to_num(images[index, ..., :3]).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3))))
        _draw(picture, labelled.get(index, []))
        drawn[index] = torch.from_numpy(np.array(picture)).float() / 255
    return drawn


def _draw(picture: Image.Image, labelled: list[_Labelled]) -> None:
    pen = ImageDraw.Draw(picture)
    side = max(picture.size)
    line = max(1, round(side / 200))  # to be seen where a node shows the picture small
    font = ImageFont.load_default(max(10, side / 28))
    for name, face, colour in labelled:
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
        for x, y in np.rint(np.clip(face.points, -side, 2 * side)).astype(int).tolist():
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_POINT)
        for label in (f"{name}: {face.score:.2f}", name):
            left, top, right, bottom = pen.textbbox((0, 0), label, font=font, stroke_width=line)
            if right - left <= picture.width / 2 and bottom - top <= picture.height / 3:
                x = min(max(x0, 0), picture.width - right)
                y = y0 - bottom if y0 >= bottom else min(max(y1, 0), picture.height - bottom)
                pen.text((x, y), label, font=font, fill=colour, stroke_width=line, stroke_fill=_DARK)
                break
