"""Which of the faces that were found are to be changed; everybody else is kept and named in the report."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from .numbers import parse_numbers
from .settings import INSIDE, SelectSettings
from .types import Face, Faces

_INSIDE = 0.5  # share of a box that the mask covers, and of a track's frames, from which a face counts as inside


@dataclass(frozen=True)
class _Person:
    """What is chosen as one: a face, or all faces of a track.

    Args:
        faces: of the person.
        places: of its faces in the batch, from 0.
        number: as the preview shows it, from 1.
        group: largest and position compare persons of one group: of a picture, or all tracks of the clip.
    """

    faces: tuple[Face, ...]
    places: frozenset[int]
    number: int
    group: Hashable

    @property
    def size(self) -> float:
        return float(np.median([face.size for face in self.faces]))

    @property
    def score(self) -> float:
        return max(face.score for face in self.faces)

    @property
    def centre(self) -> np.ndarray:
        return np.mean([(face.box[:2] + face.box[2:]) / 2 for face in self.faces], axis=0)


def select_faces(
    faces: Faces, settings: SelectSettings = SelectSettings(), mask: torch.Tensor | None = None
) -> tuple[Faces, Faces]:
    """The faces that meet every condition, and the rest.

    Of the faces that meet all other conditions, `largest` chooses in each picture, and of those `position`; where two
    are equal the first counts. `invert` exchanges the results in the end. Indices that nobody has select nobody: they
    count faces of the whole batch from 1, or are a track's number + 1, as the preview shows them. A track is selected
    as a whole, as else its person would flicker: by its median size, its best score, its mean centre, and inside a mask
    where it is in half of its frames or more. `largest` and `position` choose among all tracks of the clip.

    Args:
        faces: to choose from.
        settings: the conditions.
        mask: float [B or 1, H, W], 0..1; a face is inside when its mean over the part of the box in the picture is 0.5
            or more.

    Returns:
        (selected, rest): each face is in one of them, in its order, with all its data. `kept` of each names the faces
        of the other after those that were kept before.

    Raises:
        ValueError: indices of another form, or a mask of another size.
    """
    _check_mask(mask, faces)
    ranges = parse_numbers(settings.indices)
    persons = _persons(faces)
    conditions: list[Callable[[_Person], bool]] = []
    if ranges:
        conditions.append(lambda person: any(person.number in numbers for numbers in ranges))
    if settings.min_size:
        conditions.append(lambda person: person.size >= settings.min_size)
    if settings.max_size:
        conditions.append(lambda person: person.size <= settings.max_size)
    if settings.min_score:
        conditions.append(lambda person: person.score >= settings.min_score)
    if mask is not None:
        conditions.append(lambda person: _is_inside(person, mask) == (settings.mask_mode == INSIDE))
    chosen = [person for person in persons if all(condition(person) for condition in conditions)]
    if settings.largest:
        chosen = _first_of_each_group(chosen, lambda person: -person.size, settings.largest)
    if settings.position != "any":
        chosen = _first_of_each_group(chosen, lambda person: _distance(person.centre, settings.position, faces), 1)
    places = frozenset().union(*(person.places for person in chosen))
    inside = tuple(face for place, face in enumerate(faces) if place in places)
    outside = tuple(face for place, face in enumerate(faces) if place not in places)
    if settings.invert:
        inside, outside = outside, inside
    return (
        replace(faces, faces=inside, kept=faces.kept + outside),
        replace(faces, faces=outside, kept=faces.kept + inside),
    )


def _check_mask(mask: torch.Tensor | None, faces: Faces) -> None:
    if mask is None:
        return
    if mask.ndim != 3:
        raise ValueError(f"A mask is [B, H, W], got {list(mask.shape)}.")
    if mask.shape[1:] != (faces.height, faces.width):
        raise ValueError(
            f"The mask is {mask.shape[2]}x{mask.shape[1]} pixels, but the pictures of the faces are "
            f"{faces.width}x{faces.height}: make the mask on the picture in which the faces were detected."
        )
    if len(mask) not in (1, faces.image_count):
        raise ValueError(
            f"There are {len(mask)} masks for {faces.image_count} pictures: connect one mask, or one for each picture."
        )


def _persons(faces: Faces) -> list[_Person]:
    members: dict[Hashable, list[int]] = {}
    for place, face in enumerate(faces):
        key = ("face", place) if face.track is None else ("track", face.track)
        members.setdefault(key, []).append(place)
    numbers = [offset + 1 for offset in faces.seed_offsets()]
    persons = []
    for places in members.values():
        own = tuple(faces.faces[place] for place in places)
        group = own[0].image_index if own[0].track is None else "clip"
        persons.append(_Person(own, frozenset(places), numbers[places[0]], group))
    return persons


def _is_inside(person: _Person, mask: torch.Tensor) -> bool:
    means = [_mean_over_box(mask[face.image_index if len(mask) > 1 else 0], face.box) for face in person.faces]
    return bool(np.mean(np.array(means) >= _INSIDE) >= _INSIDE)


def _mean_over_box(mask: torch.Tensor, box: np.ndarray) -> float:
    """The mean of a mask [H, W] over the pixels that a box touches; 0 for a box beside the picture."""
    limit = np.array([mask.shape[1], mask.shape[0]])
    (x0, y0), (x1, y1) = np.clip([np.floor(box[:2]), np.ceil(box[2:])], 0, limit).astype(int).tolist()
    part = mask[y0:y1, x0:x1]
    return float(torch.nan_to_num(part.float()).mean()) if part.numel() else 0.0


def _distance(centre: np.ndarray, position: str, faces: Faces) -> float:
    x, y = centre
    return {
        "left": x,
        "right": -x,
        "top": y,
        "bottom": -y,
        "centre": float(np.hypot(x - faces.width / 2, y - faces.height / 2)),
    }[position]


def _first_of_each_group(persons: Iterable[_Person], key: Callable[[_Person], float], count: int) -> list[_Person]:
    groups: dict[Hashable, list[_Person]] = {}
    for person in persons:
        groups.setdefault(person.group, []).append(person)
    return [person for group in groups.values() for person in sorted(group, key=key)[:count]]
