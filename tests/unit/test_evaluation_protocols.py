"""The protocols and verdicts on anonymizers whose worth is known: perfect, idle, collapsed and broken ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from face_anonymizer.modules.evaluation import conditions as c
from face_anonymizer.modules.evaluation import synthetic_results
from face_anonymizer.modules.evaluation.claims import markdown
from face_anonymizer.modules.evaluation.identification import pair_cosines
from face_anonymizer.modules.evaluation.statistics import calibrate
from face_anonymizer.modules.evaluation.synthetic_backend import SyntheticBackend
from face_anonymizer.modules.evaluation.synthetic_set import SyntheticSet, swap_sources
from face_anonymizer.modules.synthetic.parameters import Parameters, sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.regressor import OUTPUTS
from face_anonymizer.modules.synthetic.tables import IDENTITY

COUNT, SIZE = 40, 16
DEGREES = (0.3, 0.6, 0.9, 1.2, 1.25, 1.4, 1.5)


class Stub(torch.nn.Module):
    """As reliable as a regressor is; it reads nothing, as these tests give it the truth."""

    reliability = torch.linspace(0.2, 0.9, OUTPUTS)


class World:
    """Measured faces without pictures: the truth, and noise as of a regressor."""

    def __init__(self, noise: float = 0.05):
        self.backend = SyntheticBackend(Stub())
        self.identity, self.attributes = sample_identities(COUNT, 2), sample_attributes(COUNT, 2)
        self.noise, self.generator = noise, torch.Generator().manual_seed(3)

    def measured(self, identity: Parameters, attributes: Parameters):
        noisy = [
            Parameters(p.table, p.values + self.noise * torch.randn(p.values.shape, generator=self.generator))
            for p in (identity, attributes)
        ]
        return self.backend.truth(*noisy)

    def towards(self, share: float, seed: int = 0) -> Parameters:
        """People who are `share` someone else."""
        strangers = sample_identities(range(1000 + 100 * seed, 1000 + 100 * seed + COUNT), 2)
        return Parameters(IDENTITY, torch.lerp(self.identity.values, strangers.values, share))

    def results(self, anonymize, reduce=None, seeds=None, background: int = 0):
        """anonymize(degree) -> faces. reduce: for the reductions; seeds: for the seeds. background: levels off."""
        before = swap_sources(COUNT)
        others = sample_attributes(range(500, 500 + COUNT), 2)
        faces = {
            c.ORIGINAL: self.measured(self.identity, self.attributes),
            c.OTHER: self.measured(self.identity, others),
            c.JPEG: self.measured(self.identity, self.attributes),
            c.RECONSTRUCTION: self.measured(self.identity, self.attributes),
            c.SWAP_TRUTH: self.measured(self.identity[before], self.attributes),
            c.SWAP: self.measured(self.identity[before], self.attributes),
            c.LINKED: self.measured(self.towards(1.0, 7), others),
        }
        faces |= {c.anonymized(degree): anonymize(degree) for degree in DEGREES}
        faces |= {c.reduced(r): (reduce or anonymize)(0.3) for r in c.REDUCTIONS}
        faces |= {c.seeded(k): (seeds or self.stranger)(k)[:8] for k in range(4)}
        originals = np.full((COUNT, SIZE, SIZE, 3), 100, np.uint8)
        pictures = {name: originals.copy() for name in faces}
        for name in pictures:
            if name not in (c.ORIGINAL, c.JPEG):
                pictures[name] += 3 if name == c.RECONSTRUCTION else 3 + background
        mask = torch.ones(COUNT, SIZE, SIZE)
        return synthetic_results.SyntheticResults(
            SyntheticSet(self.identity, self.attributes, *[originals] * 3, mask, 0 * mask),
            pictures,
            faces,
            {name: np.full(len(faces[name]), 0.9, np.float32) for name in faces},
            truth=self.backend.truth(self.identity, self.attributes),
            swap_truth=self.backend.truth(self.identity[before], self.attributes),
            threshold=calibrate(*pair_cosines(faces[c.ORIGINAL], faces[c.OTHER]), 0.01, "test"),
            degrees=DEGREES,
            main=1.25,
        )

    def stranger(self, seed: int):
        return self.measured(self.towards(1.0, seed), self.attributes)


@pytest.fixture
def world() -> World:
    return World()


def outcome(results) -> dict[str, bool | None]:
    results.compute()
    return {verdict.claim: verdict.holds for verdict in results.verdicts}


def of(claims: dict, word: str) -> list:
    found = [holds for claim, holds in claims.items() if word in claim]
    assert found, f"no claim has {word!r} in {list(claims)}"
    return found


def test_a_perfect_anonymizer_passes_everything(world):
    claims = outcome(world.results(lambda d: world.measured(world.towards(min(1.0, d / 1.2)), world.attributes)))
    assert all(claims.values()), [claim for claim, holds in claims.items() if not holds]
    assert len(claims) == 19


def test_one_that_does_nothing_fails_where_it_must(world):
    claims = outcome(world.results(lambda d: world.measured(world.identity, world.attributes)))
    assert of(claims, "a tenth as often") == [False]
    assert of(claims, "clearly more often") == [False] * 3
    assert all(of(claims, "kept better"))


def test_one_average_face_for_all_is_no_success(world):
    average = Parameters.average(IDENTITY, COUNT)
    claims = outcome(world.results(lambda d: world.measured(average, world.attributes)))
    assert of(claims, "by length") == [False]


def test_one_result_for_all_seeds_is_no_variety(world):
    claims = outcome(world.results(lambda d: world.stranger(0), seeds=lambda k: world.stranger(1)))
    assert of(claims, "seeds give different people") == [False]


def test_attributes_of_somebody_else_are_not_kept(world):
    wrong = sample_attributes(range(700, 700 + COUNT), 2)
    claims = outcome(world.results(lambda d: world.measured(world.towards(1.0), wrong)))
    assert not any(of(claims, "kept better"))


def test_broken_pictures_are_never_a_success(world):
    """The detector finds no face in them: not measurable, so that nothing about them holds."""
    good = world.stranger(0)
    broken = replace(good, found=torch.zeros(COUNT, dtype=torch.bool))
    results = world.results(lambda d: broken)
    claims = outcome(results)
    for word in ("rises", "a tenth as often", "kept better", "strangers", "clearly more often"):
        assert not any(of(claims, word)), word
    identity = next(table for table in results.tables if table.name == "identity")
    assert identity.rows["d = 1.25"]["not measurable"] == COUNT
    assert identity.rows["d = 1.25"]["face found"].value == 0
    assert "not measurable" in identity.markdown()


def test_a_few_faces_among_broken_pictures_are_no_success(world):
    """What survives may be good; that most did not is no detail."""
    good, few = world.stranger(0), torch.arange(COUNT) < COUNT // 3
    survivors = replace(good, found=few)
    results = world.results(lambda d: survivors)
    results.faces[c.SWAP] = replace(results.faces[c.SWAP], found=few)
    claims = outcome(results)
    for word in ("nearer to the source", "follows the driving image", "kept better", "strangers"):
        assert not any(of(claims, word)), word
    assert any("a face is found in 32% of the results" in verdict.measured for verdict in results.verdicts)


def test_a_tenth_of_nothing_says_nothing(world):
    """When nobody is re-identified at 0.3, it is no merit that nobody is at 1.25."""
    next_person = world.identity[[(i + 1) % COUNT for i in range(COUNT)]]
    claims = outcome(world.results(lambda d: world.measured(next_person, world.attributes)))
    assert of(claims, "a tenth as often") == [None]


def test_a_changed_background_is_found_out(world):
    claims = outcome(world.results(lambda d: world.stranger(0), background=2))
    assert of(claims, "within the VAE's own error") == [False] * 3


def test_swaps_that_keep_the_driving_face_are_found_out(world):
    results = world.results(lambda d: world.stranger(0))
    results.faces[c.SWAP] = world.measured(world.identity, world.attributes)
    claims = outcome(results)
    assert of(claims, "nearer to the source") == [False]
    assert all(of(claims, "follows the driving image"))


def test_degrees_that_were_not_painted_leave_claims_open(world):
    results = world.results(lambda d: world.stranger(0))
    results.by_degree = {1.25: results.by_degree[1.25]}
    claims = outcome(results)
    assert of(claims, "rises") == [None] and of(claims, "a tenth as often") == [None]
    assert "| open |" in markdown(results.verdicts)


def test_identity_is_read_as_the_brief_of_the_back_end_says(world):
    """57 values about the average of the drawing, each times the root of its reliability."""
    values = world.backend.truth(world.identity, world.attributes).identity
    column = world.identity.names.index("hair_grey")
    absent = IDENTITY[column].absent
    expected = (world.identity.values[:, column] + absent) * Stub.reliability[column].sqrt()
    assert values.shape == (COUNT, 57)
    assert values[:, column] == pytest.approx(expected.double(), abs=1e-6)


def test_plots_and_sheet_are_written(world, tmp_path):
    results = world.results(lambda d: world.stranger(int(d * 10)))
    results.compute()
    for name in results.save_plots(tmp_path):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
