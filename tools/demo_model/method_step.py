"""One step of the method's training on a GPU: both losses in one pass of each network, compiled, as a CUDA graph.

The networks are so small that a step waits for its kernels to be launched rather than for their arithmetic. So what is
predicted for the triples of the paper and what is predicted at a degree share their passes, a compiler joins the many
small operations, and what is left is launched as one graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from diffusers import DDPMScheduler
from torch import nn

from face_anonymizer.modules.model.diffusers_engine.networks import Networks
from face_anonymizer.modules.model.diffusers_engine.processors import Record
from face_anonymizer.modules.training.batches import Batch

DEGREES = (0.2, 1.5)


class Given(NamedTuple):
    """What one step is computed from: B triples, of which the first K are predicted at a degree too.

    Args:
        batch: B triples.
        clear: float32 [K, 1, h, w], 1 where nobody is in the scene of the driving image.
        null: bool [B], which triples are trained without their source.
        degree: float32 [K, 1, 1].
        noisy: noised truth latents, [(B + K) * draws, C, h, w]: first those of the B, the draws of each side by side.
        timesteps: int64 [(B + K) * draws].
        target: the v of these, like noisy.
    """

    batch: Batch
    clear: torch.Tensor
    null: torch.Tensor
    degree: torch.Tensor
    noisy: torch.Tensor
    timesteps: torch.Tensor
    target: torch.Tensor


def draw(
    batch: Batch,
    clear: torch.Tensor,
    at_degrees: int,
    draws: int,
    null_share: float,
    scheduler: DDPMScheduler,
    generator: torch.Generator,
) -> Given:
    """Noise, timesteps, degrees and the unconditional triples of one step.

    Args:
        batch: B triples.
        clear: float32 [B, 1, h, w], see Given.
        at_degrees: of the triples that are predicted at a degree too, at most B.
        draws: noises and timesteps of each triple.
        null_share: of triples that are trained without their source, 0..1.
        scheduler: of training_scheduler, on the device of the batch.
        generator: on that device.
    """
    device, low, high = batch.truth_latents.device, *DEGREES
    truth = torch.cat([batch.truth_latents, batch.truth_latents[:at_degrees]]).repeat_interleave(draws, dim=0)
    noise = torch.randn(truth.shape, generator=generator, device=device)
    timesteps = torch.randint(1000, (len(truth),), generator=generator, device=device)
    null = torch.rand(len(clear), generator=generator, device=device) < null_share
    degree = low + (high - low) * torch.rand((at_degrees, 1, 1), generator=generator, device=device)
    noisy = scheduler.add_noise(truth, noise, timesteps)
    target = scheduler.get_velocity(truth, noise, timesteps)
    return Given(batch, clear[:at_degrees], null, degree, noisy, timesteps, target)


def losses(networks: Networks, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's loss (section 3.1), and the error of what nobody touches where the source is moved away.

    The second is the mean squared error of v, at degrees as in equations 1 and 2 of the paper, in the blocks that are
    clear: so the background stays the driving image's at any degree.

    Args:
        networks: of one architecture.
        given: of draw().

    Returns:
        Two scalars with gradients.
    """
    batch, count, triples = given.batch, len(given.degree), len(given.null)
    draws = len(given.noisy) // (triples + count)
    present, degree = ~given.null.view(-1, 1, 1), given.degree
    own = torch.where(present[..., None], batch.source_latents, 0.0)
    nothing = torch.zeros_like(own[:1])  # the unconditional source: one row serves all degrees
    latents = torch.cat([own, batch.source_latents[:count], nothing])
    embeds = torch.cat([torch.where(present, batch.source_embeds, 0.0), (1 - degree) * batch.source_embeds[:count]])
    source = _states(networks, networks.referencenet, latents, torch.cat([embeds, torch.zeros_like(embeds[:1])]))
    driving = _states(networks, networks.conditioning_referencenet, batch.driving_latents, batch.driving_embeds)
    states = {}
    for layer, of_source in source.items():
        moved = (1 - degree) * of_source[triples:-1] + degree * of_source[-1:]
        of_driving = torch.cat([driving[layer], driving[layer][:count]])
        states[layer] = torch.cat([torch.cat([of_source[:triples], moved.to(of_source.dtype)]), of_driving], dim=1)
    driving_embeds = torch.cat([batch.driving_embeds, batch.driving_embeds[:count]])
    predicted = networks.predict(given.noisy, given.timesteps, embeds, driving_embeds, states)
    squared = (predicted.float() - given.target).square()
    kept = given.clear.repeat_interleave(draws, dim=0)
    background = (squared[triples * draws :] * kept).sum() / (kept.sum() * squared.shape[1]).clamp(min=1)
    return squared[: triples * draws].mean(), background


def _states(networks: Networks, net: nn.Module, latents: torch.Tensor, embeds: torch.Tensor) -> dict:
    """As Networks.record_source, without the exception that ends it early: the compiler drops what nobody reads."""
    record = Record(networks.wanted, stop=False)
    timestep = latents.new_zeros((), dtype=torch.int64)
    net(latents, timestep, embeds, cross_attention_kwargs={"record": record}, return_dict=False)
    return dict(record)


def captured(
    gradients: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> Callable[[], torch.Tensor]:
    """gradients() as a CUDA graph: thousands of small kernels launched at once rather than one by one from Python.

    Args:
        gradients: of fixed shapes; it adds to the parameters' gradients and reads nothing back from the device.
        optimizer: of all parameters.
        generator: that gradients() draws from.

    Returns:
        What leaves new gradients, and gives what gradients() gives.

    Raises:
        RuntimeError: something in gradients() cannot be part of a graph.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            optimizer.zero_grad()
            gradients()
    torch.cuda.current_stream().wait_stream(stream)
    optimizer.zero_grad()  # to None: the graph makes gradients of its own and writes these anew each time
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = gradients()

    def replay() -> torch.Tensor:
        graph.replay()
        return result

    return replay
