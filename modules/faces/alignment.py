"""From points on a face to the aligned square crop that the model was trained on (WHOLE_FACE).

Geometry: that of the paper's code (hanweikung/face_anon_simple, utils/extractor.py, itself after DeepFaceLab): a
similarity transform takes 33 of the 68 iBUG points to an average face in the unit square, and the crop is a larger
square around it. Here it is one closed form in float64; the constants, the average face and the sampling grid of the
crop are facts of that code. The reference works partly in float32, so that its squares differ from these by up to
1.3e-4 pixels of a 512 crop.

Coordinates of matrices: integers are pixel centres, x before y, as in the reference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from .fingerprint import GROWN, Fingerprint, agreement, touched_by_disc, touched_cells
from .fingerprint import SIDE as _FINGERPRINT_SIDE
from .marks import first_moved
from .originals import CELLS, remember
from .types import BOX_ONLY, FIVE_POINTS, IBUG_68, Face, Faces

WHOLE_FACE_PADDING = 0.40
_LIFT = 0.07  # of the unit square's side, towards the forehead
_IBUG_ROWS = np.r_[17:49, 54]  # brows, nose, eyes, the two mouth corners; jaw and lips move with expression

# The average face in the unit square: iBUG points 17..48 and 54.
AVERAGE_FACE = np.array(
    [
        # brows, image-left then image-right
        (0.000213256, 0.106454), (0.0752622, 0.038915), (0.18113, 0.0187482), (0.29077, 0.0344891),
        (0.393397, 0.0773906),
        (0.586856, 0.0773906), (0.689483, 0.0344891), (0.799124, 0.0187482), (0.904991, 0.038915), (0.98004, 0.106454),
        # bridge and base of the nose
        (0.490127, 0.203352), (0.490127, 0.307009), (0.490127, 0.409805), (0.490127, 0.515625),
        (0.36688, 0.587326), (0.426036, 0.609345), (0.490127, 0.628106), (0.554217, 0.609345), (0.613373, 0.587326),
        # eyes, image-left then image-right
        (0.121737, 0.216423), (0.187122, 0.178758), (0.265825, 0.179852),
        (0.334606, 0.231733), (0.260918, 0.245099), (0.182743, 0.244077),
        (0.645647, 0.231733), (0.714428, 0.179852), (0.793132, 0.178758),
        (0.858516, 0.216423), (0.79751, 0.244077), (0.719335, 0.245099),
        # mouth corners
        (0.254149, 0.780233), (0.726104, 0.780233),
    ]
)  # fmt: skip
# The same face as eye centres, tip of the nose (point 30) and mouth corners: eye centres are means of six points each.
AVERAGE_FIVE = np.stack(
    [
        AVERAGE_FACE[19:25].mean(0),
        AVERAGE_FACE[25:31].mean(0),
        AVERAGE_FACE[13],
        AVERAGE_FACE[31],
        AVERAGE_FACE[32],
    ]
)

# cv2.warpAffine's sampling grid, which the reference crops are made with: 10 fractional bits along a row, 5 in the end.
_ROW_BITS = 10
_SAMPLE_BITS = 5
_STRIP_PIXELS = 1 << 18  # crop pixels that are sampled at once; bounds memory for large crops


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity transform (rotation, one scale, translation; never a reflection) that takes source to target best.

    By hand, as scipy's Rotation.align_vectors fits no scale.

    Args:
        source: (N, D) points.
        target: (N, D) points, in the same order.

    Returns:
        float64 (D + 1, D + 1), homogeneous; the least squares over rows.

    Raises:
        ValueError: shapes differ, or all source points, or all target points, coincide.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991,
    equations 34 to 43.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.ndim != 2 or source.shape != target.shape:
        raise ValueError(f"umeyama takes two (N, D) arrays of one shape, not {source.shape} and {target.shape}.")
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_variance = ((source - source_mean) ** 2).sum(1).mean()  # eq. 36
    covariance = (target - target_mean).T @ (source - source_mean) / len(source)  # eq. 38
    left, singular, right = np.linalg.svd(covariance)
    if not source_variance > 0 or not singular[0] > 0:
        raise ValueError("umeyama needs points that do not all coincide: check the landmarks of this face.")
    signs = np.ones(source.shape[1])
    if np.linalg.det(left) * np.linalg.det(right) < 0:  # eqs. 39 and 43 alike: turn the weakest axis, never mirror
        signs[-1] = -1
    linear = (left * signs) @ right * (singular @ signs / source_variance)  # eqs. 40 and 42
    result = np.eye(source.shape[1] + 1)
    result[:-1, :-1] = linear
    result[:-1, -1] = target_mean - linear @ source_mean  # eq. 41
    return result


# A box without points becomes an upright crop, whose side and drop are in roots of the box's area; measured on
# CenterFace's boxes (docs/measured.md, "Constants of the face code").
_BOX_SIDE = 1.56
_BOX_DROP = 0.03


def crop_matrix(
    points: np.ndarray, layout: str, box: np.ndarray, size: int, padding: float = WHOLE_FACE_PADDING
) -> np.ndarray:
    """The matrix that takes picture pixels to the pixels of the aligned square crop of a face.

    Args:
        points: (68, 2), (5, 2) or (0, 2) by layout.
        layout: IBUG_68, FIVE_POINTS (the image-left eye first) or BOX_ONLY.
        box: (4,) x0 y0 x1 y1, used for BOX_ONLY and for points that span no transform (all equal).
        size: side of the crop in pixels.
        padding: room around the average face, in its sides; 0.40 is the paper's WHOLE_FACE.

    Returns:
        float64 (2, 3).

    Raises:
        ValueError: another layout, points of a wrong shape or not finite, an empty box.
    """
    points, box = np.asarray(points, np.float64), np.asarray(box, np.float64)
    if layout not in (IBUG_68, FIVE_POINTS, BOX_ONLY):
        raise ValueError(f"Unknown layout {layout!r} of face points: use {IBUG_68!r}, {FIVE_POINTS!r} or {BOX_ONLY!r}.")
    side = 1 + 2 * np.sqrt(2) * padding  # of the crop, in unit squares
    if layout != BOX_ONLY:
        expected = (68, 2) if layout == IBUG_68 else (5, 2)
        if points.shape != expected or not np.isfinite(points).all():
            raise ValueError(
                f"Layout {layout!r} needs {expected} finite points, got {points.shape}: detect the face again."
            )
        if layout == IBUG_68:
            points, average = points[_IBUG_ROWS], AVERAGE_FACE
        else:
            average = AVERAGE_FIVE
        if np.ptp(points, axis=0).max() > 0:
            to_unit = umeyama(points, average)[:2]
            to_unit[:, 2] += side / 2 - np.array([0.5, 0.5 - _LIFT])
            return to_unit * (size / side)
    return _box_matrix(box, size, side)


def _box_matrix(box: np.ndarray, size: int, side: float) -> np.ndarray:
    if box.shape != (4,) or not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError(f"A face box needs finite x0 < x1 and y0 < y1, got {box.tolist()}: detect the face again.")
    extent = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    whole_face = 1 + 2 * np.sqrt(2) * WHOLE_FACE_PADDING
    half = extent * _BOX_SIDE * (side / whole_face) / 2
    # a box counts pixel edges, a matrix pixel centres: half a pixel less
    corner = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + extent * _BOX_DROP]) - half - 0.5
    scale = size / (2 * half)
    return np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])


def crop_faces(images: torch.Tensor, faces: Faces, size: int = 512) -> tuple[torch.Tensor, Faces]:
    """The aligned crop of every face, as the paper's code cuts it: bilinear, white where the picture ends.

    Args:
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4 (alpha is dropped, one channel becomes three).
        faces: of these images.
        size: side of a crop in pixels.

    Returns:
        Crops float32 [N, size, size, 3] on the images' device, in the order of the faces ([0, size, size, 3] when there
        is none), and the faces with `matrix`, `crop_size` and `original`, which stays that of the first picture.

    Raises:
        ValueError: the faces are not of these images.

    Source: extract_faces of the paper's code, which calls cv2.warpAffine with its default, INTER_LINEAR.
    """
    check_faces(images, faces)
    if size < 1:
        raise ValueError(f"A crop has a side of 1 pixel at least, not {size}.")
    cropped = []
    crops = torch.empty((len(faces), size, size, 3), dtype=torch.float32, device=images.device)
    for crop, face in zip(crops, faces, strict=True):
        matrix = _matrix_of(face, size)
        inverse, image = invert_affine(matrix), images[face.image_index]
        _sample_white_border(image, inverse, crop)
        original = remember(image, inverse, size) if face.original is None else face.original
        cropped.append(replace(face.with_crop(matrix, size), original=original))
    return crops, replace(faces, faces=tuple(cropped))


def remember_faces(images: torch.Tensor, faces: Faces) -> Faces:
    """The faces, each with what the picture shows in the square of its crop, as crop_faces leaves them; no crop is cut.

    Args:
        images: float [B, H, W, C], 0..1.
        faces: of these images. What one remembers already, it keeps, and the place of a crop that was cut.
    """

    def remembering(face: Face) -> Face:
        if face.original is not None and face.matrix is not None:
            return face
        matrix, size = (_matrix_of(face, CELLS), CELLS) if face.matrix is None else face.crop_place()
        seen = remember(images[face.image_index], invert_affine(matrix), size)
        return replace(face, matrix=matrix, crop_size=size, original=seen if face.original is None else face.original)

    return replace(faces, faces=tuple(map(remembering, faces)))


def cut_square(image: torch.Tensor, to_picture: np.ndarray, size: int) -> torch.Tensor:
    """One crop, as crop_faces cuts it.

    Args:
        image: float [H, W, C], 0..1, C = 1, 3 or 4.
        to_picture: float64 (2, 3), crop pixels -> picture pixels.
        size: side of the crop in pixels.

    Returns:
        float32 [size, size, 3] on the image's device.
    """
    crop = torch.empty((size, size, 3), dtype=torch.float32, device=image.device)
    _sample_white_border(image, to_picture, crop)
    return crop


def check_faces(images: torch.Tensor, faces: Faces, first: int = 0) -> None:
    """Raise ValueError unless the faces were found on pictures of this number and size, and on these.

    Args:
        images: float [B, H, W, 1, 3 or 4], 0..1.
        first: number of the first of them in its film, for the message.
        faces: that should be of these images. With a fingerprint, a picture must agree with it outside of the faces: a
            graded copy does, and one in which the faces were changed.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4):
        raise ValueError(f"Images are [B, H, W, C] with 1, 3 or 4 channels, got {list(images.shape)}.")
    expected = (faces.image_count, faces.height, faces.width)
    if tuple(images.shape[:3]) != expected:
        raise ValueError(
            f"The faces belong to {expected[0]} images of {expected[2]}x{expected[1]} pixels, but the images are "
            f"{images.shape[0]} of {images.shape[2]}x{images.shape[1]}: connect the images the faces were detected in."
        )
    if any(not 0 <= face.image_index < faces.image_count for face in faces):
        raise ValueError(f"A face names an image outside the batch of {faces.image_count}: detect the faces again.")
    if faces.fingerprint is not None:
        _check_fingerprint(images, faces, faces.fingerprint, first)


def _check_fingerprint(images: torch.Tensor, faces: Faces, taken: Fingerprint, first: int) -> None:
    for number, cells in zip(taken.numbers, taken.cells, strict=True):
        value, least = agreement(images[number], cells, lambda number=number: _changed_cells(faces, number))
        if value < least:
            raise ValueError(
                f"Picture {first + number + 1} is not the one in which these faces were found: outside of the faces "
                f"the two agree by {value:.2f}, {least:.2f} is the least. Connect the picture that went into Detect "
                "Faces (a graded copy will do), or detect the faces in this one."
            )
        if (beside := first_moved(images[number], faces, number)) is not None:
            place, moved = beside
            raise ValueError(
                f"Picture {first + number + 1} is not the one in which these faces were found: face {place + 1} "
                f"stands {moved} (the two agree by {moved.there:.2f} there, by {moved.here:.2f} at it). Connect the "
                "picture that went into Detect Faces, or detect the faces in this one."
            )


def _changed_cells(faces: Faces, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which cells of a fingerprint the faces of a picture touch: with all that a paste or a redaction usually changes,
    their boxes alone, and discs over these.
    """
    side = _FINGERPRINT_SIDE
    index = (np.arange(side) + 0.5) / side
    x, y = index * faces.width, index[:, None] * faces.height
    reach = np.array([faces.width, faces.height]) / (2 * side)
    changed, boxes, discs = np.zeros((3, side, side), bool)

    for face in (*faces, *faces.kept):
        if face.image_index == number:
            boxes |= touched_cells(face.box, 0.0, faces.height, faces.width)
            discs |= touched_by_disc(face.box, faces.height, faces.width)
            matrix = _unit_crop(face)
            u, v = (row[0] * (x - 0.5) + row[1] * (y - 0.5) + row[2] for row in matrix)
            margin = np.abs(matrix[:, :2]) @ reach
            in_crop = (u >= -margin[0]) & (u <= 1 + margin[0]) & (v >= -margin[1]) & (v <= 1 + margin[1])
            changed |= touched_cells(face.box, GROWN * face.size, faces.height, faces.width) | in_crop
    return changed, boxes, discs


def _matrix_of(face: Face, size: int) -> np.ndarray:
    """Picture pixels -> pixels of a crop of this side, by the smoothed alignment of a track where there is one."""
    return crop_matrix(face.points, face.layout, face.box, size) if face.alignment is None else face.alignment * size


def _unit_crop(face: Face) -> np.ndarray:
    if face.alignment is None and face.matrix is not None and face.crop_size:
        return np.asarray(face.matrix) / face.crop_size
    return _matrix_of(face, 1)


def invert_affine(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a (2, 3) affine matrix, float64 (2, 3).

    Raises:
        ValueError: there is none.
    """
    matrix = np.asarray(matrix, np.float64)
    determinant = np.linalg.det(matrix[:, :2])
    if not np.isfinite(matrix).all() or determinant == 0:
        raise ValueError(
            f"The crop matrix of a face has no inverse ({matrix.tolist()}): detect and crop the faces again."
        )
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _sample_white_border(image: torch.Tensor, to_image: np.ndarray, out: torch.Tensor) -> None:
    """Fill a crop on the reference's grid of 1/32 pixel; every tap beyond the picture is white.

    Args:
        image: [H, W, C].
        to_image: (2, 3), crop pixels -> picture pixels.
        out: float32 [S, S, 3].
    """
    height, width, channels = image.shape
    size = out.shape[0]
    one, half = 1 << _ROW_BITS, 1 << (_ROW_BITS - _SAMPLE_BITS - 1)
    index = np.arange(size)
    along_row = np.rint(to_image[:, 0, None] * index * one).astype(np.int64)  # (2, S): x and y steps of a column
    down = np.rint((to_image[:, 1, None] * index + to_image[:, 2, None]) * one).astype(np.int64) + half
    limit = np.array([width, height])[:, None, None]
    flat = image.reshape(-1, channels)
    for start in range(0, size, max(1, _STRIP_PIXELS // size)):
        rows = slice(start, start + max(1, _STRIP_PIXELS // size))
        position = (down[:, rows, None] + along_row[:, None, :]) >> (_ROW_BITS - _SAMPLE_BITS)
        fraction = (position & ((1 << _SAMPLE_BITS) - 1)).astype(np.float32) / (1 << _SAMPLE_BITS)
        fx, fy = torch.from_numpy(fraction).to(image.device)[..., None]
        # one pixel beyond the border is as white as a thousand
        cell = np.clip(position >> _SAMPLE_BITS, -2, limit)
        strip = torch.zeros((*cell.shape[1:], 3), dtype=torch.float32, device=image.device)
        for dx, dy, weight in (
            (0, 0, (1 - fx) * (1 - fy)),
            (1, 0, fx * (1 - fy)),
            (0, 1, (1 - fx) * fy),
            (1, 1, fx * fy),
        ):
            x, y = cell[0] + dx, cell[1] + dy
            inside = torch.from_numpy((x >= 0) & (x < width) & (y >= 0) & (y < height)).to(image.device)
            where = np.clip(y, 0, height - 1) * width + np.clip(x, 0, width - 1)
            tap = flat[torch.from_numpy(where).to(image.device)][..., :3].to(torch.float32)
            strip += torch.where(inside[..., None], tap, 1.0) * weight
        out[rows] = strip
