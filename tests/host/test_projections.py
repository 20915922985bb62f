"""What a run keeps of the references' projections: equal results with less work, and never another run's.

Each case compares a run that may keep them with one that may not, on the same MODEL. Bounds stand above what was
measured (float32, CPU): most are equal to the bit, as are all that keep nothing.
"""

import gc
import weakref
from collections.abc import Callable

import comfy.hooks
import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import comfy.sd
import golden
import pipeline
import pytest
import torch
from comfy_extras import nodes_easycache, nodes_hypertile, nodes_sag, nodes_tomesd, nodes_torch_compile
from torch.utils.flop_counter import FlopCounterMode

from face_anonymizer.modules.model import projections
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.sampling import Applied, apply_references

ROUNDING = 5e-6  # the rows of x are projected alone: a product of another height, whose sums may round otherwise
STEPS = 2


def references_of(least, images: torch.Tensor) -> References:
    inputs = pipeline.references(least, images, images)
    return References(**{name: value for name, value in inputs.items() if name != "model"})


@pytest.fixture(scope="module")
def faces(least) -> list[References]:
    """Two people."""
    images = pipeline.face_images(2, 64)
    return [references_of(least, images[i : i + 1]) for i in (0, 1)]


@pytest.fixture
def kept(monkeypatch) -> list[bool]:
    """Of each run that was prepared, whether it keeps projections."""
    told: list[bool] = []
    install = projections._install

    def spy(attention, model_options, keep):
        told.append(keep)
        install(attention, model_options, keep)

    monkeypatch.setattr(projections, "_install", spy)
    return told


def run(applied: Applied, cfg: float = 4.0, steps: int = STEPS, sampler: str = "dpmpp_2m", callback=None):
    torch.manual_seed(0)  # of nodes that draw on the way
    noise = comfy.sample.prepare_noise(applied.latent["samples"], 3)
    how = (steps, cfg, sampler, "karras", applied.positive, applied.negative, applied.latent["samples"])
    return comfy.sample.sample(applied.model, noise, *how, disable_pbar=True, seed=3, callback=callback)


def both(model, references: References, after: Callable = lambda model: model, **how) -> list[torch.Tensor]:
    """A run that may keep and one that may not; after: what is done to the MODEL behind Apply."""
    results = []
    for keep in (True, False):
        applied = apply_references(model, references, keep)
        results.append(run(applied._replace(model=after(applied.model)), **how))
    return results


@pytest.mark.parametrize(("sampler", "cfg"), [("dpmpp_2m", 1.0), ("heun", 4.0)])
def test_a_run_gives_the_same_with_and_without(least, faces, kept, sampler, cfg):
    ours, plain = both(least.unet, faces[0], cfg=cfg, sampler=sampler)
    assert kept == [True, False]
    worst = golden.relative(ours, plain)
    print(f"\n{sampler}, guidance {cfg:g}: {worst:.1e}")
    assert worst <= ROUNDING


def test_batches_and_variations_of_one_face(least, faces, kept):
    pair = references_of(least, pipeline.face_images(2, 64))
    swapped = References(faces[1].source_states, pair.driving_states, faces[1].source_embeds, pair.driving_embeds)
    for references, repeats in ((swapped, 1), (faces[0], 3)):
        applied = [apply_references(least.unet, references, keep) for keep in (True, False)]
        latent = {"samples": applied[0].latent["samples"].repeat(repeats, 1, 1, 1)}
        ours, plain = (run(one._replace(latent=latent)) for one in applied)
        assert golden.relative(ours, plain) <= ROUNDING
    assert kept == [True, False] * 2


def test_the_work_that_is_saved_is_that_of_the_references(least, faces):
    """Two references' keys and values in both halves, in every step but the first."""

    def work(keep: bool, steps: int) -> int:
        with FlopCounterMode(display=False) as counter:
            run(apply_references(least.unet, faces[0], keep), steps=steps, sampler="euler")
        return counter.get_total_flops()

    states = faces[0].driving_states
    sizes = [states.conditional[route].shape[1:] for route in states.routes.values()]
    projected = sum(2 * tokens * width * width * 2 for tokens, width in sizes)
    kept = 2 * work(True, 1) - work(True, 2)  # what the first step has more than the second
    assert kept == work(False, 2) - work(True, 2) == 2 * 2 * projected


def hypertile(model):
    return nodes_hypertile.HyperTile.execute(model, 32, 1, 0, False)[0]


def tome(model):
    return nodes_tomesd.TomePatchModel.execute(model, 0.3)[0]


def self_attention_guidance(model):
    return nodes_sag.SelfAttentionGuidance.execute(model, 0.5, 2.0)[0]


def replaced(model):
    model = model.clone()
    model.set_model_attn1_replace(lambda q, k, v, extra_options: q * 0.5, "middle", 0)
    return model


def doubled_output(model):
    model = model.clone()
    model.set_model_attn1_output_patch(lambda out, extra_options: out * 2)
    return model


def louder_by_the_step(model):
    """An attn1 patch that changes what is projected, in every step otherwise."""

    def patch(x, context, value, extra_options):
        return x, context * (1 + extra_options["sigmas"][0] / 50), value

    model = model.clone()
    model.set_model_attn1_patch(patch)
    return model


def hooked_layer(model):
    """A forward hook on a projection of the references, as some packs hang them there."""
    layer = model.model.diffusion_model.input_blocks[1][1].transformer_blocks[0].attn1.to_v
    calls = []

    def hook(module, inputs, output):
        calls.append(1)
        return output * (1 + len(calls) / 10)

    handle = layer.register_forward_hook(hook)
    weakref.finalize(model, handle.remove)
    return model


def injected(model):
    model = model.clone()
    model.set_injections("test", [comfy.patcher_extension.PatcherInjection(lambda _: None, lambda _: None)])
    return model


class Half(torch.nn.Module):
    def __init__(self, layer: torch.nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x) * 0.5


def another_layer(model):
    model = model.clone()
    name = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_k"
    model.add_object_patch(name, Half(model.get_model_object(name)))
    return model


TOKENS = [hypertile, tome]  # which change the tokens of x
OTHERS = [self_attention_guidance, replaced, doubled_output, louder_by_the_step, injected, another_layer]


@pytest.fixture(scope="module")
def base(least, large) -> torch.Tensor:
    return run(apply_references(least.unet, large, False))


@pytest.fixture(scope="module")
def large(least) -> References:
    """One person, of 16x16 latents: Self-Attention Guidance needs more than one token in the middle."""
    return references_of(least, pipeline.face_images(1))


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("patch", [*TOKENS, *OTHERS], ids=lambda patch: patch.__name__)
def test_beside_other_patches_all_is_as_before(least, large, base, kept, patch, where):
    if patch in TOKENS and where == "before":  # no reference fits what they make of x
        for keep in (True, False):
            with pytest.raises(ValueError, match="each reference gives"):
                run(apply_references(patch(least.unet), large, keep))
        return
    if where == "before":
        ours, plain = both(patch(least.unet), large)
    else:
        ours, plain = both(least.unet, large, after=patch)
    assert kept == [False, False]
    assert torch.equal(ours, plain)
    assert torch.equal(ours, base) == (patch is injected), "the patch does nothing, or stays"


@pytest.mark.parametrize("number", [(), (0,)], ids=["block", "layer"])
def test_a_replace_that_a_node_sets_for_one_call_alone_is_called(least, faces, kept, number):
    """As guidance by another prediction does, with keys and values of both references, in every step."""
    seen: list[int] = []

    def look(q, k, v, extra_options):
        seen.append(k.shape[1] // q.shape[1])
        return q * 0.5

    def once_more(arguments):
        options = comfy.model_patcher.create_model_options_clone(arguments["model_options"])
        options = comfy.model_patcher.set_model_options_patch_replace(options, look, "attn1", "input", 1, *number)
        (more,) = comfy.samplers.calc_cond_batch(
            arguments["model"], [arguments["cond"]], arguments["input"], arguments["sigma"], options
        )
        return arguments["denoised"] + 0.5 * (arguments["denoised"] - more)

    def guided(model):
        model = model.clone()
        model.set_model_sampler_post_cfg_function(once_more)
        return model

    ours, plain = both(least.unet, faces[0], after=guided)
    assert kept == [True, False] and seen == [3] * (2 * STEPS)
    assert golden.relative(ours, plain) <= ROUNDING


def test_a_hook_on_a_layer_turns_it_off(least, faces, kept):
    model = least.unet.clone()
    hooked_layer(model)
    run(apply_references(model, faces[0]))
    assert kept == [False]
    del model
    gc.collect()
    run(apply_references(least.unet, faces[0]))
    assert kept == [False, True]


def lora_of(least, strength: float):
    """A LoRA on keys and values of two layers, as weights by the host's names."""
    generator = torch.Generator().manual_seed(0)
    lora = {}
    for name in ("k", "v"):
        key = f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_{name}"
        lora[f"{key}.lora_up.weight"] = torch.randn(32, 4, generator=generator)
        lora[f"{key}.lora_down.weight"] = torch.randn(4, 32, generator=generator)
        lora[f"{key}.alpha"] = torch.tensor(4.0)
    return comfy.sd.load_lora_for_models(least.unet, None, lora, strength, 0.0)[0]


def test_a_lora_that_is_loaded_after_a_run_is_projected(least, faces, kept):
    before, plain = both(least.unet, faces[0])
    loud, plain_loud = both(lora_of(least, 1.0), faces[0])
    again = run(apply_references(least.unet, faces[0]))
    assert kept == [True, False] * 2 + [True]
    assert golden.relative(loud, plain_loud) <= ROUNDING and golden.relative(loud, before) > 1e-3
    assert torch.equal(again, before) and golden.relative(before, plain) <= ROUNDING


def test_a_lora_by_hooks_of_the_conditioning_turns_it_off(least, faces, kept):
    """Such weights change between steps, and between the halves."""
    hooks = comfy.hooks.HookGroup()
    hook = comfy.hooks.WeightHook(strength_model=1.0)
    key = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_k.weight"
    hook.weights = {key: ("diff", (torch.linspace(-0.2, 0.2, 1024).view(32, 32),))}
    hook.need_weight_init = False
    hooks.add(hook)
    results = []
    for keep in (True, False):
        applied = apply_references(least.unet, faces[0], keep)
        positive = [[tensor, {**more, "hooks": hooks}] for tensor, more in applied.positive]
        target = comfy.hooks.create_target_dict(comfy.hooks.EnumWeightTarget.Model)
        applied.model.register_all_hook_patches(hooks, target)
        results.append(run(applied._replace(positive=positive)))
    assert kept == [False, False]
    assert torch.equal(*results)
    assert golden.relative(results[0], run(apply_references(least.unet, faces[0]))) > 1e-3


def test_a_model_that_is_patched_between_two_runs(least, faces, kept):
    """The same applied MODEL, cloned and patched behind Apply, as a graph does that is queued again."""
    applied = apply_references(least.unet, faces[0])
    first = run(applied)
    patched = run(applied._replace(model=replaced(applied.model)))
    assert kept == [True, False]
    assert golden.relative(patched, first) > 1e-3 and torch.equal(run(applied), first)


def test_after_an_interrupt_another_face_gets_its_own(least, faces, kept):
    expected = run(apply_references(least.unet, faces[1]))
    applied = apply_references(least.unet, faces[0])

    def interrupt(step, *_):
        if step == 0:
            raise comfy.model_management.InterruptProcessingException

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(applied, callback=interrupt)
    assert torch.equal(run(apply_references(least.unet, faces[1])), expected)
    assert golden.relative(run(applied), run(apply_references(least.unet, faces[0], False))) <= ROUNDING


def test_two_sizes_in_a_row(least, faces, kept):
    wide = references_of(least, torch.rand(1, 64, 128, 3, generator=torch.Generator().manual_seed(1)))
    for references in (faces[0], wide, faces[0]):
        ours, plain = both(least.unet, references)
        assert golden.relative(ours, plain) <= ROUNDING
    applied = apply_references(least.unet, faces[0])
    with pytest.raises(ValueError, match="Use FaceAnonApply's LATENT output"):
        run(applied._replace(latent=apply_references(least.unet, wide).latent))
    ours, plain = both(least.unet, faces[0])
    assert golden.relative(ours, plain) <= ROUNDING


@pytest.mark.parametrize("first", [0, 1], ids=["together first", "apart first"])
def test_halves_that_come_together_and_apart(least, faces, kept, monkeypatch, first):
    """The host decides that anew in every step, by the memory that is free then."""
    required, step = least.unet.model.memory_required, [None]

    def by_step(shape, *arguments, **options):
        apart = step[0] is not None and step[0] % 2 == first and shape[0] > 1
        return 2**60 if apart else required(shape, *arguments, **options)

    monkeypatch.setattr(least.unet.model, "memory_required", by_step)

    def sigmas_seen(model):
        model = model.clone()

        def count(executor, *arguments, **options):
            step[0] = 0 if step[0] is None else step[0] + 1
            return executor(*arguments, **options)

        model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.PREDICT_NOISE, "test", count)
        step[0] = None
        return model

    ours = run(_after(apply_references(least.unet, faces[0]), sigmas_seen), steps=4)
    step[0] = None
    monkeypatch.undo()
    plain = run(apply_references(least.unet, faces[0], False), steps=4)
    assert golden.relative(ours, plain) <= ROUNDING


def _after(applied: Applied, patch: Callable) -> Applied:
    return applied._replace(model=patch(applied.model))


def test_nothing_outlives_a_run(least, faces, monkeypatch):
    alive = []

    class Watched(projections.KeptProjections):
        def __init__(self, attention):
            super().__init__(attention)
            alive.append(weakref.ref(self))

    monkeypatch.setattr(projections, "KeptProjections", Watched)
    applied = apply_references(least.unet, faces[0])
    gc.collect()
    gc.disable()
    try:
        run(applied)
        assert len(alive) == 1 and alive[0]() is None, "it waits for the garbage collector, on the device"
    finally:
        gc.enable()
    assert not applied.model.model_options["transformer_options"].get("patches_replace")


def test_a_device_that_is_full_keeps_nothing(least, faces, kept, monkeypatch):
    """By what the device has in all, and by what other programs have left of it when the MODEL is loaded."""
    expected = run(apply_references(least.unet, faces[0], False))
    size = projections.projections_size(
        projections.ReferenceAttention(faces[0].source_states, faces[0].driving_states), torch.float32, 2
    )
    loaded, load = [], comfy.model_management.load_models_gpu

    def free_memory(device=None, torch_free_too=False):
        free = size if loaded or not kept[1:] else 2**40
        return (free, free) if torch_free_too else free

    monkeypatch.setattr(comfy.model_management, "get_free_memory", free_memory)
    assert (
        golden.relative(run(apply_references(least.unet, faces[0])), expected) <= 2e-5
    )  # the kernel takes it in parts
    assert kept == [False, False]
    monkeypatch.setattr(
        comfy.model_management, "load_models_gpu", lambda *models, **how: load(*models, **how) or loaded.append(models)
    )
    assert (
        golden.relative(run(apply_references(least.unet, faces[0])), expected) <= 2e-5
    )  # the kernel takes it in parts
    assert kept == [False, False, False] and loaded


def test_easycache_skips_the_same_steps(least, faces, kept):
    """The host's node leaves out whole calls of the UNet."""
    node = nodes_easycache.EasyCacheNode

    def cached(model):
        return node.execute(model, 0.8, 0.0, 1.0, False)[0]

    base = run(apply_references(least.unet, faces[0]), steps=6)
    ours, plain = both(least.unet, faces[0], after=cached, steps=6)
    assert kept == [True, True, False]
    assert golden.relative(ours, plain) <= 2e-5 and golden.relative(ours, base) > 1e-4


class OneLayer(torch.nn.Module):
    """What the host's transformer block does with the attn1 patches of a run."""

    def forward(self, x, transformer_options):
        extra_options = {key: value for key, value in transformer_options.items() if key != "patches"}
        keys = x
        for patch in transformer_options["patches"]["attn1_patch"]:
            x, keys, _ = patch(x, x, x, extra_options)
        return keys


@pytest.mark.parametrize("keep", [True, False])
def test_a_compiled_graph_asks_every_face_and_half_anew(faces, keep):
    """The host's node checks nothing that comes by the transformer options: the half of a graph's first call stays."""
    options = {"guard_filter_fn": nodes_torch_compile.skip_torch_compile_dict}
    plain = OneLayer()
    compiled = torch.compile(plain, backend="eager", options=options)
    x = torch.zeros(1, 64, 32)
    for references in faces:
        attention = projections.ReferenceAttention(references.source_states, references.driving_states)
        for half in (0, 1):
            given = {"block": ("input", 1), "block_index": 0, "cond_or_uncond": [half]}
            model_options = {"transformer_options": {**given, "patches": {"attn1_patch": [attention]}}}
            expected = plain(x, model_options["transformer_options"])
            projections._install(attention, model_options, keep)
            assert torch.equal(compiled(x, model_options["transformer_options"]), expected)
