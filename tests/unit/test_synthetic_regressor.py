"""The regressor of the synthetic parameters: its shapes, its file, and what the shipped one can do on unseen faces."""

import pytest
import torch

from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.regressor import (
    OUTPUTS,
    WEIGHTS,
    SyntheticRegressor,
    load_regressor,
    save_regressor,
)
from face_anonymizer.modules.synthetic.renderer import render

UNSEEN = 20260  # no list of the training has this seed


def test_any_size_and_batch(tmp_path):
    regressor = SyntheticRegressor().eval()
    assert regressor(torch.rand(2, 128, 128, 3)).shape == (2, OUTPUTS)
    assert regressor(torch.rand(1, 96, 96, 3)).shape == (1, OUTPUTS)
    with pytest.raises(ValueError, match=r"\[N, S, S, 3\]"):
        regressor(torch.rand(2, 3, 128, 128))


def test_a_saved_one_comes_back_as_it_was_but_for_half_precision(tmp_path):
    regressor = SyntheticRegressor().eval()
    regressor.reliability.uniform_()
    save_regressor(regressor, tmp_path / "regressor.safetensors")
    loaded = load_regressor(tmp_path / "regressor.safetensors")
    images = torch.rand(2, 128, 128, 3)
    assert (loaded(images) - regressor(images)).abs().max() < 5e-3
    assert (loaded.reliability - regressor.reliability).abs().max() < 1e-3


@pytest.mark.parametrize("content", [b"", b"\x80\x04 a pickle"])
def test_what_is_no_regressor_is_refused(tmp_path, content):
    file = tmp_path / "other.safetensors"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.safetensors"):
        load_regressor(file)


@pytest.mark.long
def test_the_shipped_one_is_as_reliable_on_unseen_faces_as_it_says():
    regressor = load_regressor(WEIGHTS)
    identity, attributes = sample_identities(96, UNSEEN), sample_attributes(96, UNSEEN)
    truth = torch.cat([identity.values, attributes.values], 1)
    error = (regressor(render(identity, attributes).images) - truth).square().mean(0)
    explained = 1 - error / truth.var(0)
    print(f"mean R2 {explained.mean():.3f}; its own figure {regressor.reliability.mean():.3f}")
    assert regressor.reliability.mean() > 0.3
    assert abs(explained.mean() - regressor.reliability.mean()) < 0.06
