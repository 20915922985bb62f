"""The order of the triples, and encoded pictures from files and from the cache."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from training_sets import TINY, make_set, unit_vae

from face_anonymizer.modules.model.diffusers_engine.encoders import Encoders
from face_anonymizer.modules.training import cache
from face_anonymizer.modules.training.batches import Order, cached_batches, in_parts, read_batches
from face_anonymizer.modules.training.triples import UnusablePicture, read_triples


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    return Encoders(unit_vae(tmp_path_factory.mktemp("vae")), TINY / "image_encoder")


def test_every_triple_comes_once_an_epoch():
    order = Order(10, batch=4, seed=0)
    seen = np.concatenate([order(step) for step in range(10)])
    for epoch in range(4):
        assert sorted(seen[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert (seen[:10] != seen[10:20]).any()


def test_order_depends_on_seed_and_step_alone():
    order = Order(1000, batch=4, seed=0)
    later = [order(step) for step in (900, 3)]
    assert (Order(1000, batch=4, seed=0)(900) == later[0]).all()
    assert (Order(1000, batch=4, seed=0)(3) == later[1]).all()
    assert (Order(1000, batch=4, seed=1)(3) != later[1]).any()


def test_processes_share_an_epoch():
    orders = [Order(12, batch=2, seed=0, rank=rank, processes=3) for rank in range(3)]
    assert sorted(np.concatenate([order(step) for step in range(2) for order in orders])) == list(range(12))


@pytest.mark.parametrize("workers", [0, 1])
def test_cached_and_read_batches_are_the_same(tmp_path, encoders, workers):
    triples = read_triples([make_set(tmp_path, 6)])
    encoded = cache.encode_pictures(triples, encoders, 32, tmp_path / "cache.safetensors")
    cached = cached_batches(triples, encoded, Order(6, 2, 0), 5, "cpu")
    read = read_batches(triples, encoders, Order(6, 2, 0), 5, 32, workers=workers)
    for _ in range(3):
        for ours, theirs in zip(next(cached), next(read), strict=True):
            assert ours.dtype == theirs.dtype == torch.float32
            # float16 in the cache; and a batch of another size rounds otherwise
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-3)
            assert theirs[0].is_contiguous()


def test_first_triples_in_parts(tmp_path, encoders):
    triples = read_triples([make_set(tmp_path, 5)])
    parts = in_parts(triples, encoders, 64, 2, 32)
    assert [len(part.truth_latents) for part in parts] == [2, 2, 1]
    assert parts[0].source_latents.shape == (2, 4, 4, 4)
    assert parts[0].driving_embeds.shape == (2, 1, 64)


def test_encoders_are_those_of_the_inference_side(tmp_path, encoders):
    """The mean of the posterior, times the VAE's own factor; CLIP's pooler output."""
    triples = read_triples([make_set(tmp_path, 1)])
    picture = torch.from_numpy(np.asarray(Image.open(triples.pictures[0].path)).copy())[None]
    posterior = encoders.vae.encode(picture.movedim(3, 1) / 127.5 - 1).latent_dist
    torch.testing.assert_close(encoders.latents(picture), posterior.mean * 3.6)
    hidden = encoders.clip(pixel_values=encoders.clip_input(picture)).last_hidden_state[:, 0]
    normed = encoders.clip.state_dict()
    name = next(key for key in normed if key.endswith("post_layernorm.weight"))
    expected = torch.nn.functional.layer_norm(hidden, (64,), normed[name], normed[name.replace("weight", "bias")])
    torch.testing.assert_close(encoders.embeds(encoders.clip_input(picture))[:, 0], expected)


class Refusing:
    """Encoders that have nothing to do."""

    def __init__(self, encoders, digest=None):
        self.digest = lambda: digest or encoders.digest()
        self.clip_input = encoders.clip_input

    def latents(self, pictures):
        raise AssertionError("encoded again")


def test_cache_is_used_until_something_changes(tmp_path, encoders):
    data, file = make_set(tmp_path, 3), tmp_path / "out" / "cache.safetensors"
    first = cache.encode_pictures(read_triples([data]), encoders, 32, file)
    again = cache.encode_pictures(read_triples([data]), Refusing(encoders), 32, file)
    assert torch.equal(first.latents, again.latents)
    assert torch.equal(first.embeds, again.embeds)
    with pytest.raises(AssertionError, match="encoded again"):
        cache.encode_pictures(read_triples([data]), Refusing(encoders, "others"), 32, file)
    Image.new("RGB", (32, 32)).save(tmp_path / "02_truth.png")
    with pytest.raises(AssertionError, match="encoded again"):
        cache.encode_pictures(read_triples([data]), Refusing(encoders), 32, file)


def test_damaged_cache_is_made_again(tmp_path, encoders):
    triples, file = read_triples([make_set(tmp_path, 1)]), tmp_path / "cache.safetensors"
    first = cache.encode_pictures(triples, encoders, 32, file)
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(cache.encode_pictures(triples, encoders, 32, file).latents, first.latents)


def test_cache_names_the_picture_of_another_size(tmp_path, encoders):
    data = make_set(tmp_path, 2)
    Image.new("RGB", (64, 64)).save(tmp_path / "01_source.png")
    with pytest.raises(UnusablePicture, match=r"01_source.png is 64x64 pixels, but all are 32x32.*line 2"):
        cache.encode_pictures(read_triples([data]), encoders, 32, tmp_path / "cache.safetensors")
    assert not (tmp_path / "cache.safetensors").exists()


def test_cache_that_cannot_be_written_costs_time_only(tmp_path, encoders, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "save_file", full)
    triples = read_triples([make_set(tmp_path, 1)])
    with caplog.at_level(logging.WARNING):
        assert len(cache.encode_pictures(triples, encoders, 32, tmp_path / "cache.safetensors").latents) == 3
    assert "No space left" in caplog.text
    assert not list(tmp_path.glob("cache*"))
