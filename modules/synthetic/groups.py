"""Groups: each of a few people under each of a few scenes, so that few pictures make many triples.

A group of 6 people and 6 scenes has 36 pictures, and every picture is the truth of 25 triples: its person under another
scene is the source, another person under its scene the driving image. Triples of triples.py, which share nothing, take
three pictures each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .parameters import Parameters, sample_attributes, sample_identities

_STREAM = 3  # 0 to 2 are those of identities, attributes and triples


class GroupPicture(NamedTuple):
    """Person and scene of a picture, counted over all groups."""

    person: int
    scene: int


class GroupTriple(NamedTuple):
    """Source (A, scene 1), driving image (B, scene 2) and truth (A, scene 2)."""

    source: GroupPicture
    driving: GroupPicture
    truth: GroupPicture


def group_pictures(group: int, side: int) -> list[GroupPicture]:
    """The side * side pictures of a group, by person first.

    Args:
        group: its number, from 0; its people and scenes are group * side and following.
        side: how many people and scenes it has.

    Raises:
        ValueError: a negative group, or a side below 2, which has no triple.
    """
    if group < 0 or side < 2:
        raise ValueError(f"Groups are numbered from 0 and have a side of 2 or more; got group {group}, side {side}.")
    numbers = range(group * side, (group + 1) * side)
    return [GroupPicture(person, scene) for person in numbers for scene in numbers]


def picture_parameters(pictures: list[GroupPicture], seed: int) -> tuple[Parameters, Parameters]:
    """Identities and attributes of pictures, as sample_identities and sample_attributes give them by their numbers."""
    return (
        sample_identities([picture.person for picture in pictures], seed),
        sample_attributes([picture.scene for picture in pictures], seed),
    )


def group_triples(group: int, side: int, seed: int, per_picture: int) -> list[GroupTriple]:
    """For each picture of a group, different triples of which it is the truth.

    Args:
        group: its number, from 0.
        side: how many people and scenes it has, 2 or more.
        seed: 0 or more; the same arguments give the same triples always.
        per_picture: how many triples each picture is the truth of, 1 to (side - 1) ** 2.

    Returns:
        side ** 2 * per_picture triples, in the order of group_pictures.

    Raises:
        ValueError: the group has fewer triples a picture, or group_pictures refuses the group.
    """
    if not 1 <= per_picture <= (side - 1) ** 2:
        raise ValueError(
            f"A group of side {side} has {(side - 1) ** 2} triples a picture, and at least one is asked for; "
            f"{per_picture} were asked for. Ask for fewer or take a larger side."
        )
    triples = []
    for number, truth in enumerate(group_pictures(group, side)):
        counter = [0, 0, _STREAM, group * side * side + number]
        generator = np.random.Generator(np.random.Philox(key=seed, counter=counter))
        others = range(group * side, (group + 1) * side)
        scenes = [scene for scene in others if scene != truth.scene]
        people = [person for person in others if person != truth.person]
        for pair in generator.choice((side - 1) ** 2, per_picture, replace=False).tolist():
            scene, person = scenes[pair // (side - 1)], people[pair % (side - 1)]
            triples.append(GroupTriple(GroupPicture(truth.person, scene), GroupPicture(person, truth.scene), truth))
    return triples
