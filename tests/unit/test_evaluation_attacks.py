"""Attackers with more than a photo: they find people where a method leaves a trace, and nobody where it leaves none."""

import pytest
import torch

from face_anonymizer.modules.evaluation.attacks import attack_table, knowing, linking, refit
from face_anonymizer.modules.evaluation.measured import Measured, unit

PEOPLE, WIDTH = 60, 24


def drawn(seed: int, count: int = PEOPLE) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def faces(vectors: torch.Tensor) -> Measured:
    return Measured(torch.ones(len(vectors), dtype=torch.bool), vectors)


def everyone(count: int = PEOPLE) -> torch.Tensor:
    return torch.arange(count)


def test_who_knows_the_method_undoes_a_secret_turn_of_identity():
    originals = drawn(1)
    turn = torch.linalg.qr(drawn(2, WIDTH))[0]
    results = originals @ turn + 0.3 * drawn(3)
    plain, learned = (knowing(faces(results), faces(originals), everyone(), fit) for fit in (False, True))
    assert plain.found.mean() < 0.15 and learned.found.mean() > 0.9
    assert learned.among.unique().tolist() == [30] and learned.chance.unique() == pytest.approx([1 / 30])


def test_who_knows_the_method_finds_no_more_than_chance_where_nothing_is_left():
    found = torch.cat([knowing(faces(drawn(9 + i)), faces(drawn(90 + i)), everyone()).found for i in range(8)])
    assert found.mean() < 0.08  # 480 faces, chance 0.033: five standard errors


def test_vectors_that_say_enough_already_are_left_as_they_are():
    vectors = unit(drawn(4))
    learned = refit(vectors, vectors, everyone())
    assert not learned.change.any() and torch.equal(learned.results(vectors), learned.originals(vectors))


def test_a_person_who_was_learned_is_not_tested():
    """Two pictures a person: a fit by picture would know the person; here each is on one side alone."""
    people = everyone().repeat_interleave(2)
    attack = knowing(faces(drawn(5, 2 * PEOPLE)), faces(drawn(6, 2 * PEOPLE)), people)
    assert attack.among.unique().tolist() == [60] and attack.chance.unique() == pytest.approx([2 / 60])
    assert attack.found.mean() < 0.12


def test_linking_finds_what_two_results_share_and_never_the_picture_itself():
    people, pictures = everyone().repeat_interleave(2), torch.arange(2 * PEOPLE)
    shared = drawn(7).repeat_interleave(2, 0) + 0.2 * drawn(8, 2 * PEOPLE)
    assert linking(faces(shared), people, pictures).found.mean() > 0.95
    apart = linking(faces(drawn(10, 2 * PEOPLE)), people, pictures)
    assert apart.found.mean() < 0.1 and apart.among.unique().tolist() == [2 * PEOPLE - 1]
    # two faces of one picture are not another picture of a person
    assert linking(faces(shared), people, people) is None


def test_a_face_that_cannot_be_measured_is_neither_found_nor_missed():
    found = torch.ones(PEOPLE, dtype=torch.bool)
    found[:20] = False
    originals = drawn(1)
    attack = knowing(Measured(found, originals), faces(originals), everyone())
    assert attack.found[:20].isnan().all() and attack.found[20:].eq(1).all() and attack.among[30] == 20


def test_the_table_says_what_it_could_not_measure():
    few = attack_table(faces(drawn(1, 6)), faces(drawn(2, 6)), everyone(6), everyone(6), labelled=False)
    assert not few.rows and "Fewer than 8 people" in few.note and "--labels" in few.note
    people, pictures = everyone().repeat_interleave(2), torch.arange(2 * PEOPLE)
    table = attack_table(faces(drawn(1, 2 * PEOPLE)), faces(drawn(2, 2 * PEOPLE)), people, pictures, labelled=True)
    assert len(table.rows) == 4 and "--labels" not in table.note
    assert table.rows["links results: both pictures anonymized"]["faces searched"] == 2 * PEOPLE - 1
