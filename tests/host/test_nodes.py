"""The nodes in a real ComfyUI: repeatable, independent in a batch, composing, leaving nothing behind."""

import contextlib
import gc
import weakref

import comfy.model_management
import comfy.samplers
import comfy.sd
import comfy.supported_models_base
import comfy.utils
import golden
import latent_preview
import pipeline
import pytest
import torch
from test_parity import sample_with_noises

import nodes as host_nodes
from face_anonymizer import nodes as pack
from face_anonymizer.modules.checking import parity
from face_anonymizer.modules.model import ddpm, sampling
from face_anonymizer.modules.model.progress import JobProgress, LatentPictures
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.sampling import Applied
from face_anonymizer.modules.model.settings import SamplerSettings


@pytest.fixture(scope="module")
def images():
    return pipeline.face_images(2, pipeline.LEAST_SIZE)


def ksampler(model, inputs, seed=3, steps=4, sampler="dpmpp_2m", scheduler="karras", cfg=4.0, denoise=1.0):
    patched, positive, negative, latent = pack.FaceAnonApply.execute(**{**inputs, "model": model}).result
    how = (seed, steps, cfg, sampler, scheduler, positive, negative, latent, denoise)
    return host_nodes.common_ksampler(patched, *how)[0]["samples"]


def test_batch_of_two_is_two_singles(least, images):
    both = pipeline.anonymize(least, images, seed=7)
    singles = [pipeline.anonymize(least, images[i : i + 1], seed=7 + i) for i in (0, 1)]
    worst = golden.relative(both, torch.cat(singles))
    print(f"\nbatch of two against two singles: {worst:.1e}")
    assert worst < 2e-5
    assert golden.relative(both[:1], both[1:]) > 0.1, "two faces came out alike"


def test_a_crowd_goes_through_in_parts(least, images, monkeypatch):
    inputs = pipeline.references(least, images[:1], pipeline.face_images(3, pipeline.LEAST_SIZE), degree=0.0)
    together = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=3)[0]["samples"]
    shown = []
    monkeypatch.setattr(sampling, "sampled_at_once", lambda *_: 2)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, *_, **__: shown.append((value, total)))
    in_parts = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=3)[0]["samples"]
    assert golden.relative(in_parts, together) < 2e-5
    assert shown[-1] == (6, 6)


def test_one_source_serves_a_batch_of_driving_faces(least, images):
    inputs = pipeline.references(least, images[:1], images, degree=0.0)
    both = pack.FaceAnonDDPMSampler.execute(**inputs, seed=1, steps=3)[0]["samples"]
    single_inputs = pipeline.references(least, images[:1], images[1:], degree=0.0)
    second = pack.FaceAnonDDPMSampler.execute(**single_inputs, seed=2, steps=3)[0]["samples"]
    assert golden.relative(both[1:], second) < 2e-5


def test_references_of_one_face_serve_several_variations(least, images):
    inputs = pipeline.references(least, images[:1], images[:1])
    patched, positive, negative, latent = pack.FaceAnonApply.execute(**inputs).result
    four = {"samples": latent["samples"].repeat(4, 1, 1, 1)}
    samples = host_nodes.common_ksampler(patched, 1, 3, 4.0, "euler", "normal", positive, negative, four)[0]["samples"]
    assert samples.shape[0] == 4 and golden.relative(samples[:1], samples[1:2]) > 0.1


def test_second_run_and_run_after_unload_are_the_first(least, images):
    first = pipeline.anonymize(least, images)
    assert torch.equal(pipeline.anonymize(least, images), first)
    comfy.model_management.unload_all_models()
    assert torch.equal(pipeline.anonymize(least, images), first)


def test_degree_zero_leaves_the_states_untouched(least, images):
    embeds = pack.FaceAnonEncodeImage.execute(least.clip_vision, images, 0.0)[0]
    latent = {"samples": least.vae.encode(images)}
    states = pack.FaceAnonSourceReference.execute(least.source_reference_net, latent, embeds)[0]
    assert pack.FaceAnonInterpolateStates.execute(states, 0.0)[0] is states
    changed = pack.FaceAnonInterpolateStates.execute(states, 1.25)[0]
    layer = next(iter(states.conditional))
    assert not torch.equal(changed.conditional[layer], states.conditional[layer])
    assert torch.equal(changed.unconditional[layer], states.unconditional[layer])


def test_sampler_is_apply_with_the_noises_of_one_generator_a_face(least, images):
    seed, steps = 11, 8
    inputs = pipeline.references(least, images, images)
    ours = pack.FaceAnonDDPMSampler.execute(**inputs, seed=seed, steps=steps)[0]["samples"]
    generators = [torch.Generator().manual_seed(seed + i) for i in range(2)]
    draws = [[torch.randn(1, 4, 8, 8, generator=g) for _ in range(1 + steps)] for g in generators]
    noises = [torch.cat(pair) for pair in zip(*draws, strict=True)]
    applied = Applied(*pack.FaceAnonApply.execute(**inputs).result)
    by_hand = sample_with_noises(applied, 4.0, noises[0], noises[1:])
    worst = golden.relative(ours, by_hand)
    print(f"\nFaceAnonDDPMSampler against FaceAnonApply with its noises: {worst:.1e}")
    assert worst < 1e-5


@pytest.mark.parametrize("steps", [1, 7, 999, 1000])
def test_ddpm_takes_every_step_count(steps):
    schedule = ddpm.Schedule.of(steps)
    assert len(schedule.timesteps) == steps and schedule.timesteps.min() >= 0 and schedule.timesteps.max() <= 999
    generators = ddpm.face_generators([0])
    x = ddpm.sample(lambda x, i: torch.zeros_like(x), ddpm.draw_noise(generators, (4, 2, 2)), schedule, generators)
    left = 5 * 0.0292 if 500 < steps < 1000 else 1e-6  # five sigma of timestep 0, see ddpm.Schedule.of
    assert x.abs().max() < left, "the last step does not end at the prediction"


def test_guidance_of_one_or_less_is_the_conditional_prediction_alone(least, images):
    one = pipeline.anonymize(least, images[:1], guidance=1.0)
    assert torch.equal(pipeline.anonymize(least, images[:1], guidance=0.0), one)
    assert golden.relative(pipeline.anonymize(least, images[:1], guidance=4.0), one) > 0.01


@pytest.fixture(scope="module")
def small_inputs(least):
    """References of one face and of another one, at 8x8 latent pixels."""
    faces = pipeline.face_images(2, 64)
    return [pipeline.references(least, faces[i : i + 1], faces[:1]) for i in (0, 1)]


def like_another(sampler: str) -> bool:
    """On the CPU it is the one without the ending; or it takes many steps, as many as it likes."""
    return sampler.endswith("_gpu") or sampler == "dpm_adaptive"


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(name, marks=pytest.mark.long) if like_another(name) else name
        for name in comfy.samplers.KSampler.SAMPLERS
    ],
)
def test_every_sampler_of_the_host_reads_the_references(least, small_inputs, sampler):
    how = {"sampler": sampler, "scheduler": "normal", "steps": 2}
    if sampler == "dpm_adaptive":  # it chooses its steps, fewer of them the less noise there is
        how["denoise"] = 0.3
    one, other = (ksampler(least.unet, inputs, **how) for inputs in small_inputs)
    assert one.isfinite().all() and one.shape == (1, 4, 8, 8)
    assert golden.relative(one, other) > 1e-4, "another source gives the same picture"


@pytest.mark.parametrize("scheduler", comfy.samplers.KSampler.SCHEDULERS)
def test_every_scheduler_of_the_host_reads_the_references(least, small_inputs, scheduler):
    one, other = (ksampler(least.unet, given, steps=3, sampler="euler", scheduler=scheduler) for given in small_inputs)
    assert golden.relative(one, other) > 1e-4, "another source gives the same picture"


def test_sampler_custom_runs(least, small_inputs):
    from comfy_extras.nodes_custom_sampler import SamplerCustom

    patched, positive, negative, latent = pack.FaceAnonApply.execute(**small_inputs[0]).result
    sigmas = comfy.samplers.calculate_sigmas(patched.get_model_object("model_sampling"), "karras", 3)
    sampler = comfy.samplers.sampler_object("euler")
    custom = SamplerCustom.execute(patched, True, 3, 4.0, positive, negative, sampler, sigmas, latent)[0]["samples"]
    assert torch.equal(custom, ksampler(least.unet, small_inputs[0], steps=3, sampler="euler", scheduler="karras"))


def test_easy_cache_composes():
    from comfy_extras.nodes_easycache import EasyCacheNode

    tiny, face = pipeline.load_tiny(), pipeline.face_images(1, 64)
    inputs, layers = pipeline.references(tiny, face, face), []

    def look(x, context, value, extra_options):
        layers.append(extra_options["block"])
        return x, context, value

    seen = tiny.unet.clone()
    seen.set_model_attn1_patch(look)
    exact = ksampler(seen, inputs, steps=8, sampler="euler", scheduler="normal")
    all_layers = len(layers)
    layers.clear()
    cached = EasyCacheNode.execute(seen, 0.2, 0.15, 0.95, False)[0]
    samples = ksampler(cached, inputs, steps=8, sampler="euler", scheduler="normal")
    assert len(layers) < all_layers, "no step was taken from the cache"
    assert golden.relative(samples, exact) < 0.04  # measured 0.037, with two of eight steps cached


def test_the_given_model_stays_untouched(least, images):
    def plain():
        context = torch.zeros(1, 2, 64)
        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        cond = [[context, {}]]
        return host_nodes.common_ksampler(least.unet, 5, 2, 1.0, "euler", "normal", cond, cond, latent)[0]["samples"]

    before = plain()
    pipeline.anonymize(least, images)
    assert torch.equal(plain(), before)
    assert "patches" not in least.unet.model_options["transformer_options"]


def test_lora_composes(least, images):
    inputs = pipeline.references(least, images, images)
    base = ksampler(least.unet, inputs)
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    generator = torch.Generator().manual_seed(0)
    lora = {
        f"{key}.lora_up.weight": torch.randn(32, 4, generator=generator),
        f"{key}.lora_down.weight": torch.randn(4, 32, generator=generator),
        f"{key}.alpha": torch.tensor(4.0),
    }
    changed, _ = comfy.sd.load_lora_for_models(least.unet, None, lora, 1.0, 0.0)
    assert changed.patches, "the host found no place for the LoRA"
    assert golden.relative(ksampler(changed, inputs), base) > 1e-4
    assert torch.equal(ksampler(least.unet, inputs), base), "the LoRA stayed in the weights"
    zero, _ = comfy.sd.load_lora_for_models(least.unet, None, lora, 0.0, 0.0)
    assert torch.equal(ksampler(zero, inputs), base)


def test_another_attention_patch_composes(least, images):
    inputs = pipeline.references(least, images, images)
    seen = []

    def look(x, context, value, extra_options):
        seen.append(context.shape[1] // x.shape[1])
        return x, context, value

    before = least.unet.clone()
    before.set_model_attn1_patch(look)
    samples = ksampler(before, inputs)
    assert torch.equal(samples, ksampler(least.unet, inputs)) and set(seen) == {1}
    seen.clear()
    patched, positive, negative, latent = pack.FaceAnonApply.execute(**inputs).result
    after = patched.clone()
    after.set_model_attn1_patch(look)
    host_nodes.common_ksampler(after, 3, 1, 4.0, "euler", "normal", positive, negative, latent)
    assert set(seen) == {3}, "a patch after ours sees source, driving and x"


def test_interrupt_leaves_everything_usable(least, images):
    first = pipeline.anonymize(least, images)
    inputs = pipeline.references(least, images, images)
    calls = []

    def stop(x, context, value, extra_options):
        calls.append(1)
        if len(calls) == 15:
            comfy.model_management.interrupt_current_processing()
        return x, context, value

    stopping = least.unet.clone()
    stopping.set_model_attn1_patch(stop)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        pack.FaceAnonDDPMSampler.execute(**{**inputs, "model": stopping}, seed=7, steps=50)
    assert len(calls) < 50
    assert torch.equal(pipeline.anonymize(least, images), first)


def test_memory_returns_to_its_baseline(images):
    def held():
        comfy.model_management.unload_all_models()
        comfy.model_management.cleanup_models()
        gc.collect()
        tensors = [o for o in gc.get_objects() if isinstance(o, torch.Tensor)]
        return sum(t.nbytes for t in tensors)

    def run():
        model = pipeline.load_least()
        samples = pipeline.anonymize(model, images[:1], steps=1)
        return weakref.ref(model.unet.model), samples.sum().item()

    run()  # what the host keeps once for good
    before = held()
    reference, _ = run()
    after = held()
    assert reference() is None, "something holds the model"
    assert not comfy.model_management.current_loaded_models
    assert after == before


WEIGHT_DTYPES = {
    **{"fp32": torch.float32, "fp16": torch.float16},
    **{"bf16": torch.bfloat16, "fp8_e4m3fn": torch.float8_e4m3fn},
}
# Of a swap without guidance from float32's latents, relative, computed in float32: measured 0, 0, 8.0e-3 and 0.133, the
# file being fp16.
WEIGHT_ERRORS = {"fp32": 0.0, "fp16": 0.0, "bf16": 0.009, "fp8_e4m3fn": 0.14}


def swap(model, images):
    return ksampler(model.unet, pipeline.references(model, images[:1], images[1:], degree=0.0), steps=2, cfg=1.0)


@pytest.fixture(scope="module")
def exact():
    """The swap in full precision."""
    with torch.inference_mode():
        return swap(pipeline.load_tiny("fp32"), pipeline.face_images(2))


@pytest.mark.parametrize("weight_dtype", WEIGHT_DTYPES)
def test_weight_dtypes(exact, weight_dtype):
    model = pipeline.load_tiny(weight_dtype)
    weight = model.unet.model.diffusion_model.input_blocks[1][1].transformer_blocks[0].attn1.to_q.weight
    assert weight.dtype == WEIGHT_DTYPES[weight_dtype]
    error = golden.relative_norm(swap(model, pipeline.face_images(2)), exact)
    print(f"\n{weight_dtype}: {error:.1e} from float32")
    inference = model.unet.model.get_dtype_inference()  # not float32 on a card, where the arithmetic rounds too
    rounding = 0.0 if inference == torch.float32 else parity.tolerances(inference)["sampled latents"]
    assert error <= WEIGHT_ERRORS[weight_dtype] + rounding


def test_states_stay_as_they_are_on_a_model_of_fp8(images):
    """The host asks every patch for the dtype of the weights."""
    model = pipeline.load_least("fp8_e4m3fn")
    inputs = pipeline.references(model, images, images)
    patched = pack.FaceAnonApply.execute(**inputs)[0]
    (patch,) = patched.model_options["transformer_options"]["patches"]["attn1_patch"]
    comfy.model_management.load_models_gpu([patched])
    assert patched.model_dtype() == torch.float8_e4m3fn
    for kept, given in (
        (patch.driving, inputs["driving_states"].conditional),
        (patch.conditional, inputs["source_states"].conditional),
        (patch.unconditional, inputs["source_states"].unconditional),
    ):
        for layer, state in given.items():
            assert kept[layer].dtype == state.dtype and torch.equal(kept[layer], state)


def test_hosts_before_0_28_tell_the_dtype_alone(monkeypatch):
    def set_inference_dtype(self, dtype, manual_cast_dtype):
        self.unet_config["dtype"], self.manual_cast_dtype = dtype, manual_cast_dtype

    monkeypatch.setattr(comfy.supported_models_base.BASE, "set_inference_dtype", set_inference_dtype)
    pipeline.load_least()


def test_a_crowd_is_never_patched_all_at_once(least, monkeypatch):
    """The patch holds copies of the states on the device."""
    images = pipeline.face_images(3, 64)
    inputs = pipeline.references(least, images, images)
    patched, built = [], sampling.ReferenceAttention

    def build(source, driving):
        patched.append(max(source.batch, driving.batch))
        return built(source, driving)

    monkeypatch.setattr(sampling, "ReferenceAttention", build)
    monkeypatch.setattr(sampling, "sampled_at_once", lambda *_: 1)
    pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=1)
    assert patched == [1, 1, 1]


def test_reference_nets_run_with_their_device_as_the_current_one(least, images, monkeypatch):
    """As the host's samplers do: on a second card some kernels take the current one."""
    current = []

    @contextlib.contextmanager
    def device_context(device):
        current.append(device)
        yield
        current.pop()

    seen = []
    monkeypatch.setattr(comfy.model_management, "cuda_device_context", device_context)
    network = least.source_reference_net.patcher.model.diffusion_model
    monkeypatch.setattr(network, "forward", lambda *a, p=network.forward, **k: (seen.append([*current]), p(*a, **k))[1])
    pipeline.references(least, images[:1], images[:1])
    assert seen == [[least.source_reference_net.patcher.load_device]] * 2  # the image, and nothing


def test_progress_has_one_preview_a_step(least, images, monkeypatch):
    shown = []
    monkeypatch.setattr(
        comfy.utils,
        "PROGRESS_BAR_HOOK",
        lambda value, total, preview, node_id=None: shown.append((value, total, preview)),
    )
    monkeypatch.setattr(latent_preview.args, "preview_method", latent_preview.LatentPreviewMethod.Latent2RGB)
    progress = JobProgress(5, 1, len(images), pictures=LatentPictures(least.unet))
    progress.start_run(len(images))
    model, *four = pipeline.references(least, images, images).values()
    sampling.sample(model, References(*four), [7, 8], SamplerSettings(steps=5), progress.step)
    steps = [s for s in shown if s[1] == 5]
    assert [s[0] for s in steps] == [1, 2, 3, 4, 5] and all(s[2] is not None for s in steps)
