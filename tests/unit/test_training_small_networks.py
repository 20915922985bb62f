"""The small networks beside the method: the autoencoder's start, their common loop, and their lists of pictures."""

import json
from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from face_anonymizer.modules.synthetic.parameters import sample_attributes, sample_identities
from face_anonymizer.modules.synthetic.renderer import render
from face_anonymizer.modules.training import small_networks
from face_anonymizer.modules.training.autoencoder_start import start_from_colours
from face_anonymizer.modules.training.pictures import read_lines, read_pictures, read_truth
from face_anonymizer.modules.training.small_networks import Course, Keeping, fit


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


class Small(torch.nn.Module):
    """A network whose loss draws from both generators, as the autoencoder's does. dies_at: a step that is killed."""

    def __init__(self, dies_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.SiLU(), torch.nn.Linear(8, 1))
        self.inputs = torch.randn(64, 5)
        self.steps, self.dies_at, self.shares = 0, dies_at, []

    def loss(self, chosen, done, generator):
        if self.steps == self.dies_at:
            raise KeyboardInterrupt
        self.steps += 1
        self.shares.append(done)
        noise = torch.randn(len(chosen), 5, generator=generator) + torch.randn(len(chosen), 5)
        error = (self.layers(self.inputs[chosen] + 0.1 * noise) - self.inputs[chosen, :1]).square().mean()
        return error, error.item()

    def fit(self, course, keeping=None):
        return fit(self.layers, 64, self.loss, course, keeping)

    def stopped_after(self, folder, steps, **options):
        return Keeping(folder, stop=lambda: self.steps >= steps, **options)


COURSE = Course(steps=40, minutes=None, batch=8, learning_rate=0.01, seed=3, warmup=5)


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_course_that_was_stopped_and_killed_ends_as_an_unbroken_one(tmp_path):
    unbroken = Small()
    assert unbroken.fit(COURSE)
    first = Small()
    assert not first.fit(COURSE, first.stopped_after(tmp_path, 11, measure=lambda: {"psnr": 30.0}))
    assert log_of(tmp_path)[-1] == {"step": 11, "minutes": 0, "psnr": 30.0} | log_of(tmp_path)[-1]
    torch.manual_seed(99)  # a new process has another state
    killed = Small(dies_at=6)
    with pytest.raises(KeyboardInterrupt):
        killed.fit(COURSE, Keeping(tmp_path, minutes=0))  # a checkpoint after each step
    torch.manual_seed(98)
    last = Small()
    assert last.fit(COURSE, Keeping(tmp_path))
    assert (first.steps, killed.steps, last.steps) == (11, 6, 23)
    for name, value in unbroken.layers.state_dict().items():
        assert torch.equal(value, last.layers.state_dict()[name]), name
    assert log_of(tmp_path)[-1]["step"] == 40 and not list(tmp_path.glob("*.part"))


def test_a_course_at_its_end_takes_no_more_steps_unless_it_becomes_longer(tmp_path):
    Small().fit(COURSE, Keeping(tmp_path))
    again, longer = Small(), Small()
    assert again.fit(COURSE, Keeping(tmp_path)) and again.steps == 0
    assert longer.fit(replace(COURSE, steps=50), Keeping(tmp_path)) and longer.steps == 10


def test_minutes_go_on_after_a_stop_and_stand_still_while_the_process_does(tmp_path, monkeypatch):
    """Steps of 6 seconds of the processor, on clocks of the test's."""
    now = {"thread_time": 0.0, "monotonic": 0.0}
    for name in now:
        monkeypatch.setattr(small_networks.time, name, lambda name=name: now[name])

    def slow(network):
        def loss(*arguments):
            now["thread_time"] += 6
            now["monotonic"] += 3600 if network.steps == 2 else 10
            return network.loss(*arguments)

        return loss

    course = replace(COURSE, steps=10**6, minutes=2)
    first, second = Small(), Small()
    fit(first.layers, 64, slow(first), course, first.stopped_after(tmp_path, 5))
    now["thread_time"] = 3.0  # a new process
    assert fit(second.layers, 64, slow(second), course, Keeping(tmp_path))
    assert first.shares + second.shares == pytest.approx([seconds / 120 for seconds in range(0, 120, 6)])


def test_a_checkpoint_of_another_network_or_a_damaged_one_is_refused(tmp_path):
    first = Small()
    first.fit(COURSE, first.stopped_after(tmp_path, 1))
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is of another network"):
        fit(torch.nn.Linear(5, 1), 64, first.loss, COURSE, Keeping(tmp_path))
    (tmp_path / "checkpoint.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors"):
        first.fit(COURSE, Keeping(tmp_path))


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    first = Small()
    first.fit(COURSE, first.stopped_after(tmp_path, 4))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()

    def full(tensors, file, **_):
        file.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(small_networks, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        Small().fit(COURSE, Keeping(tmp_path, minutes=0))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


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
    pictures = read_pictures(read_lines(list_file))
    assert pictures.shape == (2, 3, 16, 16) and pictures[1, 0].eq(1).all()
    (tmp_path / "other").mkdir()
    both = read_pictures(read_lines(list_file, make_list(tmp_path / "other")))
    assert both.shape == (4, 3, 16, 16) and both[:, 0, 0, 0].tolist() == [0, 1, 0, 1] and both[:, 1].eq(2).all()


def test_a_list_with_another_size_a_missing_or_a_broken_picture_is_refused(tmp_path):
    list_file = make_list(tmp_path, ((16, 16), (24, 16)))
    with pytest.raises(ValueError, match=r"1\.png is 24x16, the first .* 16x16"):
        read_pictures(read_lines(list_file))
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.png.*cannot be read"):
        read_pictures(read_lines(list_file))
    (tmp_path / "1.png").unlink()
    with pytest.raises(ValueError, match=r"1\.png.*cannot be read"):
        read_pictures(read_lines(list_file))


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
