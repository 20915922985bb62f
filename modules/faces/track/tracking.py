"""The faces of a clip as tracks: which detections are one face, what lies between them, and the best face of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .. import boxes as box_math
from ..alignment import crop_matrix, invert_affine
from ..settings import TrackSettings
from ..types import FIVE_POINTS, IBUG_68, Face, Faces
from .association import associate
from .smoothing import EXTRAPOLATED, INTERPOLATED, trajectory

_DOUBLE_IOU = 0.3  # an extrapolated face that overlaps another so far is a second copy of it
_DOUBLE_SHARE = 0.5  # ... or lies inside it by this share of its area
_HIDDEN_SHARE = 0.7  # an interpolated face lies behind another one by this share of its area

_BEST_SIDE = 512.0  # pixels of the crop's side; a larger face is not better
_UNKNOWN_SYMMETRY = 0.5  # of a box without points


def track_faces(
    faces: Faces,
    cuts: Sequence[int] = (),
    settings: TrackSettings = TrackSettings(),
) -> Faces:
    """The faces of a clip as tracks: numbered, without gaps, with smooth alignments.

    Left out of the result are interpolated faces that lie behind a detected face by 0.7 of their area, and extrapolated
    ones from the frame on where they would double another track's face.

    Args:
        faces: detections in the frames of a clip, in any order and layout.
        cuts: frames that begin a new shot, each in 1..image_count - 1 (see find_cuts); nothing is carried over them.
        settings: how faces are followed.

    Returns:
        Faces with `track` (0, 1, ... in order of first appearance, from left to right within a frame) and `alignment`,
        ordered by image, then by track. Sources "interpolated" and "extrapolated" mark what was added (see trajectory).
        `kept` stays as it is.

    Raises:
        ValueError: cuts outside the clip, faces of frames outside it, or empty boxes.
    """
    if any(not 0 < cut < faces.image_count for cut in cuts):
        raise ValueError(
            f"Cuts {sorted(cuts)} do not fit a clip of {faces.image_count} frames: find the cuts of the same frames."
        )
    if any(not 0 <= face.image_index < faces.image_count for face in faces):
        raise ValueError(f"A face names a frame outside the clip of {faces.image_count}: detect the faces again.")
    for face in faces:
        if not (np.isfinite(face.box).all() and face.box[0] < face.box[2] and face.box[1] < face.box[3]):
            raise ValueError(
                f"A face box needs finite x0 < x1 and y0 < y1, got {face.box.tolist()} in frame {face.image_index}: "
                "detect the faces again."
            )
    ordered = sorted(faces, key=lambda face: face.image_index)
    bounds = np.unique([0, *cuts, faces.image_count])
    paths = []
    for detections in associate(ordered, bounds, settings.max_gap):
        if len(detections) >= settings.min_length:
            shot = np.searchsorted(bounds, detections[0].image_index, side="right")
            first, last = int(bounds[shot - 1]), int(bounds[shot]) - 1
            paths.append(trajectory(detections, (first, last), (faces.height, faces.width), settings))
    paths = _without_doubles(paths)
    paths.sort(key=lambda path: (path[0].image_index, path[0].box[0] + path[0].box[2], path[0].box[1]))
    numbered = [replace(face, track=number) for number, path in enumerate(paths) for face in path]
    numbered.sort(key=lambda face: (face.image_index, face.track))
    return replace(faces, faces=tuple(numbered))


def _without_doubles(paths: list[list[Face]]) -> list[list[Face]]:
    """Paths less interpolated faces behind a detected one, and less the ends that run into another path's face."""
    detected: dict[int, list] = {}
    for number, path in enumerate(paths):
        for face in path:
            if face.source not in (INTERPOLATED, EXTRAPOLATED):
                detected.setdefault(face.image_index, []).append((number, face.box))
    taken = {frame: list(entries) for frame, entries in detected.items()}

    def worst(number: int, face: Face, among: dict[int, list]) -> tuple[float, float]:
        boxes = [box for other, box in among.get(face.image_index, ()) if other != number]
        if not boxes:
            return 0.0, 0.0
        box, others = face.box[None], np.array(boxes)
        return float(box_math.iou(box, others).max()), float(box_math.share_inside(box, others).max())

    for number, path in enumerate(paths):
        path[:] = [
            face for face in path if face.source != INTERPOLATED or worst(number, face, detected)[1] <= _HIDDEN_SHARE
        ]
        for face in path:
            if face.source == INTERPOLATED:
                taken.setdefault(face.image_index, []).append((number, face.box))
    result = []
    for number, path in enumerate(paths):
        inner = [face for face in path if face.source != EXTRAPOLATED]
        before = [face for face in path if face.image_index < inner[0].image_index]
        after = [face for face in path if face.image_index > inner[-1].image_index]
        kept = [[], []]
        for end, free in zip((before[::-1], after), kept, strict=True):
            for face in end:
                iou, share = worst(number, face, taken)
                if iou > _DOUBLE_IOU or share > _DOUBLE_SHARE:
                    break
                taken.setdefault(face.image_index, []).append((number, face.box))
                free.append(face)
        result.append([*kept[0][::-1], *inner, *kept[1]])
    return result


def best_frames(faces: Faces) -> dict[int, int]:
    """The face that shows each track best: large, sure, frontal, whole.

    The measure is the product of the crop's side (up to 512 pixels), the score, the symmetry of the eyes about the
    nose, and the squared share of the face inside the picture. Faces that were added between detections count only
    where a track has nothing else. The first of equals wins. Faces without a track are left out.

    Returns:
        Number of a track -> index into faces.faces.
    """
    best: dict[int, tuple[float, int]] = {}
    for index, face in enumerate(faces):
        if face.track is None:
            continue
        added = face.source in (INTERPOLATED, EXTRAPOLATED)
        quality = -1.0 if added else _quality(face, faces.height, faces.width)
        if face.track not in best or quality > best[face.track][0]:
            best[face.track] = (quality, index)
    return {track: index for track, (_, index) in sorted(best.items())}


def key_frames(faces: Faces, count: int) -> dict[int, list[int]]:
    """The best face (best_frames) of each of so many stretches, equally long, of every track.

    Args:
        faces: of a clip.
        count: 1 or more; of a track with fewer faces, all of them.

    Returns:
        Number of a track -> indices into faces.faces, in the order of images.
    """
    tracks: dict[int, list[int]] = {}
    for index in sorted(range(len(faces)), key=lambda index: faces.faces[index].image_index):
        track = faces.faces[index].track
        if track is not None:
            tracks.setdefault(track, []).append(index)
    stretches = [replace(face, track=None) for face in faces]
    for number, indices in enumerate(tracks.values()):
        for part, stretch in enumerate(np.array_split(indices, min(count, len(indices)))):
            for index in stretch:
                stretches[index] = replace(stretches[index], track=number * count + part)
    best = best_frames(replace(faces, faces=tuple(stretches)))
    return {
        track: [best[number * count + part] for part in range(min(count, len(indices)))]
        for number, (track, indices) in enumerate(tracks.items())
    }


def _quality(face: Face, height: int, width: int) -> float:
    matrix = face.alignment
    if matrix is None:
        matrix = crop_matrix(face.points, face.layout, face.box, 1)
    to_picture = invert_affine(matrix)
    grid = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 13), np.linspace(0.2, 0.8, 13)), -1).reshape(-1, 2)
    x, y = to_picture[:, :2] @ grid.T + to_picture[:, 2:]
    inside = np.mean((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1))
    side = np.hypot(*to_picture[:, 0])
    return min(side, _BEST_SIDE) * face.score * _symmetry(face) * inside**2


def _symmetry(face: Face) -> float:
    """1 where the nose stands midway between the eyes, as seen along the line of the eyes; 0 where it is beside one."""
    if face.layout == FIVE_POINTS:
        left, right, nose = face.points[:3]
    elif face.layout == IBUG_68:
        left, right, nose = face.points[36:42].mean(0), face.points[42:48].mean(0), face.points[30]
    else:
        return _UNKNOWN_SYMMETRY
    across = right - left
    if not across @ across > 0:
        return 0.0
    place = (nose - left) @ across / (across @ across)
    return float(np.clip(1 - abs(2 * place - 1), 0, 1))
