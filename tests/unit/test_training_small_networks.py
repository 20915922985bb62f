"""The small networks beside the method: the autoencoder's start, their common loop, and their lists of pictures."""

import json

import pytest
import torch
from diffusers import AutoencoderKL
from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.training.autoencoder_start import start_from_colours
from face_anonymizer.modules.training.pictures import read_lines, read_pictures, read_truth
from face_anonymizer.modules.training.small_networks import Course, fit
from PIL import Image


def autoencoder(**changes) -> AutoencoderKL:
    torch.manual_seed(0)
    levels = 4
    options = {"block_out_channels": (32, 64, 96, 96), "latent_channels": 12, "norm_num_groups": 4} | changes
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        **options,
    )


def psnr(first: torch.Tensor, second: torch.Tensor) -> float:
    return -10 * torch.log10(((first - second) / 2).square().mean()).item()


@torch.no_grad()
def test_an_autoencoder_starts_with_the_colours_of_blocks():
    faces = render(sample_identities(4, 3), sample_attributes(4, 3)).images.movedim(-1, 1) * 2 - 1
    blocks = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(faces, 8), scale_factor=8)
    network = autoencoder()
    before = psnr(network(faces).sample, faces)
    start_from_colours(network)
    decoded = network(faces).sample
    print(f"PSNR: fresh {before:.2f}, started {psnr(decoded, faces):.2f}, mean colours {psnr(blocks, faces):.2f} dB")
    assert psnr(decoded, blocks) > 35
    assert psnr(decoded, faces) > psnr(blocks, faces) - 0.3


@pytest.mark.parametrize("changes", [{"latent_channels": 2}, {"norm_num_groups": 8}])
def test_too_narrow_an_autoencoder_is_refused(changes):
    with pytest.raises(ValueError, match="groups"):
        start_from_colours(autoencoder(**changes))


def test_the_loop_learns_and_ends():
    torch.manual_seed(0)
    inputs, weight = torch.randn(64, 5), torch.randn(5, 1)
    network = torch.nn.Linear(5, 1)

    def loss(chosen, done, generator):
        assert 0 <= done < 1
        error = (network(inputs[chosen]) - inputs[chosen] @ weight).square().mean()
        return error, error.item()

    fit(network, len(inputs), loss, Course(steps=400, minutes=None, batch=16, learning_rate=0.05, seed=0, warmup=10))
    assert loss(torch.arange(64), 0, None)[1] < 1e-4


def test_a_loss_that_is_no_number_ends_the_loop():
    network = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="learning-rate"):
        fit(network, 4, lambda *_: (network.weight.sum() * float("nan"), 0.0), Course(9, None, 2, 1e-3, 0))


def make_list(folder, sizes=((16, 16), (16, 16))):
    lines = []
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (number, 2, 3)).save(folder / f"{number}.png")
        lines.append({"image": f"{number}.png"})
    list_file = folder / "faces.jsonl"
    list_file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return list_file


def test_pictures_of_a_list(tmp_path):
    list_file = make_list(tmp_path)
    pictures = read_pictures(list_file, read_lines(list_file))
    assert pictures.shape == (2, 3, 16, 16) and pictures[1, 0].eq(1).all()


def test_a_list_with_another_size_a_missing_or_a_broken_picture_is_refused(tmp_path):
    list_file = make_list(tmp_path, ((16, 16), (24, 16)))
    with pytest.raises(ValueError, match=r"1\.png is 24x16, the first .* 16x16"):
        read_pictures(list_file, read_lines(list_file))
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.png.*cannot be read"):
        read_pictures(list_file, read_lines(list_file))
    (tmp_path / "1.png").unlink()
    with pytest.raises(ValueError, match=r"1\.png.*cannot be read"):
        read_pictures(list_file, read_lines(list_file))


@pytest.mark.parametrize("text", ["", "{\n"])
def test_what_is_no_list_is_refused(tmp_path, text):
    list_file = tmp_path / "faces.jsonl"
    list_file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"faces\.jsonl"):
        read_lines(list_file)


def test_truth_comes_back_from_a_list():
    identity, attributes = sample_identities(3, 1), sample_attributes(3, 1)
    lines = [
        {
            key: dict(zip(values.names, values.natural()[row].tolist(), strict=True))
            for key, values in (("identity", identity), ("attributes", attributes))
        }
        for row in range(3)
    ]
    truth = read_truth(lines)
    assert (truth - torch.cat([identity.values, attributes.values], 1)).abs().max() < 1e-4
