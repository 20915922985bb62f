"""The loop that the small networks beside the method share: autoencoder, image encoder, regressor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm


@dataclass(frozen=True)
class Course:
    """steps: at most. minutes: ends earlier, with the learning rate at its end; None: no limit."""

    steps: int
    minutes: float | None
    batch: int
    learning_rate: float
    seed: int
    warmup: int = 200


# Numbers of pictures [batch], share of the course that is done, generator -> loss, and what the progress bar shows.
Loss = Callable[[torch.Tensor, float, torch.Generator], tuple[torch.Tensor, float]]


def fit(network: nn.Module, pictures: int, loss: Loss, course: Course) -> None:
    """AdamW on random batches out of `pictures` numbers, under a cosine. ValueError: a loss that is no number."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=course.learning_rate, weight_decay=0.01, fused=True)
    generator = torch.Generator().manual_seed(course.seed)
    start, running = time.monotonic(), None
    with tqdm(total=course.steps) as progress:
        for step in range(course.steps):
            done = step / course.steps
            if course.minutes:
                done = max(done, (time.monotonic() - start) / 60 / course.minutes)
            if done >= 1:
                break
            warm = min(1, (step + 1) / course.warmup)
            optimizer.param_groups[0]["lr"] = course.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))
            chosen = torch.randint(pictures, (course.batch,), generator=generator)
            value, shown = loss(chosen, done, generator)
            if not torch.isfinite(value):
                raise ValueError(f"The loss of step {step + 1} is {value.item()}: take a smaller --learning-rate.")
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            running = shown if running is None else 0.98 * running + 0.02 * shown
            progress.update()
            if step % 20 == 0:
                progress.set_postfix(loss=f"{running:.4f}")
