"""Every sampler of the host: a face's noise on the way is its own, whoever else is in the batch."""

import comfy.samplers
import golden
import pipeline
import pytest
import torch
from plain_run import rest_is_long

from face_anonymizer.modules.model import sampling
from face_anonymizer.modules.model.own_noise import noise_sampler, with_own_noise
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.settings import SamplerSettings

FIRST = ["dpmpp_2m_sde", "dpmpp_sde", "euler_ancestral", "lcm", "ddpm", "er_sde"]  # of all: the kinds of noise
EVERY = [*FIRST, *(name for name in comfy.samplers.KSampler.SAMPLERS if name not in FIRST)]
# samplers that choose their steps by the whole batch; none of them adds noise
BY_BATCH = {"dpm_adaptive"}


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
def test_a_face_depends_on_nobody_beside_it(model, references, name, monkeypatch):
    both, first, second = references
    together = sampled(model, both, [7, 8], name)
    alone = sampled(model, first, [7], name), sampled(model, second, [8], name)
    assert together.isfinite().all()
    if name not in BY_BATCH:
        assert golden.relative(together, torch.cat(alone)) < 2e-5  # measured: 7.1e-6
        assert torch.equal(sampled(model, both, [7, 9], name)[:1], together[:1])
    assert golden.relative(sampled(model, both, [7, 9], name)[1:], together[1:]) > 0.01
    monkeypatch.setattr(sampling, "with_own_noise", lambda sampler, *_: sampler)
    assert torch.equal(sampled(model, first, [7], name), alone[0]), "a single face is the host's on a CPU"


def test_noise_is_unit_normal_and_of_each_seed():
    sigmas = torch.tensor([14.0, 5, 1, 0.1, 0])
    x = torch.zeros(3, 4, 32, 32)
    for name in ("dpmpp_2m_sde", "euler_ancestral"):
        drawn = noise_sampler(name, x, sigmas, [1, 2, 1])
        steps = torch.stack([drawn(sigmas[i], sigmas[i + 1]) for i in range(3)])
        assert steps.shape == (3, *x.shape)
        assert (steps.std((2, 3, 4)) - 1).abs().max() < 0.05 and steps.mean((2, 3, 4)).abs().max() < 0.05
        assert torch.equal(steps[:, 0], steps[:, 2])
        flat = torch.cat([steps[:, 0], steps[:, 1]]).flatten(1)
        assert (torch.corrcoef(flat) - torch.eye(6)).abs().max() < 0.07


def test_who_asks_nobody_for_noise_is_left_alone():
    sampler = comfy.samplers.sampler_object("dpmpp_2m")
    assert with_own_noise(sampler, "dpmpp_2m", [1]) is sampler
