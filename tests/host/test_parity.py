"""Each piece of the method against the official code's recordings. Run with -s to see the largest differences.

Bounds stand just above what was measured (float32, CPU); a change of them is a change of the method.
"""

import json

import golden
import pytest
import torch

from face_anonymizer.modules.model import ddpm, loading
from face_anonymizer.modules.model.attention import ReferenceAttention
from face_anonymizer.modules.model.checkpoint import PER_LAYER
from face_anonymizer.modules.model.embedding import encode_image, preprocess
from face_anonymizer.modules.model.reference_net import ReferenceNet
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.sampling import apply_references
from face_anonymizer.modules.model.states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates, interpolate_states


@pytest.fixture(scope="module")
def tiny():
    return loading.load_model_folder(golden.TINY)


@pytest.fixture(scope="module")
def layout():
    return loading.read_layout(golden.TINY / "unet")


@pytest.fixture(scope="module")
def all_states(tiny, layout):
    """A function that records every layer's state, not only those of the block-first routing."""

    def record(net, latents, embeds):
        per_layer = ReferenceNet(net.patcher, net.role, layout.routes(PER_LAYER), net.resolution)
        return per_layer.states(latents / golden.SCALE, ImageEmbeds(embeds))

    return record


def report(what: str, worst: float, bound: float) -> None:
    print(f"\n{what}: {worst:.2e} (bound {bound:.0e})", end="")
    assert worst <= bound, what


def test_reference_states(tiny, layout, all_states):
    data = golden.load("states")
    source = all_states(tiny.source_reference_net, data["source_latents"][1:], data["source_image_embeds"][1:])
    driving = all_states(tiny.driving_reference_net, data["driving_latents"][1:], data["driving_image_embeds"][1:])
    names = golden.layer_names(layout)
    assert len(names) == 10
    worst = {
        "source": max(golden.relative(source.conditional[k], data[f"source.{n}"][1:]) for n, k in names.items()),
        "driving": max(golden.relative(driving.conditional[k], data[f"driving.{n}"][1:]) for n, k in names.items()),
    }
    report("source states", worst["source"], 1e-5)
    report("driving states", worst["driving"], 1e-5)
    # Constant input and one channel a group: the group norm divides rounding errors by sqrt(eps).
    null = max(golden.relative_norm(source.unconditional[k], data[f"source.{n}"][:1]) for n, k in names.items())
    report("null states (norm)", null, 5e-3)


def test_degree_scales_embedding_and_states(tiny, layout, all_states):
    data = golden.load("states")
    embeds = data["self_image_embeds"][1:] * (1 - 1.25)
    report("scaled embedding", golden.relative(embeds, data["d1.25.image_embeds"][1:]), 1e-7)
    raw = all_states(tiny.source_reference_net, data["self_latents"][1:], embeds)
    names = golden.layer_names(layout)
    report(
        "states of the scaled embedding",
        max(golden.relative(raw.conditional[k], data[f"d1.25.raw.{n}"][1:]) for n, k in names.items()),
        1e-5,
    )
    interpolated = interpolate_states(raw, 1.25)
    # carries 1.25 times the null half's error
    report(
        "interpolated states (norm)",
        max(golden.relative_norm(interpolated.conditional[k], data[f"d1.25.null.{n}"][1:]) for n, k in names.items()),
        5e-3,
    )
    exact = {k: torch.cat([data[f"d1.25.raw.{n}"]]) for n, k in names.items()}
    given = raw.__class__(
        SOURCE, {k: v[1:] for k, v in exact.items()}, {k: v[:1] for k, v in exact.items()}, raw.routes, raw.latent_size
    )
    report(
        "equation (2) on the recorded states",
        max(
            golden.relative(interpolate_states(given, 1.25).conditional[k], data[f"d1.25.null.{n}"][1:])
            for n, k in names.items()
        ),
        1e-6,
    )


@pytest.mark.parametrize(("degree", "states"), [("d0.0", "source.{}"), ("d1.25", "d1.25.null.{}")])
def test_unet_outputs(tiny, layout, degree, states):
    """The raw v of the UNet with the recorded states as references, at three timesteps, two different latents."""
    data, state_data = golden.load("unet"), golden.load("states")
    names = golden.layer_names(layout)
    routes = layout.routes("block_first")
    halves = {k: state_data[states.format(n)] for n, k in names.items()}
    source = ReferenceStates(
        SOURCE, {k: v[1:] for k, v in halves.items()}, {k: v[:1] for k, v in halves.items()}, routes, (16, 16)
    )
    driving = ReferenceStates(
        DRIVING, {k: state_data[f"driving.{n}"][1:] for n, k in names.items()}, {}, routes, (16, 16)
    )
    patch = ReferenceAttention(source, driving)
    worst = 0.0
    for timestep in (1, 501, 996):
        for row, half in ((0, 1), (1, 0)):
            v = tiny.unet.model.diffusion_model(
                data["latents"][row : row + 1],
                torch.tensor([float(timestep)]),
                context=data[f"{degree}.embeds"][row : row + 1],
                transformer_options={"patches": {"attn1_patch": [patch]}, "cond_or_uncond": [half]},
            )
            worst = max(worst, golden.relative(v, data[f"{degree}.v.t{timestep}"][row : row + 1]))
    report(f"UNet output {degree}", worst, 1e-5)


PIPELINES = {
    "pipeline_swap_d0_g1_s8": 1e-5,
    "pipeline_anon_d1.25_g1_s8": 2e-3,  # unguided, yet its interpolated states carry the null half
    "pipeline_swap_d0_g4_s8": 2e-3,
    "pipeline_anon_d1.25_g4_s8": 2e-3,
    "pipeline_nonsquare_h96w64_anon": 2e-3,
    "pipeline_anon_d1.25_g4_s200": 2e-3,
}


def run_pipeline(tiny, source_latents, driving_latents, source, driving, degree, guidance, init_noise, step_noises):
    """The whole method with given noises; latents are scaled, embeddings unscaled by the degree."""
    source_embeds = ImageEmbeds(source * (1 - degree), degree)
    states = tiny.source_reference_net.states(source_latents / golden.SCALE, source_embeds)
    states = interpolate_states(states, degree)
    driving_states = tiny.driving_reference_net.states(driving_latents / golden.SCALE, ImageEmbeds(driving))
    references = References(states, driving_states, source_embeds, ImageEmbeds(driving))
    applied = apply_references(tiny.unet, references)
    return sample_with_noises(applied, guidance, init_noise, step_noises)


def sample_with_noises(applied, guidance, init_noise, step_noises):
    """Sampling through FaceAnonApply's MODEL, one guided prediction at a time; only the noises are given."""
    import comfy.model_management
    import comfy.samplers

    schedule = ddpm.Schedule.of(len(step_noises))
    alphas = schedule.alphas_cumprod
    guider = comfy.samplers.CFGGuider(applied.model)
    guider.set_conds(applied.positive, applied.negative)
    guider.set_cfg(guidance)

    def run(model, x, sigmas, extra_args, callback, disable):
        x = init_noise
        for i, timestep in enumerate(schedule.timesteps):
            sigma = sigmas[i]
            denoised = model(x * (1 + sigma**2).sqrt(), sigma.expand(x.shape[0]), **extra_args)
            previous = timestep - 1000 // len(step_noises)
            a_t, a_prev = alphas[timestep], alphas[previous] if previous >= 0 else torch.tensor(1.0)
            alpha = a_t / a_prev
            variance = ((1 - a_prev) / (1 - a_t) * (1 - alpha)).clamp(min=1e-20)
            x = a_prev.sqrt() * (1 - alpha) / (1 - a_t) * denoised + alpha.sqrt() * (1 - a_prev) / (1 - a_t) * x
            x = x + variance.sqrt() * step_noises[i]
        return x

    sigmas = torch.cat([applied.model.get_model_object("model_sampling").sigmas[schedule.timesteps], torch.zeros(1)])
    latent = applied.latent["samples"]
    return guider.sample(torch.zeros_like(latent), latent, comfy.samplers.KSAMPLER(run), sigmas, disable_pbar=True)


LONG = {"pipeline_anon_d1.25_g4_s200"}  # the paper's steps


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in PIPELINES])
def test_pipeline(tiny, name):
    data, recorded = golden.load(name), golden.parameters(name)
    if "variance_noise" not in data:
        data["variance_noise"] = recorded_noises(recorded, data)
    source = "src" if "src.latents" in data else "drv"
    final = run_pipeline(
        tiny,
        data[f"{source}.latents"],
        data["drv.latents"],
        data[f"{source}.image_embeds"][-1:],
        data["drv.image_embeds"][-1:],
        recorded["anonymization_degree"],
        recorded["guidance_scale"],
        data["init_noise"],
        data["variance_noise"],
    )
    scaled = final * golden.SCALE
    report(name, golden.relative(scaled, data["final_latents"]), PIPELINES[name])
    picture = tiny.vae.decode(final).mul(255).round()
    levels = (picture - data["output_u8"]).abs().max().item()
    print(f", picture {levels:.0f} levels", end="")
    assert levels <= 1


@pytest.mark.parametrize("keep", [True, False], ids=["projections kept", "projected in every step"])
def test_pipeline_from_the_recorded_states(tiny, layout, keep):
    """Guided, anonymizing, with the null half as the official code computed it: all that is left is float32."""
    name = "pipeline_anon_d1.25_g4_s8"
    data, names, routes = golden.load(name), golden.layer_names(layout), layout.routes("block_first")
    handed = {
        layer: data[f"unet_states.{name}"].chunk(2, dim=1)
        for name, layer in names.items()
        if layer in {*routes.values()}
    }
    size = tuple(data["init_noise"].shape[2:])
    source, driving = (
        ReferenceStates(
            role,
            {layer: parts[i][1:] for layer, parts in handed.items()},
            {layer: parts[i][:1] for layer, parts in handed.items()} if role == SOURCE else {},
            routes,
            size,
        )
        for i, role in enumerate((SOURCE, DRIVING))
    )
    embeds = [ImageEmbeds(part) for part in data["unet_embeds"][1:].chunk(2, dim=1)]
    applied = apply_references(tiny.unet, References(source, driving, *embeds), keep)
    final = sample_with_noises(applied, 4.0, data["init_noise"], data["variance_noise"])
    report(f"{name} from the recorded states", golden.relative(final * golden.SCALE, data["final_latents"]), 2e-6)


def recorded_noises(recorded, data):
    """The run's draws again: one global stream, two posterior draws, the start noise, one draw a step."""
    generator = torch.Generator().manual_seed(recorded["seed"])
    shape = data["init_noise"].shape
    draws = [torch.randn(shape, generator=generator) for _ in range(3 + recorded["num_inference_steps"])]
    assert torch.equal(draws[2], data["init_noise"])
    return torch.stack(draws[3:])


def test_full_flow(tiny):
    """Two faces, the second anonymized in one batch with the first: crops in, latents out."""
    data, recorded = golden.load("full_flow"), golden.parameters("full_flow")
    crops = torch.stack([data["face0.crop"], data["face1.crop"]]).float() / 255
    degree = recorded["anonymization_degree"]
    embeds = encode_image(tiny.clip_vision, crops, 0.0).embeds
    latents = tiny.vae.encode(crops) * golden.SCALE
    std = posterior_std(tiny.vae, crops)  # the official code samples the VAE's posterior, we take its mean
    noised = [
        latents + golden.SCALE * std * torch.cat([data[f"face{i}.{which}_noise"] for i in (0, 1)])
        for which in ("src", "drv")
    ]
    final = run_pipeline(
        tiny,
        noised[0],
        noised[1],
        embeds,
        embeds,
        degree,
        recorded["guidance_scale"],
        torch.cat([data["face0.init_noise"], data["face1.init_noise"]]),
        torch.cat([data["face0.variance_noise"], data["face1.variance_noise"]], dim=1),
    )
    expected = torch.cat([data["face0.final_latents"], data["face1.final_latents"]])
    report("full flow, two faces in a batch", golden.relative(final * golden.SCALE, expected), 2e-3)


def posterior_std(vae, images):
    model = vae.first_stage_model
    moments = model.quant_conv(model.encoder(images.movedim(-1, 1) * 2 - 1))
    return torch.exp(0.5 * moments.chunk(2, dim=1)[1].clamp(-30, 20))


def test_vae_encodes_the_posterior_mean(tiny):
    data = golden.load("pipeline_swap_d0_g4_s8")
    image = data["src.init_image_u8"].movedim(1, -1).float() / 255
    report("VAE posterior mean", golden.relative(tiny.vae.encode(image), data["src.vae_mean"]), 4e-5)


def test_schedule_is_the_recorded_one():
    recorded = json.loads((golden.GOLDEN / "timesteps.json").read_text())
    for steps, run in recorded["runs"].items():
        schedule = ddpm.Schedule.of(int(steps))
        assert schedule.timesteps.tolist() == run["timesteps"], steps
        for variance, step in zip(schedule.variances.tolist(), run["steps"], strict=True):
            assert variance == step["variance"], (steps, step["t"])


@pytest.mark.parametrize("case", ["a_256", "b_256", "b_up"])
def test_clip(tiny, case):
    data = golden.load("clip_preprocess")
    image = data[f"{case}.init_image_u8"].movedim(1, -1).float() / 255
    encoder = tiny.clip_vision
    ours = preprocess(image, encoder.image_size, encoder.image_mean, encoder.image_std)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.image_mean, encoder.image_std))
    levels = ((ours * std + mean) * 255 - data[f"{case}.clip_224_u8"]).abs().max().item()
    report(f"CLIP crop {case} (levels)", levels, 1e-4)
    recorded_crop = (data[f"{case}.clip_224_u8"].float() / 255 - mean) / std
    pooled = encoder.model.vision_model(pixel_values=recorded_crop)[2]
    report(f"CLIP pooler {case}, recorded crop", golden.relative(pooled, data[f"{case}.pooler_output"]), 1e-5)
    embeds = encode_image(encoder, image, 0.0).embeds[:, 0]
    report(f"CLIP pooler {case}, our crop", golden.relative(embeds, data[f"{case}.pooler_output"]), 1e-5)


def test_black_and_white_crops_are_blended(tiny):
    """Deliberate difference: a picture of pure black and white is, to the official path, one of levels 0 and 1."""
    data = golden.load("clip_preprocess")
    image = data["bw.init_image_u8"].movedim(1, -1).float() / 255
    encoder = tiny.clip_vision
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.image_mean, encoder.image_std))
    ours = ((preprocess(image, encoder.image_size, encoder.image_mean, encoder.image_std) * std + mean) * 255).round()
    assert set(data["bw.clip_224_u8"].unique().tolist()) == {0, 255}
    assert len(ours.unique()) > 50
    assert ((ours > 127) == (data["bw.clip_224_u8"] > 127)).float().mean() > 0.99
