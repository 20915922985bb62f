"""Parameters of synthetic faces: ranges, names, drawing by seed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from face_anonymizer.modules.synthetic.parameters import Parameters, sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.tables import ATTRIBUTES, IDENTITY


@pytest.mark.parametrize("table", [IDENTITY, ATTRIBUTES], ids=["identity", "attributes"])
def test_tables_are_well_formed(table):
    names = [parameter.name for parameter in table]
    assert len(set(names)) == len(names)
    assert all(parameter.low < parameter.high and 0 <= parameter.absent < 1 for parameter in table)


def test_identity_has_many_degrees_of_freedom_and_shares_no_name_with_attributes():
    assert len(IDENTITY) >= 50
    assert not {p.name for p in IDENTITY} & {p.name for p in ATTRIBUTES}
    # shapes, not only colours
    assert sum(p.unit in ("head units", "degrees") for p in IDENTITY) >= 30


def test_the_documentation_lists_every_parameter_as_it_is():
    text = (Path(__file__).resolve().parents[2] / "docs" / "synthetic_faces.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in text.splitlines() if line.count("|") == 8]
    listed = [row for row in rows if row[0].startswith("`")]
    assert listed == [
        [f"`{p.name}`", f"{p.low:g}", f"{p.high:g}", p.unit, p.meaning, f"{p.absent:.0%}" if p.absent else ""]
        for p in IDENTITY + ATTRIBUTES
    ]


@pytest.mark.parametrize(("sample", "table"), [(sample_identities, IDENTITY), (sample_attributes, ATTRIBUTES)])
def test_samples_fill_their_ranges(sample, table):
    drawn = sample(2000, seed=3)
    assert drawn.table == table
    assert drawn.values.dtype == torch.float32
    assert drawn.values.shape == (2000, len(table))
    assert drawn.values.min() >= -1 and drawn.values.max() <= 1
    values = drawn.values.numpy()
    for column, parameter in zip(values.T, table, strict=True):
        share = (column == -1).mean()
        assert abs(share - parameter.absent) < 0.05, parameter.name
        present = column[column > -1]
        # a uniform distribution has a standard deviation of 1 / sqrt(3)
        assert abs(present.mean()) < 0.09, parameter.name
        assert abs(present.std() - 3**-0.5) < 0.04, parameter.name
    correlation = np.corrcoef(values.T) - np.eye(len(table))
    assert np.abs(correlation).max() < 0.12


def test_a_face_depends_on_its_number_and_the_seed_alone():
    many = sample_identities(50, seed=5)
    assert torch.equal(sample_identities([7, 49], seed=5).values, many.values[[7, 49]])
    assert not torch.equal(sample_identities([7], seed=6).values, many.values[[7]])
    assert len(torch.unique(many.values, dim=0)) == 50


def test_drawn_values_never_change():
    """A training set is named by its seed: these values must stay what they are in every version."""
    first = sample_identities(1, seed=0).values[0, :4]
    torch.testing.assert_close(first, torch.tensor((0.149087, -0.429073, 0.763614, 0.521353)), rtol=0, atol=1e-6)
    first = sample_attributes(1, seed=0).values[0, :4]
    torch.testing.assert_close(first, torch.tensor((-0.60145, -0.323312, 0.960108, -0.983876)), rtol=0, atol=1e-6)


def test_natural_values_are_those_of_the_table():
    ends = torch.stack([torch.full((len(IDENTITY),), value) for value in (-1.0, 0.0, 1.0)])
    natural = Parameters(IDENTITY, ends).natural()
    expected = torch.tensor([[p.low, (p.low + p.high) / 2, p.high] for p in IDENTITY]).T
    torch.testing.assert_close(natural, expected, rtol=0, atol=1e-6)
    drawn = sample_attributes(20, seed=1)
    back = Parameters.from_natural(ATTRIBUTES, drawn.natural())
    torch.testing.assert_close(back.values, drawn.values, rtol=0, atol=2e-6)


def test_replace_sets_a_name_and_leaves_the_rest():
    drawn = sample_attributes(3, seed=1)
    changed = drawn.replace(yaw=0.5, smile=torch.tensor([-1.0, 0.0, 1.0]))
    columns = {name: changed.values[:, i] for i, name in enumerate(changed.names)}
    assert columns["yaw"].tolist() == [0.5] * 3
    assert columns["smile"].tolist() == [-1, 0, 1]
    kept = [i for i, name in enumerate(drawn.names) if name not in ("yaw", "smile")]
    assert torch.equal(changed.values[:, kept], drawn.values[:, kept])


def test_rows_are_chosen_as_a_batch():
    drawn = sample_identities(4, seed=1)
    assert len(drawn[2]) == 1
    assert torch.equal(drawn[[3, 0]].values, drawn.values[[3, 0]])
    assert torch.equal(drawn[1:3].values, drawn.values[1:3])


def test_the_average_face_lacks_what_most_faces_lack():
    average = Parameters.average(ATTRIBUTES, 2)
    assert average.values.shape == (2, len(ATTRIBUTES))
    assert average.values[0, average.names.index("glasses")] == -1
    assert average.values[0, average.names.index("yaw")] == 0


def test_wrong_values_are_named():
    with pytest.raises(ValueError, match=r"\[B, 5\d\], got \[3, 4\]"):
        Parameters(IDENTITY, torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"got \[7\]"):
        Parameters.from_natural(IDENTITY, torch.zeros(7))
    with pytest.raises(ValueError, match="no parameter 'yaw'"):
        sample_identities(1, seed=0).replace(yaw=0)
    with pytest.raises(ValueError, match="seed -1"):
        sample_identities(1, seed=-1)
    with pytest.raises(ValueError, match="least -4"):
        sample_attributes([2, -4], seed=0)
    with pytest.raises(ValueError, match="0 or more, not -2"):
        sample_identities(-2, seed=0)
