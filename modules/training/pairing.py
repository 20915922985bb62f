"""From photos of labelled people to training triples: who is swapped with whom, and which pictures make a triple.

A pair is a photo of a person A and the face of another person B that is swapped onto it. It makes two triples: with the
swap as the driving image and the photo as the truth, and with the photo as the driving image and the swap as the truth.
The source of either is another photo of whoever the truth shows. Pure: names only, no picture is opened here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

SYNTHESIZED_DRIVING = "synthesized driving, real truth"
SYNTHESIZED_TRUTH = "real driving, synthesized truth"

People = dict[str, list[str]]  # identity -> its photos, both sorted


class Pair(NamedTuple):
    """A swap that is planned, by the names of photos.

    Args:
        photo: onto which the face is swapped.
        face: whose face is swapped onto it.
        photo_source: another photo of the person in `photo`.
        face_source: another photo of the person in `face`.
        photo_identity, face_identity: these two people.
    """

    photo: str
    face: str
    photo_source: str
    face_source: str
    photo_identity: str
    face_identity: str

    @property
    def swap(self) -> str:
        """The name of the swapped picture."""
        return f"{self.photo}__{self.face}"

    def triples(self, crop: Callable[[str], str], swapped: str) -> list[dict[str, str]]:
        """Both triples of the pair as lines of a list, that with the synthesized driving image first.

        Args:
            crop: photo -> path of its crop.
            swapped: path of the swapped picture.
        """
        photo = crop(self.photo)
        return [
            {
                "source": crop(self.photo_source),
                "driving": swapped,
                "truth": photo,
                "kind": SYNTHESIZED_DRIVING,
                "source_identity": self.photo_identity,
                "driving_identity": self.face_identity,
            },
            {
                "source": crop(self.face_source),
                "driving": photo,
                "truth": swapped,
                "kind": SYNTHESIZED_TRUTH,
                "source_identity": self.face_identity,
                "driving_identity": self.photo_identity,
            },
        ]


def folder_labels(photos: Iterable[str]) -> dict[str, str]:
    """Photo -> the first folder of its relative path; photos in no folder have no label."""
    return {photo: photo.split("/")[0] for photo in photos if "/" in photo}


def photo_names(photos: Iterable[str]) -> dict[str, str]:
    """Name -> photo. A name is the path without its suffix, with "-" for "/": ann/1.jpg is ann-1.

    Raises ValueError for two photos of one name, upper and lower case alike.
    """
    names: dict[str, str] = {}
    known: dict[str, str] = {}
    for photo in sorted(photos):
        name = str(PurePosixPath(photo).with_suffix("")).replace("/", "-")
        other = known.setdefault(name.casefold(), photo)
        if other != photo:
            raise ValueError(f"The crops of {other} and {photo} would have one name, {name}. Rename one of the photos.")
        names[name] = photo
    return names


def group(identities: Mapping[str, str]) -> People:
    """People of photo -> identity."""
    people: People = {}
    for photo, identity in sorted(identities.items(), key=lambda item: (item[1], item[0])):
        people.setdefault(identity, []).append(photo)
    return people


def select_people(people: People, min_photos: int, identities: int) -> tuple[People, dict[str, str]]:
    """Select the people with enough photos.

    Args:
        people: identity -> its photos.
        min_photos: of a person, 2 or more.
        identities: people that there must be at least, 2 or more.

    Returns:
        These people; and of all others each photo -> why it is left out.

    Raises:
        ValueError: fewer people than `identities` are left (the message names the number), or `min_photos` or
            `identities` is below 2.
    """
    if min_photos < 2 or identities < 2:
        raise ValueError(
            f"A person needs 2 photos at least, for source and truth, and a swap 2 people; got --min-photos "
            f"{min_photos}, --identities {identities}."
        )
    kept = {identity: photos for identity, photos in people.items() if len(photos) >= min_photos}
    if len(kept) < identities:
        few = [f"{identity} ({len(photos)})" for identity, photos in people.items() if identity not in kept]
        shown = ", ".join(few[:5]) + (", ..." if len(few) > 5 else "")
        raise ValueError(
            f"There are {len(kept)} people with {min_photos} usable photos or more, and {identities} are needed."
            + (f" {len(few)} more have too few: {shown}." if few else "")
            + (" Add photos or people" if people else " Sort the photos into a folder a person, or give --labels")
            + (f", or lower --identities to {len(kept)}." if len(kept) >= 2 else ".")
        )
    left_out = {
        photo: f"{identity} has {len(photos)} usable photos, and {min_photos} are needed"
        for identity, photos in people.items()
        if identity not in kept
        for photo in photos
    }
    return kept, left_out


def plan_pairs(people: Mapping[str, Sequence[str]], per_photo: int, seed: int) -> list[Pair]:
    """Plan the pairs of every photo, each with another person; the same ones always.

    A photo's pairs depend on the seed, its own name and the people alone.

    Args:
        people: identity -> its photos, two or more.
        per_photo: pairs of each photo, 1 to the number of other people.
        seed: of the choice.

    Raises:
        ValueError: there are too few people, or two swaps would have one name.
    """
    if not 1 <= per_photo < len(people):
        raise ValueError(
            f"Each of the --per-photo {per_photo} swaps of a photo takes another person, of which there are "
            f"{len(people) - 1}: take 1 to {len(people) - 1}, or add people."
        )
    pairs: dict[str, Pair] = {}
    for identity, photos in people.items():
        others = [other for other in people if other != identity]
        for photo in photos:
            generator = random.Random(f"{seed} {photo}")
            for other in generator.sample(others, per_photo):
                face, face_source = generator.sample(people[other], 2)
                photo_source = generator.choice([own for own in photos if own != photo])
                pair = Pair(photo, face, photo_source, face_source, identity, other)
                same = pairs.setdefault(pair.swap, pair)
                if same != pair:
                    raise ValueError(
                        f"The swaps of {same.photo} with {same.face} and of {photo} with {face} would have one name, "
                        f"{pair.swap}. Rename one of these photos: two low lines part the names of a swap."
                    )
    return list(pairs.values())
