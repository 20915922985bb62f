"""tools/demo_model/method_step.py: both losses of one pass are those of the training and of the paper's equations."""

import pytest
import torch

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.diffusers_engine.networks import ALL, load_networks
from face_anonymizer.modules.training.batches import Batch
from face_anonymizer.modules.training.objective import Drawn, loss_of, training_scheduler
from face_anonymizer.tools.demo_model import method_step

TINY = PACK / "tests" / "fixtures" / "face_anon" / "tiny"
TRIPLES, AT_DEGREES, DRAWS = 3, 2, 2


@pytest.fixture(scope="module")
def networks():
    return load_networks([TINY / name for name in checkpoint.NETWORKS], checkpoint.BLOCK_FIRST, ALL).eval()


@pytest.fixture(scope="module")
def given(networks):
    generator, config = torch.Generator().manual_seed(2), networks.unet.config
    latents, embeds = (TRIPLES, config.in_channels, 16, 16), (TRIPLES, 1, config.cross_attention_dim)
    batch = Batch(*(torch.randn(shape, generator=generator) for shape in [latents] * 3 + [embeds] * 2))
    clear = (torch.rand((TRIPLES, 1, 16, 16), generator=generator) > 0.5).float()
    scheduler = training_scheduler("v_prediction")
    drawn = method_step.draw(batch, clear, AT_DEGREES, DRAWS, 0.5, scheduler, generator)
    assert 0 < drawn.null.sum() < TRIPLES  # with and without a source
    return drawn


def noise_of(given: method_step.Given) -> torch.Tensor:
    """v and the noisy latents say what the noise was."""
    kept = training_scheduler("v_prediction").alphas_cumprod[given.timesteps].view(-1, 1, 1, 1)
    return kept.sqrt() * given.target + (1 - kept).sqrt() * given.noisy


@torch.no_grad()
def test_the_first_is_the_loss_of_the_training(networks, given):
    count = TRIPLES * DRAWS
    drawn = Drawn(noise_of(given)[:count], given.timesteps[:count], given.null)
    expected = loss_of(networks, given.batch, drawn, training_scheduler("v_prediction"))
    assert method_step.losses(networks, given)[0].item() == pytest.approx(expected.item(), rel=1e-5)


@torch.no_grad()
def test_the_second_compares_what_nobody_touches_at_the_degree(networks, given):
    """Triple by triple, with the states and the embedding of equations (2) and (1)."""
    error, blocks = 0.0, 0.0
    for number, degree in enumerate(given.degree):
        one = Batch(*(part[number : number + 1] for part in given.batch))
        embeds = (1 - degree) * one.source_embeds
        source = networks.record_source(one.source_latents, embeds)
        without = networks.record_source(torch.zeros_like(one.source_latents), torch.zeros_like(embeds))
        driving = networks.record_driving(one.driving_latents, one.driving_embeds)
        states = {
            layer: torch.cat([torch.lerp(source[layer], without[layer], degree), driving[layer]], dim=1)
            for layer in source
        }
        rows = slice((TRIPLES + number) * DRAWS, (TRIPLES + number + 1) * DRAWS)
        predicted = networks.predict(given.noisy[rows], given.timesteps[rows], embeds, one.driving_embeds, states)
        error += ((predicted - given.target[rows]).square() * given.clear[number]).sum().item()
        blocks += DRAWS * given.clear[number].sum().item() * predicted.shape[1]
    assert method_step.losses(networks, given)[1].item() == pytest.approx(error / blocks, rel=1e-5)


def test_what_is_noised_is_the_truth(given):
    truth = torch.cat([given.batch.truth_latents, given.batch.truth_latents[:AT_DEGREES]]).repeat_interleave(DRAWS, 0)
    kept = training_scheduler("v_prediction").alphas_cumprod[given.timesteps].view(-1, 1, 1, 1)
    torch.testing.assert_close(kept.sqrt() * given.noisy - (1 - kept).sqrt() * given.target, truth, atol=1e-5, rtol=0)
    assert ((given.degree >= method_step.DEGREES[0]) & (given.degree <= method_step.DEGREES[1])).all()


def test_every_network_gets_gradients(networks, given):
    loss, background = method_step.losses(networks, given)
    (loss + background).backward()
    for net in (networks.unet, networks.referencenet, networks.conditioning_referencenet):
        norms = [parameter.grad.norm().item() for parameter in net.parameters() if parameter.grad is not None]
        assert len(norms) > 100 and max(norms) > 0
    networks.zero_grad()
