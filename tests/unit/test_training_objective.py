"""What is drawn, what is minimised, and how fast."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from face_anonymizer.modules.training.arguments import parse_arguments
from face_anonymizer.modules.training.batches import Batch
from face_anonymizer.modules.training.objective import Drawn, draw, learning_rate, loss_of, training_scheduler
from face_anonymizer.modules.training.settings import TrainingSettings

PAPER = TrainingSettings(data=(Path("data.jsonl"),), output=Path("out"), model=Path("model"))


def some_batch(size=3):
    generator = torch.Generator().manual_seed(0)
    shapes = [(size, 4, 4, 4)] * 3 + [(size, 1, 8)] * 2
    return Batch(*(torch.randn(shape, generator=generator) for shape in shapes))


class Recorder:
    """In the place of the networks: keeps what it is given and answers with a fixed tensor."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *given):
        self.given = given
        return self.answer


def test_defaults_are_the_papers():
    assert (PAPER.learning_rate, PAPER.batch, PAPER.accumulate, PAPER.steps) == (1e-5, 1, 8, 435_000)
    assert (PAPER.null_share, PAPER.trained_reference, PAPER.prediction) == (0.1, "attention", "v_prediction")
    assert (PAPER.optimizer, PAPER.draws, PAPER.lr_schedule) == ("adamw", 1, "constant")


def test_command_line_has_the_same_defaults():
    assert parse_arguments("", ["out", "--data", "data.jsonl", "--model", "model"]) == PAPER
    given = parse_arguments("", ["out", "--data", "a", "b", "--model", "model", "--cache", "--time-limit", "2.5"])
    assert given == replace(PAPER, data=(Path("a"), Path("b")), cache=True, time_limit=2.5)


def test_draws_depend_on_their_course_alone():
    latents = torch.zeros(3, 4, 4, 4)
    first, again = draw(latents, 2, 0.5, (0, 5, 1, 0)), draw(latents, 2, 0.5, (0, 5, 1, 0))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for course in ((1, 5, 1, 0), (0, 6, 1, 0), (0, 5, 2, 0), (0, 5, 1, 1)):
        assert not torch.equal(draw(latents, 2, 0.5, course).noise, first.noise)
    assert first.noise.shape == (6, 4, 4, 4)
    assert first.timesteps.shape == (6,)
    assert first.null.shape == (3,)


def test_timesteps_are_uniform_and_the_share_of_unconditional_triples_is_kept():
    drawn = draw(torch.zeros(20_000, 1, 1, 1), 1, 0.1, (0,))
    counts = torch.histc(drawn.timesteps.float(), 10, 0, 1000)
    assert (counts / 20_000 - 0.1).abs().max() < 0.01
    assert abs(drawn.null.float().mean().item() - 0.1) < 0.01
    assert (drawn.timesteps.min(), drawn.timesteps.max()) == (0, 999)
    assert not draw(torch.zeros(100, 1, 1, 1), 1, 0.0, (0,)).null.any()


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_loss_is_that_of_the_formula(prediction):
    batch, draws = some_batch(), 2
    noise = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    timesteps = torch.tensor([0, 999, 500, 20, 3, 700])
    scheduler = training_scheduler(prediction)
    recorder = Recorder(torch.zeros(6, 4, 4, 4))
    loss = loss_of(recorder, batch, Drawn(noise, timesteps, torch.zeros(3, dtype=torch.bool)), scheduler)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = (1 - betas).cumprod(0)[timesteps].view(-1, 1, 1, 1)
    truth = batch.truth_latents.repeat_interleave(draws, 0)
    target = noise if prediction == "epsilon" else alphas.sqrt() * noise - (1 - alphas).sqrt() * truth
    torch.testing.assert_close(loss.double(), target.double().square().mean(), rtol=1e-5, atol=0)
    noisy = alphas.sqrt() * truth + (1 - alphas).sqrt() * noise
    torch.testing.assert_close(recorder.given[0].double(), noisy.double(), rtol=1e-4, atol=1e-5)
    assert torch.equal(recorder.given[1], timesteps)


def test_unconditional_triples_lose_the_source_alone():
    batch = some_batch()
    null = torch.tensor([False, True, False])
    recorder = Recorder(torch.zeros(3, 4, 4, 4))
    drawn = Drawn(torch.zeros(3, 4, 4, 4), torch.zeros(3, dtype=torch.long), null)
    loss_of(recorder, batch, drawn, training_scheduler("v_prediction"))
    source, driving, source_embeds, driving_embeds = recorder.given[2]
    assert source[1].abs().max() == source_embeds[1].abs().max() == 0
    assert torch.equal(source[::2], batch.source_latents[::2])
    assert torch.equal(source_embeds[::2], batch.source_embeds[::2])
    assert torch.equal(driving, batch.driving_latents)
    assert torch.equal(driving_embeds, batch.driving_embeds)


def test_learning_rates():
    assert {learning_rate(PAPER, step) for step in (0, 100, 434_999)} == {1e-5}
    warm = replace(PAPER, warmup=9)
    assert [learning_rate(warm, step) for step in (0, 4, 9, 10)] == pytest.approx([1e-6, 5e-6, 1e-5, 1e-5])
    cosine = replace(PAPER, warmup=10, lr_schedule="cosine", steps=110)
    rates = [learning_rate(cosine, step) for step in range(110)]
    assert max(rates) == pytest.approx(1e-5)
    assert rates[60] == pytest.approx(5e-6)
    assert 0 < rates[-1] < 1e-7
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, r"Exactly one of --model, --unet and --unet-config .* given: none"),
        ({"unet": Path("u")}, r"given: --model, --unet\."),
        ({"model": None, "unet": Path("u")}, r"need --vae and --image-encoder"),
        ({"batch": 0}, r"--batch is 0"),
        ({"draws": 0}, r"--draws is 0"),
        ({"checkpoint_every": 0}, r"--checkpoint-every is 0"),
        ({"validate_every": 0}, r"--validate-every is 0"),
        ({"phase_2_at": 5}, r"--data-phase-2 and --phase-2-at belong together"),
        ({"null_share": 1.5}, r"--null-share 1.5"),
        ({"ema": 1.0}, r"--ema 1.0"),
        ({"resolution": 500}, r"--resolution 500 is not a positive multiple of 8"),
    ],
)
def test_settings_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        replace(PAPER, **options).check()
    PAPER.check()
