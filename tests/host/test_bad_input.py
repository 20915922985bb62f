"""Bad input: an error that names the file or the shape and the next step, or correct work."""

import json
import math
import pickle
import shutil

import comfy.clip_vision
import golden
import pipeline
import pytest
import torch
from safetensors.torch import load_file, save_file

from face_anonymizer import nodes as pack
from face_anonymizer.modules.model import ddpm, loading


@pytest.fixture(scope="module")
def tiny():
    return pipeline.load_tiny()


@pytest.fixture(scope="module")
def images():
    return pipeline.face_images(3, 64)


@pytest.fixture(scope="module")
def inputs(tiny, images) -> dict:
    """Everything of one face, which no test changes."""
    with torch.inference_mode():
        return pipeline.references(tiny, images[:1], images[:1])


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny model that a test may spoil."""
    return shutil.copytree(golden.TINY, tmp_path / "spoiled")


def refused(folder, *words, **arguments):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        loading.load_model_folder(folder, **arguments)
    message = str(error.value)
    for word in words:
        assert str(word) in message, f"{word!r} is not in: {message}"


@pytest.mark.parametrize("part", ["unet", "referencenet", "conditioning_referencenet", "vae", "image_encoder"])
def test_missing_folder(folder, part):
    shutil.rmtree(folder / part)
    refused(folder, folder / part, "get_models.py")


def test_missing_weights(folder):
    (folder / "referencenet" / "diffusion_pytorch_model.safetensors").unlink()
    refused(folder, folder / "referencenet", "diffusion_pytorch_model.safetensors")


def test_truncated_weights(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:100_000])
    refused(folder, file, "cut off", "download it again")


def test_pickle_is_refused_unopened(folder, tmp_path):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.unlink()
    opened = tmp_path / "opened"

    class Bomb:
        def __reduce__(self):
            return (open, (str(opened), "w"))

    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    refused(folder, "diffusion_pytorch_model.bin", "pickle", "safetensors")
    (tmp_path / "clip.pt").write_bytes(pickle.dumps(Bomb()))
    refused(golden.TINY, tmp_path / "clip.pt", "pickle", clip_vision=tmp_path / "clip.pt")
    assert not opened.exists()


def test_config_that_is_no_json(folder):
    (folder / "unet" / "config.json").write_text("<html>404</html>")
    refused(folder, folder / "unet" / "config.json", "JSON")


def test_sd15_unet(folder):
    """An SD1.5 config: 768 wide context, 8 heads, convolutions around the transformers."""
    config = json.loads((folder / "unet" / "config.json").read_text())
    config.update(cross_attention_dim=768, attention_head_dim=8, use_linear_projection=False)
    config.update(block_out_channels=[320, 640, 1280, 1280], layers_per_block=2)
    for network in ("unet", "referencenet", "conditioning_referencenet"):
        (folder / network / "config.json").write_text(json.dumps(config))
    refused(folder, "64", "768", "image encoder")


def test_sdxl_unet(folder):
    config = json.loads((folder / "unet" / "config.json").read_text())
    config["addition_embed_type"] = "text_time"
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    refused(folder, folder / "unet" / "config.json", "addition_embed_type")


def test_networks_of_two_models(folder):
    config = json.loads((folder / "referencenet" / "config.json").read_text())
    config["layers_per_block"] = 2
    (folder / "referencenet" / "config.json").write_text(json.dumps(config))
    refused(folder, folder / "referencenet" / "config.json", "another architecture")


def test_weights_of_another_width(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_in.weight"] = torch.zeros(64, 4, 3, 3)
    save_file(weights, file)
    refused(folder, folder / "unet", "(64, 4, 3, 3)", "(32, 4, 3, 3)")


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_every_tensor_is_used_and_every_parameter_filled(folder, change):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    if change == "missing":
        del weights["mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"]
    else:
        weights["controlnet_cond_embedding.weight"] = torch.zeros(1)
    save_file(weights, file)
    refused(folder, folder / "unet", "attn1.to_q.weight" if change == "missing" else "controlnet_cond_embedding.weight")


def test_vit_h_encoder(folder):
    config = json.loads((folder / "image_encoder" / "config.json").read_text())
    config.update(hidden_size=80, intermediate_size=160)  # ViT-H is 1280 wide where 1024 are needed
    encoder = comfy.clip_vision.ClipVisionModel(config)
    weights = {
        k: v.contiguous() for k, v in encoder.model.state_dict().items() if not k.startswith("visual_projection")
    }
    save_file(weights, folder / "image_encoder" / "model.safetensors")
    (folder / "image_encoder" / "config.json").write_text(json.dumps(config))
    refused(folder, "80", "64", "ViT-L/14")


def test_unknown_routing_and_resolution(folder):
    (folder / "face_anon.json").write_text('{"routing": "sideways"}')
    refused(folder, "sideways", "block_first", "face_anon.json")
    (folder / "face_anon.json").write_text('{"resolution": 100}')
    refused(folder, "100", "multiple of 8")


def test_unknown_prediction_type(folder):
    (folder / "scheduler" / "scheduler_config.json").write_text('{"prediction_type": "sample"}')
    refused(folder, "scheduler_config.json", "sample")


def test_unknown_model_name():
    pack.register_model_folder()
    message = pack.FaceAnonLoadModel.validate_inputs("nowhere")
    assert "nowhere" in message and "face_anon" in message and "get_models.py" in message
    assert pack.FaceAnonLoadModel.validate_inputs(None) is True, "a linked name cannot be judged before it is there"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pack.FaceAnonLoadModel.execute("nowhere", loading.FROM_MODEL_FOLDER, loading.FROM_MODEL_FOLDER)
    for odd in (None, 5, ["demo"], "esc\x1b[2J"):
        with pytest.raises(FileNotFoundError, match=r"There is no model .*get_models") as refused:
            pack.FaceAnonLoadModel.execute(odd, loading.FROM_MODEL_FOLDER, loading.FROM_MODEL_FOLDER)
        assert "\x1b" not in str(refused.value)


def test_fp16_variant_and_shards_load(folder, images, tiny):
    expected = pipeline.anonymize(tiny, images[:1], steps=2)
    unet = folder / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.fp16.safetensors")
    net = folder / "referencenet"
    weights = load_file(net / "diffusion_pytorch_model.safetensors")
    (net / "diffusion_pytorch_model.safetensors").unlink()
    names, shards = sorted(weights), {}
    for i, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"diffusion_pytorch_model-{i:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, net / file)
        shards.update(dict.fromkeys(part, file))
    index = net / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    model = loading.load_model_folder(folder)
    assert torch.equal(pipeline.anonymize(model, images[:1], steps=2), expected)
    (net / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    refused(folder, index, "diffusion_pytorch_model-00002-of-00002.safetensors")


def test_batches_of_two_and_three(tiny, images):
    two = pipeline.references(tiny, images[:2], images[:2])
    three = pipeline.references(tiny, images, images)
    mixed = {**three, "source_states": two["source_states"], "source_embeds": two["source_embeds"]}
    with pytest.raises(ValueError, match=r"source_states 2.*driving_states 3"):
        pack.FaceAnonApply.execute(**mixed)
    latent = {"samples": torch.zeros(3, 4, 8, 8)}
    with pytest.raises(ValueError, match=r"latent 3.*embeds 2"):
        pack.FaceAnonSourceReference.execute(tiny.source_reference_net, latent, two["source_embeds"])


def test_latents_of_different_sizes(tiny):
    inputs = pipeline.references(tiny, pipeline.face_images(1, 128), pipeline.face_images(1, 64)[:1])
    with pytest.raises(ValueError, match=r"16x16.*8x8"):
        pack.FaceAnonApply.execute(**inputs)


def test_a_latent_of_another_size_or_batch_in_the_sampler(tiny, images):
    import nodes as host_nodes

    patched, positive, negative, _ = pack.FaceAnonApply.execute(
        **pipeline.references(tiny, images[:2], images[:2])
    ).result
    for shape, words in (((2, 4, 16, 16), "8x8 latent pixels"), ((3, 4, 8, 8), "batch 3")):
        with pytest.raises(ValueError, match=words):
            host_nodes.common_ksampler(
                patched, 0, 1, 4.0, "euler", "normal", positive, negative, {"samples": torch.zeros(shape)}
            )


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_rgba_images(tiny, images, channels):
    """Gray is the picture three times, alpha is dropped."""
    image = images[:1, ..., :1] if channels == 1 else torch.cat([images[:1], torch.rand(1, 64, 64, 1)], dim=-1)
    rgb = image.expand(-1, -1, -1, 3) if channels == 1 else image[..., :3]
    embeds, expected = (pack.FaceAnonEncodeImage.execute(tiny.clip_vision, i, 0.0)[0].embeds for i in (image, rgb))
    assert torch.equal(embeds, expected)


def test_image_of_one_pixel(tiny):
    embeds = pack.FaceAnonEncodeImage.execute(tiny.clip_vision, torch.full((1, 1, 1, 3), 0.5), 0.0)[0].embeds
    assert embeds.shape == (1, 1, 64) and torch.isfinite(embeds).all()


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 8, 8, 2), (8, 8, 3)])
def test_empty_batch_and_odd_shapes(tiny, shape):
    with pytest.raises(ValueError, match=str(list(shape)).strip("[]")):
        pack.FaceAnonEncodeImage.execute(tiny.clip_vision, torch.zeros(shape), 0.0)


def test_empty_latent_batch(tiny, images):
    embeds = pack.FaceAnonEncodeImage.execute(tiny.clip_vision, images[:1], 0.0)[0]
    with pytest.raises(ValueError, match="latent 0"):
        pack.FaceAnonSourceReference.execute(tiny.source_reference_net, {"samples": torch.zeros(0, 4, 16, 16)}, embeds)


def test_a_video_latent(tiny, images):
    embeds = pack.FaceAnonEncodeImage.execute(tiny.clip_vision, images[:1], 0.0)[0]
    with pytest.raises(ValueError, match=r"\(1, 16, 1, 8, 8\).*4"):
        pack.FaceAnonSourceReference.execute(
            tiny.source_reference_net, {"samples": torch.zeros(1, 16, 1, 8, 8)}, embeds
        )


@pytest.mark.parametrize("degree", [math.nan, math.inf])
def test_degree_that_is_no_number(tiny, images, degree):
    with pytest.raises(ValueError, match="degree is"):
        pack.FaceAnonEncodeImage.execute(tiny.clip_vision, images, degree)
    states = pipeline.references(tiny, images[:1], images[:1], degree=0.0)["source_states"]
    with pytest.raises(ValueError, match="degree is"):
        pack.FaceAnonInterpolateStates.execute(states, degree)


@pytest.mark.parametrize("steps", [-1, 1001])
def test_steps_out_of_range(steps, tiny, images):
    with pytest.raises(ValueError, match=f"steps is {steps}"):
        ddpm.Schedule.of(steps)
    schema = pack.FaceAnonDDPMSampler.define_schema()
    allowed = next(i for i in schema.inputs if i.id == "steps")
    assert not allowed.min <= steps <= allowed.max, "the host would let it through"


def test_connections_that_are_swapped(tiny, images, inputs):
    swapped = {**inputs, "source_states": inputs["driving_states"], "driving_states": inputs["source_states"]}
    with pytest.raises(ValueError, match="Swap"):
        pack.FaceAnonApply.execute(**swapped)
    latent = {"samples": tiny.vae.encode(images[:1])}
    with pytest.raises(ValueError, match="driving ReferenceNet"):
        pack.FaceAnonSourceReference.execute(tiny.driving_reference_net, latent, inputs["driving_embeds"])
    with pytest.raises(ValueError, match="degree 0"):
        pack.FaceAnonDrivingReference.execute(tiny.driving_reference_net, latent, inputs["source_embeds"])
    with pytest.raises(ValueError, match="degree 0"):
        pack.FaceAnonApply.execute(**{**inputs, "driving_embeds": inputs["source_embeds"]})


def test_interpolating_twice_or_the_driving_states(inputs):
    with pytest.raises(ValueError, match="Interpolate once"):
        pack.FaceAnonInterpolateStates.execute(inputs["source_states"], 1.0)
    with pytest.raises(ValueError, match="driving"):
        pack.FaceAnonInterpolateStates.execute(inputs["driving_states"], 1.0)


def test_embedding_of_another_encoder(tiny, images, inputs):
    from face_anonymizer.modules.model.states import ImageEmbeds

    wide = ImageEmbeds(torch.zeros(1, 1, 1280))
    with pytest.raises(ValueError, match=r"1280 wide.*64"):
        pack.FaceAnonSourceReference.execute(tiny.source_reference_net, {"samples": tiny.vae.encode(images[:1])}, wide)
    with pytest.raises(ValueError, match=r"64.*1280"):
        pack.FaceAnonApply.execute(**{**inputs, "source_embeds": wide})


def test_crops_of_another_size_than_the_model_was_trained_at_are_warned_of(tiny, caplog):
    pipeline.references(tiny, pipeline.face_images(1, 128), pipeline.face_images(1, 128))
    assert "trained at" not in caplog.text
    pipeline.references(tiny, pipeline.face_images(1, 64), pipeline.face_images(1, 64))
    assert "64x64" in caplog.text and "trained at 128" in caplog.text


@pytest.mark.parametrize(
    ("of_states", "interpolated", "of_context"),
    [(0.0, 1.25, 0.0), (1.25, 0.0, 1.25), (1.25, 1.25, 0.0), (0.0, 1.25, 1.25), (1.25, 1.2, 1.25)],
)
def test_a_degree_that_was_forgotten_in_one_place(tiny, images, of_states, interpolated, of_context):
    """Each of these keeps a part of the source's identity (docs/evaluation.md, ablation)."""
    image = images[:1]
    latent = {"samples": tiny.vae.encode(image)}
    embeds = {d: pack.FaceAnonEncodeImage.execute(tiny.clip_vision, image, d)[0] for d in (0.0, of_states, of_context)}
    states = pack.FaceAnonSourceReference.execute(tiny.source_reference_net, latent, embeds[of_states])[0]
    inputs = {
        "model": tiny.unet,
        "source_states": pack.FaceAnonInterpolateStates.execute(states, interpolated)[0],
        "driving_states": pack.FaceAnonDrivingReference.execute(tiny.driving_reference_net, latent, embeds[0.0])[0],
        "source_embeds": embeds[of_context],
        "driving_embeds": embeds[0.0],
    }
    said = f"{interpolated:g} in Interpolate States, {of_states:g} in the .* {of_context:g} in the .*source_embeds"
    for node in (pack.FaceAnonApply, pack.FaceAnonDDPMSampler):
        with pytest.raises(ValueError, match=said):
            node.execute(**inputs)


@pytest.fixture(scope="module")
def of_two_models(images, inputs, tmp_path_factory):
    """References of the same face by two models, alike in every number, and the folder of the second."""
    folder = shutil.copytree(golden.TINY, tmp_path_factory.mktemp("two") / "other")
    with torch.inference_mode():
        other = pipeline.references(loading.load_model_folder(folder), images[:1], images[:1])
        pack.FaceAnonApply.execute(**other)
        return inputs, other, folder


@pytest.mark.parametrize("part", ["model", "source_states", "driving_states", "source_embeds", "driving_embeds"])
def test_parts_of_two_models(of_two_models, part):
    """Only their folders tell them apart."""
    inputs, other, folder = of_two_models
    for node in (pack.FaceAnonApply, pack.FaceAnonDDPMSampler):
        with pytest.raises(ValueError, match="different models") as error:
            node.execute(**{**inputs, part: other[part]})
        assert str(golden.TINY) in str(error.value) and str(folder) in str(error.value)


def test_a_model_of_another_loader(tiny, inputs, monkeypatch):
    """Stable Diffusion 2.1 itself has the published architecture."""
    monkeypatch.delattr(tiny.unet.model, "face_anon_folder")
    with pytest.raises(ValueError, match=r"MODEL of an unknown model, source_states of .*FaceAnonLoadModel"):
        pack.FaceAnonApply.execute(**inputs)


def test_one_model_by_two_ways(folder, images, tmp_path):
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    one, other = (loading.load_model_folder(path) for path in (folder, tmp_path / "link"))
    inputs = pipeline.references(one, images[:1], images[:1])
    pack.FaceAnonApply.execute(**{**inputs, "model": other.unet})


@pytest.mark.parametrize("as_file", [True, False])
def test_vit_l_336_encoder(folder, as_file, tmp_path, monkeypatch):
    """As wide as the ViT-L of 224 pixels, which the published model was trained with."""
    config = {
        **{"model_type": "clip_vision_model", "hidden_size": 1024, "num_hidden_layers": 24, "hidden_act": "quick_gelu"},
        **{"intermediate_size": 8, "num_attention_heads": 16, "image_size": 336, "patch_size": 14, "num_channels": 3},
        **{"projection_dim": 768, "layer_norm_eps": 1e-5},
    }
    encoder = comfy.clip_vision.ClipVisionModel(config)
    path = tmp_path / "clip_vit_l_336.safetensors"
    loading.check_image_encoder(encoder, 1024, path, own=True)
    with pytest.raises(ValueError, match=r"336.*not its version of 336 pixels") as error:
        loading.check_image_encoder(encoder, 1024, path)
    assert str(path) in str(error.value)
    # the loader asks, and says whether the encoder is the model's own
    asked = []
    monkeypatch.setattr(loading, "check_image_encoder", lambda *arguments: asked.append(arguments[1:]))
    encoder_path = folder / "image_encoder"
    (folder / "face_anon.json").unlink()
    loading.load_model_folder(folder)
    (folder / "face_anon.json").write_text("{}")
    loading.load_model_folder(folder, clip_vision=encoder_path if as_file else None)
    assert asked == [(64, encoder_path, False), (64, encoder_path, not as_file)]
