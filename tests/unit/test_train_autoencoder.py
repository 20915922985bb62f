"""tools/demo_model/train_autoencoder.py: a decoder alone, and the loss of fine detail."""

import torch
from diffusers import AutoencoderKL

from face_anonymizer.tools.demo_model import train_autoencoder

SMALL = ["--widths", "16", "16", "--norm-groups", "2", "--latent-channels", "4", "--held-out", "2", "--batch", "2"]


def test_a_decoder_alone_leaves_latents_and_their_scale(tmp_path):
    images = torch.randint(256, (6, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)

    def train(name, *more):
        options = train_autoencoder.parse_arguments(["-", str(tmp_path / name), "--steps", "3", *SMALL, *more])
        train_autoencoder.train(options, images)
        return AutoencoderKL.from_pretrained(tmp_path / name)

    start = train("start")
    course = ["--start", str(tmp_path / "start"), "--decoder-only", "--detail", "1", "--learning-rate", "1e-2"]
    after = train("after", *course)
    assert after.config.scaling_factor == start.config.scaling_factor
    one, other = start.state_dict(), after.state_dict()
    changed = {name.partition(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_detail_is_how_much_there_is_and_not_where_it_lies():
    stripes = torch.zeros(1, 3, 16, 16)
    stripes[..., ::2] = 1
    moved, blurred = stripes.roll(1, 3), torch.full_like(stripes, 0.5)
    assert train_autoencoder.detail_loss(moved, stripes) < 0.1
    assert train_autoencoder.detail_loss(blurred, stripes) > 0.3
