"""Groups: few pictures, many triples, each of them true to what the method is trained with."""

import pytest
import torch

from face_anonymizer.modules.synthetic.groups import group_pictures, group_triples, picture_parameters
from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities

SIDE = 4


def test_every_person_stands_in_every_scene_once():
    pictures = group_pictures(3, SIDE)
    assert len(set(pictures)) == SIDE * SIDE
    assert {p.person for p in pictures} == {p.scene for p in pictures} == set(range(12, 16))


def test_groups_share_no_person_and_no_scene():
    first, second = ({p.person for p in group_pictures(group, SIDE)} for group in (0, 1))
    assert not first & second


def test_triples_share_what_they_must():
    triples = group_triples(2, SIDE, seed=5, per_picture=6)
    assert len(triples) == 6 * SIDE * SIDE and len(set(triples)) == len(triples)
    for source, driving, truth in triples:
        assert source.person == truth.person != driving.person
        assert driving.scene == truth.scene != source.scene


def test_all_triples_of_a_picture_can_be_asked_for():
    assert len(set(group_triples(0, SIDE, 0, (SIDE - 1) ** 2))) == (SIDE - 1) ** 2 * SIDE**2


def test_the_same_seed_gives_the_same_triples_and_another_gives_others():
    assert group_triples(1, SIDE, 7, 3) == group_triples(1, SIDE, 7, 3)
    assert group_triples(1, SIDE, 7, 3) != group_triples(1, SIDE, 8, 3)


def test_people_and_scenes_are_those_of_their_numbers():
    pictures = group_pictures(1, 2)
    identity, attributes = picture_parameters(pictures, seed=9)
    assert torch.equal(identity.values, sample_identities([2, 2, 3, 3], 9).values)
    assert torch.equal(attributes.values, sample_attributes([2, 3, 2, 3], 9).values)


@pytest.mark.parametrize(("group", "side", "per_picture"), [(-1, 4, 1), (0, 1, 1), (0, 4, 0), (0, 4, 10)])
def test_what_is_no_group_is_refused(group, side, per_picture):
    with pytest.raises(ValueError, match="side"):
        group_triples(group, side, 0, per_picture)
