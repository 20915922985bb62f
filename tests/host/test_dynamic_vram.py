"""The method under dynamic VRAM, ComfyUI's default on NVIDIA cards: as in the plain mode, leaving nothing behind."""

import gc
import weakref

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import golden
import pipeline
import pytest
import torch
from dynamic_vram import dynamic_vram
from plain_run import rest_is_long

import nodes as host_nodes
from face_anonymizer import nodes as pack
from face_anonymizer.modules.host import detector
from face_anonymizer.modules.model import checkpoint, loading
from face_anonymizer.modules.model.memory import recorded_at_once, sampled_at_once
from face_anonymizer.modules.model.states import SOURCE, ReferenceStates

# A stand-in for a card; on a machine that has one, the other tests run under the host's own memory management.
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real card")

DEMO = checkpoint.PACK_MODELS / checkpoint.DEMO


@pytest.fixture(scope="module")
def images():
    return pipeline.face_images(2, 64)


def run(model, images) -> dict[str, torch.Tensor]:
    """Latents of two anonymized faces, by each sampler."""
    inputs = pipeline.references(model, images, images)
    ddpm = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=2, guidance_scale=4.0)[0]["samples"]
    return {"ddpm": ddpm, "ksampler": ksampler(model.unet, inputs)}


def ksampler(model, inputs, guidance: float = 4.0) -> torch.Tensor:
    patched, positive, negative, latent = pack.FaceAnonApply.execute(**{**inputs, "model": model}).result
    samples = host_nodes.common_ksampler(patched, 3, 2, guidance, "dpmpp_2m", "karras", positive, negative, latent)
    return samples[0]["samples"]


def patchers(model) -> list:
    networks = (model.source_reference_net, model.driving_reference_net, model.clip_vision, model.vae)
    return [model.unet, *(network.patcher for network in networks)]


def load(weight_dtype: str = "default", folder=None):
    model = loading.load_model_folder(folder or pipeline.least_folder(), weight_dtype=weight_dtype)
    assert all(patcher.is_dynamic() for patcher in patchers(model))
    return model


@pytest.fixture(scope="module")
def plain(images):
    """What the plain mode makes: sampler -> latents."""
    model = pipeline.load_least()
    assert not any(patcher.is_dynamic() for patcher in patchers(model))
    with torch.inference_mode():
        return run(model, images)


@pytest.mark.parametrize("resident", rest_is_long([True, False], False), ids=["resident", "on a full card"])
def test_samplers_equal_the_plain_mode(images, plain, resident):
    """And a second run the first: at once where all stays on the card, after an unload where nothing does."""
    with dynamic_vram(resident):
        model = load()
        first = run(model, images)
        if not resident:
            comfy.model_management.unload_all_models()
        again = run(model, images)
    for sampler, expected in plain.items():
        difference = golden.relative(first[sampler], expected)
        print(f"\n{sampler}: {difference:.1e} from the plain mode")
        assert difference < 1e-6
        assert torch.equal(again[sampler], first[sampler])


@pytest.mark.parametrize("folder", rest_is_long([golden.TINY, DEMO], golden.TINY), ids=["tiny", "demo"])
def test_states_equal_the_plain_mode(folder):
    size = checkpoint.read_settings(folder).resolution
    image = pipeline.face_images(1, size)

    def states(model):
        embeds = pack.FaceAnonEncodeImage.execute(model.clip_vision, image, 1.25)[0]
        latent = {"samples": model.vae.encode(image)}
        return pack.FaceAnonSourceReference.execute(model.source_reference_net, latent, embeds)[0], embeds.embeds

    expected, expected_embeds = states(loading.load_model_folder(folder))
    with dynamic_vram():
        found, embeds = states(load(folder=folder))
    assert golden.relative(embeds, expected_embeds) < 1e-6
    for half in ("conditional", "unconditional"):
        ours, theirs = getattr(found, half), getattr(expected, half)
        assert max(golden.relative(ours[layer], theirs[layer]) for layer in theirs) < 1e-6


def test_missing_and_misshapen_tensors_are_still_noticed(tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copytree(golden.TINY / "unet", file.parent)
    tensors = load_file(file)
    linear = next(name for name in tensors if name.endswith("attn1.to_q.weight"))
    with dynamic_vram():
        for wrong, message in (
            ({**tensors, linear: tensors[linear][:, :-1].contiguous()}, r"is \(\d+, \d+\), config.json asks for"),
            ({name: tensor for name, tensor in tensors.items() if name != linear}, "1 tensors are missing"),
        ):
            save_file(wrong, file)
            with pytest.raises(ValueError, match=message):
                loading.load_unet(tmp_path, "unet")


def test_lora_changes_the_result_and_leaves_the_weights(images):
    # one above 16 KiB, as most of a real model: smaller ones the host loads at once, rounded to the file's dtype
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj"
    generator = torch.Generator().manual_seed(0)
    lora = {
        f"{key}.lora_up.weight": torch.randn(512, 4, generator=generator),
        f"{key}.lora_down.weight": torch.randn(4, 64, generator=generator),
        f"{key}.alpha": torch.tensor(4.0),
    }

    def both(model):
        # a swap without guidance: the null states would magnify the rounding of the patched weight
        inputs = pipeline.references(model, images[:1], images[1:], degree=0.0)
        base = ksampler(model.unet, inputs, guidance=1.0)
        changed, _ = comfy.sd.load_lora_for_models(model.unet, None, lora, 1.0, 0.0)
        with_lora = ksampler(changed, inputs, guidance=1.0)
        assert torch.equal(ksampler(model.unet, inputs, guidance=1.0), base), "the LoRA stayed in the weights"
        return base, with_lora

    base, expected = both(pipeline.load_least())
    with dynamic_vram():
        _, found = both(load())
    changed, difference = golden.relative(expected, base), golden.relative(found, expected)
    print(f"\nLoRA: changes {changed:.1e}, {difference:.1e} from the plain mode")
    assert changed > 1e-4
    assert difference < 1e-6


def swap(model, images) -> torch.Tensor:
    return ksampler(model.unet, pipeline.references(model, images[:1], images[1:], degree=0.0), guidance=1.0)


@pytest.fixture(scope="module")
def exact(images) -> torch.Tensor:
    """The swap in the plain mode, in full precision."""
    with torch.inference_mode():
        return swap(pipeline.load_least("fp32"), images)


# bf16 is as fp16, and in the plain mode it has its row in test_nodes.py
@pytest.mark.parametrize("weight_dtype", rest_is_long(["fp32", "fp16", "fp8_e4m3fn"], "fp8_e4m3fn"))
def test_weight_dtypes_are_as_near_to_full_precision_as_in_the_plain_mode(images, exact, weight_dtype):
    """Not equal: the file's weights stay as they are, in half precision, and some are used without being rounded."""
    expected = swap(pipeline.load_least(weight_dtype), images)
    with dynamic_vram():
        found = swap(load(weight_dtype), images)
    plain_error, error = golden.relative_norm(expected, exact), golden.relative_norm(found, exact)
    print(f"\n{weight_dtype}: {error:.1e} from full precision, plain mode {plain_error:.1e}")
    assert error <= plain_error + 1e-6


@pytest.mark.parametrize("weight_dtype", ["default", "fp8_e4m3fn"])
def test_as_many_faces_at_once_as_in_the_plain_mode(monkeypatch, weight_dtype):
    """There the host's estimates are padded by a GiB and a third, and the size of a model is that of its file."""
    shape, room = (4, 64, 64), 1 << 32
    states = ReferenceStates(SOURCE, {("input", 1, 0): torch.zeros(1, 4096, 320)}, {}, {}, (64, 64))
    monkeypatch.setattr(comfy.model_management, "get_total_memory", lambda _: room)

    def chosen(model) -> tuple[int, int]:
        patcher = model.source_reference_net.patcher
        monkeypatch.setattr(patcher, "get_free_memory", lambda _: room)
        monkeypatch.setattr(model.unet, "offload_device", None)  # as on a card, where it is another one
        return sampled_at_once(model.unet, shape, (states,)), recorded_at_once(patcher, shape)

    expected = chosen(pipeline.load_least(weight_dtype))
    with dynamic_vram():
        found = chosen(load(weight_dtype))
    print(f"\n{weight_dtype}: {found} faces at once, plain mode {expected}")
    assert found == expected and min(found) > 1


def test_faces_are_found_as_in_the_plain_mode(monkeypatch):
    image = pipeline.face_images(1, 256)
    expected = pack.FaceAnonDetectFaces.execute(image)[0]
    dynamic, load_models_gpu = [], comfy.model_management.load_models_gpu

    def look(models, *arguments, **options):
        dynamic.extend(patcher.is_dynamic() for patcher in models)
        return load_models_gpu(models, *arguments, **options)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", look)
    monkeypatch.setattr(detector, "_may_stay", lambda device: False)  # as on a card
    with dynamic_vram():
        found = pack.FaceAnonDetectFaces.execute(image)[0]
    assert dynamic == [True]
    assert len(found) == len(expected) == 1
    assert abs(found.faces[0].box - expected.faces[0].box).max() < 1e-3


def test_the_host_makes_the_network_anew_without_dynamic_vram(images):
    """As Select Model Device and TorchCompile do (comfy/model_patcher.py, cached_patcher_init)."""
    with dynamic_vram():
        model = load()
        plain_unet = model.unet.clone(disable_dynamic=True)
        assert not plain_unet.is_dynamic() and model.unet.is_dynamic()
        inputs = pipeline.references(model, images, images)
        assert golden.relative(ksampler(plain_unet, inputs), ksampler(model.unet, inputs)) < 1e-6


@pytest.mark.long  # as in the plain mode, in test_nodes.py
def test_memory_returns_to_its_baseline(images):
    def held():
        comfy.model_management.unload_all_models()
        comfy.model_management.cleanup_models()
        gc.collect()
        return sum(o.nbytes for o in gc.get_objects() if isinstance(o, torch.Tensor))

    def run_once():
        model = load()
        run(model, images)
        return weakref.ref(model.unet.model)

    with dynamic_vram():
        run_once()  # what the host keeps once for good
        before = held()
        reference = run_once()
        after = held()
        assert reference() is None, "something holds the model"
        assert after == before
