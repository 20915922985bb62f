"""The forward pass of training against that of inference, on the same weights. Run with -s to see the differences."""

import json
import shutil

import golden
import pytest
import torch
from diffusers import DDPMScheduler
from pipeline import face_images
from plain_run import rest_is_long

from face_anonymizer.modules.model import checkpoint, ddpm, loading
from face_anonymizer.modules.model.attention import ReferenceAttention
from face_anonymizer.modules.model.diffusers_engine.encoders import Encoders
from face_anonymizer.modules.model.diffusers_engine.engine import DiffusersEngine
from face_anonymizer.modules.model.diffusers_engine.networks import ATTENTION, load_networks
from face_anonymizer.modules.model.embedding import encode_image
from face_anonymizer.modules.model.painting import anonymize_crops, swap_crops
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.sampling import sample
from face_anonymizer.modules.model.settings import PaintSettings, SamplerSettings
from face_anonymizer.modules.model.states import ImageEmbeds
from face_anonymizer.modules.training.batches import Batch
from face_anonymizer.modules.training.export import export_model
from face_anonymizer.modules.training.objective import training_scheduler
from face_anonymizer.modules.training.validation import sample_swaps

BOUND = 1e-5
PICTURE_BOUND = 2e-5  # of what both engines paint; measured: 9.1e-6
ROUTINGS = checkpoint.ROUTINGS


def model_folder(folder, routing):
    shutil.copytree(golden.TINY, folder, dirs_exist_ok=True)
    (folder / "face_anon.json").write_text(json.dumps({"routing": routing, "resolution": 128}))
    return folder


def load_both(folder):
    """The model of a folder on the inference side and on the training side."""
    routing = checkpoint.read_settings(folder).routing
    return loading.load_model_folder(folder), load_networks(
        [folder / name for name in checkpoint.NETWORKS], routing, ATTENTION
    )


def some_batch(count=2):
    """Of 16x16 latents: of 8x8 the deepest level is one pixel, and a group norm of two values has no digits left."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(count, 4, 16, 16)] * 3 + [(count, 1, 64)] * 2
    return Batch(*(torch.randn(shape, generator=generator) for shape in shapes))


def report(what, worst, bound=BOUND):
    print(f"\n{what}: {worst:.2e} (bound {bound:.0e})", end="")
    assert worst <= bound, what


def inference_states(model, batch):
    source = model.source_reference_net.states(batch.source_latents / golden.SCALE, ImageEmbeds(batch.source_embeds))
    driving = model.driving_reference_net.states(
        batch.driving_latents / golden.SCALE, ImageEmbeds(batch.driving_embeds)
    )
    return source, driving


@pytest.mark.parametrize("routing", ROUTINGS)
def test_forward(tmp_path, routing):
    """Both halves of the guidance at two timesteps; draws of one triple share its states."""
    model, networks = load_both(model_folder(tmp_path, routing))
    batch = some_batch()
    noisy = torch.cat([batch.truth_latents, 0.5 * batch.truth_latents])
    timesteps = torch.tensor([981.0, 981.0, 20.0, 20.0])
    attention = ReferenceAttention(*inference_states(model, batch))
    nothing = torch.zeros_like(batch.source_embeds)
    triples = {
        "conditional": (0, batch.source_latents, batch.source_embeds),
        "unconditional": (1, torch.zeros_like(batch.source_latents), nothing),
    }
    for half, (number, source_latents, source_embeds) in triples.items():
        context = torch.cat([source_embeds, batch.driving_embeds], dim=1)
        options = {"patches": {"attn1_patch": [attention]}, "cond_or_uncond": [number]}
        theirs = torch.cat(
            [
                model.unet.model.diffusion_model(x, times, context=context, transformer_options=dict(options))
                for x, times in zip(noisy.chunk(2), timesteps.chunk(2), strict=True)
            ]
        )
        # the two draws of a triple stand side by side
        side_by_side = [0, 2, 1, 3]
        references = (source_latents, batch.driving_latents, source_embeds, batch.driving_embeds)
        ours = networks(noisy[side_by_side], timesteps[side_by_side], references)[side_by_side]
        report(f"{routing}, {half}", golden.relative(ours, theirs))


def test_routings_differ():
    """Else the test above would say nothing of them."""
    batch = some_batch()
    given = (batch.source_latents, batch.driving_latents, batch.source_embeds, batch.driving_embeds)
    first, second = (
        load_networks([golden.TINY / name for name in checkpoint.NETWORKS], routing, ATTENTION)(
            batch.truth_latents, torch.tensor([500, 500]), given
        )
        for routing in ROUTINGS
    )
    assert golden.relative(first, second) > 1e-3


def test_encoders():
    """VAE and image encoder of one folder, on pictures."""
    images = face_images(2, 64)
    model = loading.load_model_folder(golden.TINY)
    encoders = Encoders(golden.TINY / "vae", golden.TINY / "image_encoder")
    pictures = (images * 255).round().to(torch.uint8)
    images = pictures.float() / 255
    report("latents", golden.relative(encoders.latents(pictures), model.vae.encode(images) * golden.SCALE))
    theirs = encode_image(model.clip_vision, images, 0.0).embeds
    report("embedding", golden.relative(encoders.embeds(encoders.clip_input(pictures)), theirs))


MODELS = list(zip(ROUTINGS, ("v_prediction", "epsilon"), strict=True))


@pytest.mark.parametrize(("routing", "prediction"), rest_is_long(MODELS, MODELS[0]))
def test_exported_model_is_loaded_and_sampled(tmp_path, routing, prediction):
    """What validation shows of a training is what the sampler node makes of its model folder."""
    networks = load_networks([golden.TINY / name for name in checkpoint.NETWORKS], routing, ATTENTION)
    encoders = Encoders(golden.TINY / "vae", golden.TINY / "image_encoder")
    averages = {"unet.conv_out.bias": networks.unet.conv_out.bias.detach() + 0.1}
    export_model(
        tmp_path / "model",
        networks,
        averages,
        encoders,
        checkpoint.ModelSettings(routing=routing, resolution=128),
        prediction=prediction,
    )
    networks.load_state_dict(averages, strict=False)
    model = loading.load_model_folder(tmp_path / "model")
    assert model.source_reference_net.resolution == 128
    batch = some_batch()
    sampler = SamplerSettings(steps=2)
    ours = sample_swaps(DiffusersEngine(networks, encoders, prediction, 128), batch, sampler) / golden.SCALE
    embeds = [ImageEmbeds(part) for part in (batch.source_embeds, batch.driving_embeds)]
    # validation has seed 1 for its first triple
    references = References(*inference_states(model, batch), *embeds)
    theirs = sample(model.unet, references, [1, 2], sampler)
    report(f"{routing}, {prediction}, sampled", golden.relative(ours, theirs))


def test_both_engines_paint_the_same():
    """The method is written once: crops through ComfyUI's models and through diffusers'."""
    model, networks = load_both(golden.TINY)
    encoders = Encoders(golden.TINY / "vae", golden.TINY / "image_encoder")
    engine = DiffusersEngine(networks, encoders, "v_prediction", model.resolution)
    crops = face_images(3)
    guided = SamplerSettings(steps=2, guidance_scale=4.0, guidance_to=0.4)  # of two steps, the first is guided
    settings = PaintSettings(1.25, 3, guided, faces_at_once=2)
    ours, theirs = (anonymize_crops(one, crops, [0, 5, 1], settings) for one in (engine, model))
    report("anonymized, degree 1.25, guidance 4", golden.relative(ours, theirs), PICTURE_BOUND)
    settings = PaintSettings(0.0, 3, SamplerSettings(steps=2, guidance_scale=1.0), faces_at_once=2)
    ours, theirs = (swap_crops(one, crops[:1], crops[1:], [5, 1], settings) for one in (engine, model))
    report("swapped, degree 0, guidance 1", golden.relative(ours, theirs), PICTURE_BOUND)


def test_scheduler_of_the_export_is_the_samplers(tmp_path):
    training_scheduler("v_prediction").save_config(tmp_path / "scheduler")
    assert checkpoint.read_prediction_type(tmp_path) == "v_prediction"
    kept = DDPMScheduler.from_pretrained(tmp_path / "scheduler")
    assert torch.equal(kept.alphas_cumprod, ddpm.Schedule.of(10).alphas_cumprod)
