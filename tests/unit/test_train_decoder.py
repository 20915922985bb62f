"""tools/demo_model: what the model painted, with its truth, and a decoder that learns from it."""

import json

import pytest
import torch
from diffusers import AutoencoderKL

from face_anonymizer.modules.model.diffusers_engine.loading import load_engine
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.tools.demo_model import adversary, sample_latents, sampled, train_decoder
from face_anonymizer.tools.demo_model.stages import SHIPPED

SIDE = 64


def autoencoder():
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 16),
        norm_num_groups=2,
        latent_channels=4,
        sample_size=SIDE,
        scaling_factor=0.7,
    )


def painted(count=4, seed=0):
    """Random latents and pictures; the left half is clear of people."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn((2, count, 4, SIDE // 2, SIDE // 2), generator=generator).half()
    pictures = torch.randint(256, (2, count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    clear = torch.zeros((count, SIDE, SIDE), dtype=torch.bool)
    clear[..., : SIDE // 2] = True
    points = torch.tensor([[20.0, 20], [44, 20], [32, 30], [22, 46], [42, 46]]).expand(count, 5, 2)
    return sampled.Sampled(*latents, *pictures, clear, points)


def options(tmp_path, *more):
    given = [str(tmp_path / name) for name in ("sampled", "held_out", "out")]
    course = ["--start", str(tmp_path / "start"), "--steps", "3", "--ahead", "1", "--learning-rate", "1e-2"]
    return train_decoder.parse_arguments([*given, *course, *more])


def test_the_decoder_alone_learns_and_its_figures_are_kept(tmp_path):
    start = autoencoder()
    start.save_pretrained(tmp_path / "start")
    for name in ("sampled", "held_out"):
        for kind in (sampled.SWAP, sampled.DEGREE):
            sampled.write_sampled(painted(), tmp_path / name, kind, 0)
    train_decoder.train(options(tmp_path))
    after = AutoencoderKL.from_pretrained(tmp_path / "out")
    assert after.config.scaling_factor == 0.7
    one, other = start.half().state_dict(), after.half().state_dict()
    changed = {name.partition(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"decoder", "post_quant_conv"}
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 3]
    assert lines[0]["psnr"] != lines[1]["psnr"]
    assert (tmp_path / "out" / "sheet.png").is_file()


def test_results_without_truth_are_held_to_what_is_clear_of_people(tmp_path):
    training = train_decoder.Training(autoencoder(), dict.fromkeys(train_decoder.KINDS, painted()), options(tmp_path))
    swaps, results = painted(2), painted(1, seed=1)
    right = train_decoder.as_pixels(torch.cat([swaps.pictures, results.pictures]))

    def loss(row, columns):
        wrong = right.clone()
        wrong[row, ..., columns] += 0.5
        return training.plain_loss(swaps, results, wrong).item()

    left, face = slice(0, 8), slice(40, 48)
    assert loss(2, face) == loss(2, slice(0, 0)) == 0
    assert loss(2, left) > 0
    assert loss(0, face) > 0


def test_eyes_and_mouth_are_where_the_points_are():
    near = train_decoder.parts(painted(1).points, SIDE)[0, 0]
    assert near[20, 20] > 0.9 and near[20, 44] > 0.9 and near[46, 32] > 0.9
    assert near[2, 32] < 0.1
    inside = train_decoder.face((painted(1).points + 32) / 2, SIDE)[0, 0]
    assert (inside[26:40, 26:38] == 1).all() and inside[0, 0] == inside[-1, -1] == 0


def test_the_adversary_learns_what_is_blurred():
    torch.manual_seed(0)
    sharp = torch.rand(16, 3, SIDE, SIDE) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
    judge = adversary.Adversary()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
    for _ in range(25):
        optimizer.zero_grad()
        adversary.hinge(judge(sharp[:8])[0], judge(blurred[:8])[0]).backward()
        optimizer.step()
    assert judge(sharp[8:])[0].mean() > judge(blurred[8:])[0].mean() + 0.5


def test_a_folder_without_pictures_says_what_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="sample_latents"):
        sampled.read_sampled(tmp_path, sampled.SWAP)


def test_a_swap_has_its_truth_in_the_scene_of_the_driving_image(monkeypatch):
    monkeypatch.setattr(sample_latents, "SIDE", 2)
    people = sample_latents.People(load_engine(SHIPPED, "cpu"), 3, 7)
    sampler = SamplerSettings(steps=2, guidance_scale=2.0)
    swaps, results = people.swapped(sampler), people.at_degree(1.25, sampler)
    assert swaps.latents.shape == results.latents.shape == (4, 16, 16, 16)
    assert torch.equal(results.pictures, results.driving) and torch.equal(swaps.pictures, results.pictures)
    away = (swaps.pictures.float() - swaps.driving.float()).abs().mean(1)
    driving = results.clear[[2, 3, 0, 1]]  # of two people, the other one under the same scene
    assert away[swaps.clear & driving].mean() < 2
    assert away.flatten(1).mean(1).min() > 4
