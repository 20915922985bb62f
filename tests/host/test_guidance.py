"""Guidance in a part of the noise levels: what it costs, where it begins and ends, and what it is worth nothing for."""

import comfy.sample
import golden
import pipeline
import pytest
import torch
from comfy_extras import nodes_model_advanced
from torch.utils.flop_counter import FlopCounterMode

from face_anonymizer import nodes as pack
from face_anonymizer.modules.model import ddpm
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.sampling import sample
from face_anonymizer.modules.model.settings import DDPM, SamplerSettings


@pytest.fixture(scope="module")
def inputs(least) -> dict:
    images = pipeline.face_images(1, 64)
    return pipeline.references(least, images, images)


@pytest.fixture(scope="module")
def references(inputs) -> References:
    return References(**{name: value for name, value in inputs.items() if name != "model"})


def halves_of_steps(model, references, **how) -> tuple[list[int], torch.Tensor]:
    """How many halves the UNet was asked for in every step, and the latents."""
    seen: list[int] = []

    def count(apply, arguments):
        seen.append(len(arguments["cond_or_uncond"]))
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    model = model.clone()
    model.set_model_unet_function_wrapper(count)
    return seen, sample(model, references, [5], SamplerSettings(**how), lambda *_: None)


@pytest.mark.parametrize("name", [DDPM, "euler"])
def test_only_steps_of_the_interval_take_both_halves(least, references, name):
    how = {"name": name, "scheduler": "sgm_uniform", "steps": 5}
    everywhere, plain = halves_of_steps(least.unet, references, **how)
    some, between = halves_of_steps(least.unet, references, guidance_from=0.15, guidance_to=0.65, **how)
    never, alone = halves_of_steps(least.unet, references, guidance_from=1.0, **how)
    assert (everywhere, never) == ([2] * 5, [1] * 5)
    # timesteps 801, 601, 401, 201, 1 are shares of 0.2, 0.4, 0.6, 0.8, 1; the host's 999, 799, ... of 0, 0.2, ...
    assert some == ([2, 2, 2, 1, 1] if name == DDPM else [1, 2, 2, 2, 1])
    assert torch.equal(alone, halves_of_steps(least.unet, references, guidance_scale=1.0, **how)[1])
    assert golden.relative(between, plain) > 1e-3 and golden.relative(between, alone) > 1e-3


def test_the_work_that_is_saved_is_half_of_each_step_outside(least, references):
    def work(**how) -> int:
        with FlopCounterMode(display=False) as counter:
            sample(least.unet, references, [5], SamplerSettings(**how), lambda *_: None)
        return counter.get_total_flops()

    # of two steps, the second; what is kept of the references is kept for its half, too
    guided, never = work(steps=2), work(steps=2, guidance_scale=1.0)
    assert guided - work(steps=2, guidance_to=0.6) == never - work(steps=1, guidance_scale=1.0)


@pytest.mark.parametrize("how", [("dpm_2", "normal"), ("dpmpp_sde", "karras"), ("euler_cfg_pp", "simple")])
def test_without_an_interval_the_host_samples_as_it_does_itself(least, references, how):
    """Its KSampler drops a noise level for some samplers; others ask for both halves whatever the scale is."""
    name, scheduler = how
    ours = sample(least.unet, references, [5], SamplerSettings(name, scheduler, 3), lambda *_: None)
    arguments = {"source_states", "driving_states", "source_embeds", "driving_embeds"}
    applied = pack.FaceAnonApply.execute(least.unet, **{name: getattr(references, name) for name in arguments})
    model, positive, negative, latent = applied.result
    noise = ddpm.draw_noise(ddpm.face_generators([5]), latent["samples"].shape[1:])
    settings = (3, 4.0, name, scheduler, positive, negative, latent["samples"])
    expected = comfy.sample.sample(model, noise, *settings, disable_pbar=True, seed=5)
    assert torch.equal(ours, expected)


def test_rescaled_guidance_is_the_hosts_node(least, references):
    """It changes nothing where there is no guidance."""
    rescaled = nodes_model_advanced.RescaleCFG().patch(least.unet, 0.7)[0]

    def run(model, **how):
        return sample(model, references, [5], SamplerSettings("euler", "sgm_uniform", 2, **how), lambda *_: None)

    assert golden.relative(run(rescaled), run(least.unet)) > 1e-3
    assert golden.relative(run(rescaled, guidance_from=1.0), run(least.unet, guidance_from=1.0)) <= 1e-6


def test_the_nodes_hand_the_interval_over(least, inputs, references):
    latents = pack.FaceAnonDDPMSampler.execute(**inputs, seed=5, steps=2, guidance_to=0.6)[0]["samples"]
    assert torch.equal(latents, sample(least.unet, references, [5], SamplerSettings(steps=2, guidance_to=0.6)))
    with pytest.raises(ValueError, match=r"^guidance_from is 0[.]6 and guidance_to 0[.]5"):
        pack.FaceAnonDDPMSampler.execute(**inputs, guidance_from=0.6, guidance_to=0.5)
