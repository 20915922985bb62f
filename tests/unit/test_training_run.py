"""Whole trainings in this process: that they learn, and what they do when something goes wrong."""

import json
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from plain_run import rest_is_long
from safetensors.torch import load_file
from test_training_state import full_disk
from training_sets import TINY, make_set, read_log, settings_for, train

from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.diffusers_engine.engine import DiffusersEngine
from face_anonymizer.modules.model.diffusers_engine.networks import load_networks
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.modules.training import export, trainer, validation
from face_anonymizer.modules.training.batches import Order, in_parts
from face_anonymizer.modules.training.state import CheckpointNotWritten, newest_checkpoint
from face_anonymizer.modules.training.triples import UnusablePicture


@pytest.mark.long
def test_overfits_ten_triples_in_200_steps(tmp_path):
    """The loss falls, the samples are the truths, and both source and driving image are needed for it."""
    settings = settings_for(
        tmp_path, make_set(tmp_path / "set", 10), steps=200, batch=5, draws=2, learning_rate=3e-3, warmup=10, ema=0.0
    )
    training = train(settings)
    losses = [line["loss"] for line in read_log(settings.output)]
    assert sum(losses[-20:]) < 0.3 * sum(losses[:20])
    batch = in_parts(training.phases[0], training.encoders, 10, 10, 32)[0]
    other_source = batch._replace(
        source_latents=batch.source_latents.roll(1, 0), source_embeds=batch.source_embeds.roll(1, 0)
    )
    other_driving = batch._replace(
        driving_latents=batch.driving_latents.roll(1, 0), driving_embeds=batch.driving_embeds.roll(1, 0)
    )
    own, without_source, without_driving = (
        validation.validation_loss(training.networks, [given], "v_prediction")
        for given in (batch, other_source, other_driving)
    )
    print(f"\nown {own:.3f}, another source {without_source:.3f}, another driving image {without_driving:.3f}", end="")
    assert own < 0.4
    assert min(without_source, without_driving) > 1.5 * own
    engine = DiffusersEngine(training.networks, training.encoders, "v_prediction", training.resolution)
    sampled = validation.sample_swaps(engine, batch, SamplerSettings(steps=20, guidance_scale=1.0))
    near, far = ((sampled - batch.truth_latents.roll(by, 0)).square().mean().item() for by in (0, 1))
    print(f"; sampled: {near:.2f} from the truth, {far:.2f} from another", end="")
    assert near < 0.3 * far


@pytest.mark.parametrize("options", [{"routing": "per_layer"}, {"ema": 0.0, "prediction": "epsilon"}], ids=str)
def test_model_folder(tmp_path, options):
    """The published layout, with the moving averages where there are some."""
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 4), steps=2, export_dtype="fp16", **options)
    training = train(settings)
    folder = settings.output / "model"
    assert checkpoint.read_settings(folder) == checkpoint.ModelSettings(routing=settings.routing, resolution=32)
    assert checkpoint.read_prediction_type(folder) == settings.prediction
    assert checkpoint.find_model_folders([settings.output]) == {"model": folder}
    for name in (checkpoint.VAE, checkpoint.IMAGE_ENCODER):
        assert {file.name for file in (folder / name).iterdir()} == {file.name for file in (TINY / name).iterdir()}
    exported = load_networks([folder / name for name in checkpoint.NETWORKS], settings.routing, "all").state_dict()
    ema = training.trained.ema
    expected = dict(training.networks.state_dict())
    if ema is not None:
        expected |= dict(zip(training.networks.trained(), ema.shadow_params, strict=True))
    for name, value in exported.items():
        assert torch.equal(value, expected[name].half().float()), name


def test_pretrained_unet_is_copied_and_model_folder_continued(tmp_path):
    data = make_set(tmp_path / "set", 2, size=64)
    options = {"unet_config": None, "trained_reference": "attention", "steps": 1, "ema": 0.0, "vae": TINY / "vae"}
    copied = train(settings_for(tmp_path, data, unet=TINY / "unet", **options)).networks.state_dict()
    frozen = load_file(TINY / "unet" / "diffusion_pytorch_model.safetensors")
    for name in ("conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"):
        assert torch.equal(copied[f"referencenet.{name}"], frozen[name])
        assert torch.equal(copied[f"conditioning_referencenet.{name}"], frozen[name])
        assert not torch.equal(copied[f"unet.{name}"], frozen[name])
    changed = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.weight"
    assert not torch.equal(copied[f"referencenet.{changed}"], frozen[changed])
    settings = settings_for(tmp_path, data, model=TINY, **options)
    continued = train(replace(settings, output=tmp_path / "continued", vae=None, image_encoder=None))
    source = load_file(TINY / "referencenet" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(continued.networks.referencenet.conv_in.weight, source["conv_in.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"routing": "per_layer"}, r"tiny was trained with routing block_first, not per_layer: --routing block_first"),
        ({"prediction": "epsilon"}, r"tiny was trained with prediction v_prediction, not epsilon: --prediction v_pred"),
    ],
    ids=str,
)
def test_model_is_continued_as_it_was_trained(tmp_path, options, message):
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 1), unet_config=None, model=TINY, **options)
    with pytest.raises(ValueError, match=message):
        train(settings)


def test_stopped_by_the_caller_and_by_the_clock(tmp_path):
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 4), steps=1000)
    asked = []
    train(settings, stop=lambda: asked.append(1) or len(asked) > 3)
    assert newest_checkpoint(settings.output).name == "00000003"
    train(replace(settings, resume=True, time_limit=0.02))
    assert int(newest_checkpoint(settings.output).name) < 1000
    assert (settings.output / "model" / "unet" / "config.json").is_file()


def poison(step, spoil):
    """loss_of, spoiled from its call number `step` on."""
    calls, loss_of = [], trainer.loss_of

    def spoiled(networks, *given):
        calls.append(1)
        loss = loss_of(networks, *given)
        return spoil(loss, networks.unet.conv_out.bias) if len(calls) >= step else loss

    return spoiled


@pytest.mark.parametrize(
    "spoil, resumed",
    [
        pytest.param(lambda loss, _: loss * float("nan"), False, marks=pytest.mark.long),
        (lambda loss, _: loss / 0, False),
        (lambda loss, bias: loss + (0 * bias.sum()).sqrt(), True),
    ],
    ids=["nan", "infinite", "nan in the gradient alone"],
)
def test_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch, spoil, resumed):
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 4), steps=10, checkpoint_every=2)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "loss_of", poison(6, spoil))
        with pytest.raises(trainer.TrainingStopped, match=r"At step 6 the loss is .*00000004 is the last good checkp"):
            train(settings)
    kept = newest_checkpoint(settings.output)
    assert kept.name == "00000004"
    assert all(value.isfinite().all() for value in load_file(kept / "networks.safetensors").values())
    if not resumed:  # it goes on from that checkpoint alike
        return
    train(replace(settings, steps=5, resume=True))
    assert [line["step"] for line in read_log(settings.output)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("workers", rest_is_long([0, 1], 1))
def test_picture_that_breaks_later_costs_no_step(tmp_path, workers):
    data = make_set(tmp_path / "set", 6)
    settings = settings_for(tmp_path, data, steps=6, batch=1, cache=False, workers=workers)
    fourth = int(Order(6, 1, settings.seed)(3)[0])
    broken = tmp_path / "set" / f"{fourth:02d}_driving.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    with pytest.raises(UnusablePicture, match=rf"{broken.name} is unreadable .* line {fourth + 1} names it"):
        train(settings)
    assert newest_checkpoint(settings.output).name == "00000003"
    broken.write_bytes(whole)
    train(replace(settings, resume=True))
    assert newest_checkpoint(settings.output).name == "00000006"


def test_full_disk_does_not_end_a_training(tmp_path, caplog):
    """The checkpoint before stays, the training goes on, and only its end is an error; with room it is finished."""
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 4), steps=7, checkpoint_every=2)
    asked = []
    with ExitStack() as stack:

        def fill() -> bool:
            asked.append(1)
            if len(asked) == 4:
                stack.enter_context(full_disk())
            return False

        with pytest.raises(CheckpointNotWritten, match=r"step 7 could not be written .*00000002 is whole"):
            train(settings, stop=fill)
    assert "checkpoint of step 4 could not be written" in caplog.text
    assert "The training goes on." in caplog.text
    assert [path.name for path in (settings.output / "checkpoints").iterdir()] == ["00000002"]
    train(replace(settings, resume=True))
    assert newest_checkpoint(settings.output).name == "00000007"


def test_full_disk_at_the_export_leaves_the_model_before(tmp_path):
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 4), steps=1)
    training = train(settings)
    model = settings.output / "model"
    before = {file: file.read_bytes() for file in model.rglob("*.*")}
    arguments = (training.encoders, checkpoint.ModelSettings(routing="per_layer", resolution=32))
    with full_disk(), pytest.raises(OSError, match=r"model could not be written .*--resume --steps 0"):
        export.export_model(model, training.networks, {}, *arguments, prediction="epsilon")
    assert {file: file.read_bytes() for file in model.rglob("*.*")} == before
    assert not list(settings.output.glob("model.*"))


def test_a_model_that_is_continued_keeps_what_it_says_of_itself(tmp_path):
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 4), steps=1)
    train(settings)
    model = settings.output / "model"
    says = {"routing": "block_first", "resolution": 32, "steps": 7, "demonstration": "A test."}
    (model / "face_anon.json").write_text(json.dumps(says))
    train(replace(settings, output=tmp_path / "further", unet_config=None, model=model))
    assert json.loads((tmp_path / "further" / "model" / "face_anon.json").read_text()) == says


def test_encoders_that_do_not_fit(tmp_path):
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 1))
    config = json.loads(settings.unet_config.read_text())
    settings.unet_config.write_text(json.dumps({**config, "in_channels": 8, "cross_attention_dim": 32}))
    message = r"takes 8 latent channels and embeddings of width 32; .* gives 4 channels, .* width 64"
    with pytest.raises(ValueError, match=message):
        train(settings)


def test_8_bit_optimizer_needs_bitsandbytes(tmp_path):
    settings = settings_for(tmp_path, make_set(tmp_path / "set", 1), optimizer="adamw8bit")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"--optimizer adamw8bit needs bitsandbytes \(pip install bitsandbytes\)"):
            train(settings)
    else:
        assert type(train(replace(settings, steps=1)).optimizer).__name__ == "AdamW8bit"
