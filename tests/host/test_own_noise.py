"""Every sampler of the host: a face's noise on the way is its own, whoever else is in the batch."""

import comfy.samplers
import golden
import pipeline
import pytest
import torch
from plain_run import rest_is_long

from face_anonymizer.modules.model import ddpm, sampling
from face_anonymizer.modules.model.own_noise import noise_sampler, with_own_noise
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.settings import SamplerSettings

FIRST = ["dpmpp_2m_sde", "dpmpp_sde", "euler_ancestral", "lcm", "ddpm", "er_sde"]  # of all: the kinds of noise
EVERY = [*FIRST, *(name for name in comfy.samplers.KSampler.SAMPLERS if name not in FIRST)]


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        return pipeline.load_least()


@pytest.fixture(scope="module")
def references(model):
    crops = pipeline.face_images(2, pipeline.LEAST_SIZE)
    with torch.inference_mode():
        made = [pipeline.references(model, some, some) for some in (crops, crops[:1], crops[1:])]
    return [References(**{name: one[name] for name in one if name != "model"}) for one in made]


def sampled(model, references, seeds, name, steps=3):
    with torch.inference_mode():
        return sampling.sample(model.unet, references, seeds, SamplerSettings(name, "karras", steps), lambda *_: None)


@pytest.mark.parametrize("name", rest_is_long(EVERY, *FIRST))
def test_a_face_depends_on_nobody_beside_it(model, references, name):
    both, first, second = references
    together = sampled(model, both, [7, 8], name)
    alone = sampled(model, first, [7], name), sampled(model, second, [8], name)
    assert together.isfinite().all()
    assert golden.relative(together, torch.cat(alone)) < 2e-5  # measured: 7.1e-6
    other = sampled(model, both, [7, 9], name)
    assert torch.equal(other[:1], together[:1]) and golden.relative(other[1:], together[1:]) > 0.01


@pytest.mark.parametrize("name", ["dpmpp_2m_sde", "dpmpp_sde"])
def test_one_face_has_the_host_s_brownian_motion(model, references, name, monkeypatch):
    own = sampled(model, references[1], [7], name)
    monkeypatch.setattr(sampling, "with_own_noise", lambda sampler, *_: sampler)
    assert torch.equal(sampled(model, references[1], [7], name), own)


@pytest.mark.parametrize("name", ["dpmpp_2m_sde", "euler_ancestral"])
def test_noise_is_unit_normal_and_like_no_other(name):
    """Also not like the start noise of a face whose seed is the next one, as the faces of a photo have them."""
    sigmas = torch.tensor([14.0, 5, 1, 0.1, 0])
    x, seeds = torch.zeros(3, 4, 32, 32), [1, 2, 3]
    generators = ddpm.face_generators(seeds)
    start = ddpm.draw_noise(generators, x.shape[1:])
    drawn = noise_sampler(name, x, sigmas, seeds, generators)
    steps = torch.stack([start, *(drawn(sigmas[i], sigmas[i + 1]) for i in range(3))])
    assert steps.shape == (4, *x.shape)
    assert (steps.std((2, 3, 4)) - 1).abs().max() < 0.03 and steps.mean((2, 3, 4)).abs().max() < 0.05  # 0.022, 0.035
    alike = torch.corrcoef(steps.flatten(0, 1).flatten(1)) - torch.eye(12)
    assert alike.abs().max() < 0.07  # measured: 0.052; of 4096 values one deviation is 0.016


def test_who_asks_nobody_for_noise_is_left_alone():
    def unknown(*given):
        raise AssertionError

    unknown.__signature__ = "none"
    strange = comfy.samplers.KSAMPLER(unknown)
    for sampler in (comfy.samplers.sampler_object("dpmpp_2m"), strange, comfy.samplers.Sampler()):
        assert with_own_noise(sampler, "dpmpp_2m", [1], ddpm.face_generators([1])) is sampler


def test_a_sampler_stays_what_it_is():
    """Of a class of somebody's own, and with noise of its own."""

    class Own(comfy.samplers.KSAMPLER):
        pass

    def function(model, x, sigmas, noise_sampler=None):
        return noise_sampler

    sampler = with_own_noise(Own(function), "own", [1], ddpm.face_generators([1]))
    x, sigmas = torch.zeros(1, 4, 8, 8), torch.tensor([1.0, 0])
    assert isinstance(sampler, Own) and sampler.sampler_function.__name__ == "function"
    assert sampler.sampler_function(None, x, sigmas)(1, 0).shape == x.shape
    assert sampler.sampler_function(None, x, sigmas, noise_sampler="theirs") == "theirs"


def test_the_largest_seed(model, references):
    for name in ("ddim", "euler_ancestral", "dpmpp_2m_sde"):
        assert sampled(model, references[1], [2**64 - 1], name).isfinite().all()
