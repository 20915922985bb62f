"""The calibration: its list is whole, its halves share nobody, and its figures are right where the truth is known."""

import re
from collections import Counter

import numpy as np
import pytest

from face_anonymizer.modules.faces.types import FIVE_POINTS, Face, Faces
from face_anonymizer.tools.calibration import reading, thresholds


def test_the_list_has_the_pairs_that_are_asked_for_in_either_half():
    listed = reading.read_list()
    known = {line.split(",")[0] for line in reading.LIST.with_name("sources.csv").read_text().splitlines()[1:]}
    assert {line.source for line in listed} == known
    assert all(re.fullmatch(r"[0-9a-f]{64}", line.sha256) and 0 < line.x < 1 and 0 < line.y < 1 for line in listed)
    assert len({(line.picture, line.x, line.y) for line in listed}) == len(listed)
    # one digest is one picture: the same photograph twice would be a pair of one person
    assert len({line.sha256 for line in listed}) == len({line.picture for line in listed})
    count = len(listed)
    nothing = {"number": np.arange(count), "reason": np.full(count, ""), "dlib": np.zeros((count, 2))}
    first, second = thresholds.halves(listed, nothing | {"faceres": np.zeros((count, 2))})
    assert not set(first.names) & set(second.names)
    assert len(first.names) + len(second.names) == len({line.person for line in listed})
    for half in (first, second):
        assert len(half.strangers.dlib) >= 10_000 and len(half.genuine.dlib) >= 150


def listed_people(people: int, pictures: int) -> list[reading.Listed]:
    return [
        reading.Listed("s", f"{person}_{i}.jpg", "0" * 64, 0.5, 0.5, f"person {person:03}")
        for person in range(people)
        for i in range(pictures)
    ]


def test_figures_of_known_descriptors():
    """People 1 apart and their pictures 0.2; one person in ten has one picture that is another's place."""
    listed = listed_people(40, 4)
    person = np.repeat(np.arange(40), 4)
    dlib = np.eye(40)[person] / np.sqrt(2)
    dlib[::40] = np.eye(40)[(person[::40] + 4) % 40] / np.sqrt(2)
    read = {"number": np.arange(160), "reason": np.full(160, ""), "dlib": dlib, "faceres": np.eye(40)[person]}
    first, second = thresholds.halves(listed, read)
    assert thresholds.chosen(first.strangers) == (0.65, 0.5)
    hits = sum((half.strangers.dlib < 0.5).sum() for half in (first, second))
    missed = sum((half.genuine.dlib >= 0.5).sum() for half in (first, second))
    # three genuine pairs of each such person are missed; its picture is near all four of another, in its half or not
    assert missed == 4 * 3 and hits == 4 * 4 == 4 * len(np.unique(person[::40]))
    assert (first.strangers.faceres > 0.5).sum() == 0 == (second.genuine.faceres < 0.5).sum()


def test_intervals_are_of_people_not_of_pairs():
    first, second = np.triu_indices(20, 1)
    nothing = np.zeros(len(first))
    pairs = thresholds.Pairs(first, second, nothing, nothing, nothing > 0)
    none = thresholds.interval(pairs, np.zeros(len(first), bool), 20)
    assert none == (0.0, pytest.approx(3 / 190))
    one_person = first == 0  # every hit is one person's, who is drawn in 64 % of the draws
    low, high = thresholds.interval(pairs, one_person, 20)
    assert low == 0 and high > 0.25 > one_person.mean()
    assert thresholds.share(pairs, first < 1, 20, published=True).startswith("under 15.79%")
    assert thresholds.share(pairs, first < 2, 20, published=True).startswith("19.47%")


def test_unmeasurable_faces_and_pairs_of_one_picture_do_not_count():
    listed = listed_people(8, 2)
    listed[1] = listed[1]._replace(path=listed[0].path)
    reasons = np.array(["too small"] + [""] * 15)
    read = {"number": np.arange(16), "reason": reasons, "dlib": np.zeros((16, 2)), "faceres": np.zeros((16, 2))}
    first, second = thresholds.halves(listed, read)
    assert Counter(half.faces for half in (first, second)) == Counter((7, 8))
    assert len(first.genuine.dlib) + len(second.genuine.dlib) == 7


def test_the_list_means_the_face_in_whose_box_its_place_is():
    boxes = ([10.0, 10, 30, 40], [60, 10, 90, 40])
    faces = Faces(1, 50, 100, tuple(Face(0, np.array(b), 1, np.zeros((5, 2)), FIVE_POINTS, "") for b in boxes))
    line = reading.Listed("s", "p", "0" * 64, 0.75, 0.5, "a")
    assert reading.place_of(faces, line) == 1 and reading.place_of(faces, line._replace(x=0.2)) == 0
    assert reading.place_of(faces, line._replace(x=0.5)) is None
