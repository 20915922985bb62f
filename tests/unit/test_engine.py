"""The engine of diffusers' networks by itself, without ComfyUI: recordings of the official code, samplers, batches."""

import dataclasses
import shutil
from types import SimpleNamespace

import golden
import pytest
import torch
from PIL import Image
from plain_run import rest_is_long

from face_anonymizer.modules.model import checkpoint, ddpm
from face_anonymizer.modules.model.diffusers_engine import engine as engine_module
from face_anonymizer.modules.model.diffusers_engine.engine import DiffusersEngine
from face_anonymizer.modules.model.diffusers_engine.loading import load_engine
from face_anonymizer.modules.model.diffusers_engine.processors import KeptProjections
from face_anonymizer.modules.model.diffusers_engine.samplers import SAMPLERS, SPACINGS, alpha_bar, make_scheduler
from face_anonymizer.modules.model.painting import anonymize_crops
from face_anonymizer.modules.model.references import EncodedImages, References
from face_anonymizer.modules.model.settings import DDPM, PaintSettings, SamplerSettings
from face_anonymizer.modules.model.states import DRIVING, SOURCE, ImageEmbeds, ReferenceStates

DEMO = checkpoint.PACK_MODELS / checkpoint.DEMO
SEEDS = [3, 2**63 + 5]
# as for the nodes (tests/host/test_parity.py), in shares of the largest latent
RECORDED = {
    "pipeline_swap_d0_g1_s8": 1e-5,
    "pipeline_anon_d1.25_g1_s8": 2e-3,  # unguided, yet its interpolated states carry the null half
    "pipeline_swap_d0_g4_s8": 2e-3,
    "pipeline_anon_d1.25_g4_s8": 2e-3,
    "pipeline_nonsquare_h96w64_anon": 2e-3,
}
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # diffusers' own


@pytest.fixture(scope="module")
def engines():
    return {"tiny": load_engine(golden.TINY, "cpu"), "demo": load_engine(DEMO, "cpu")}


@pytest.fixture
def tiny(engines):
    return engines["tiny"]


@pytest.fixture(scope="module")
def two_faces(engines):
    """References of two faces, read once for all samplers."""
    with torch.inference_mode():
        encoded = EncodedImages.of(engines["tiny"], face_images(2))
        return References.of(engines["tiny"], encoded, encoded, 1.25)


def face_images(count: int) -> torch.Tensor:
    """Float [count, 128, 128, 3], 0..1: one photo, cut in other places."""
    photo = Image.open(golden.FIXTURES.parents[1] / "assets" / "astronaut.jpg").convert("RGB")
    crops = [
        photo.crop((150 + 40 * i, 20 + 30 * i, 350 + 40 * i, 220 + 30 * i)).resize((128, 128)) for i in range(count)
    ]
    levels = [torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8).view(128, 128, 3) for crop in crops]
    return torch.stack(levels).float() / 255


# tests/host/test_parity.py holds the same recordings against ComfyUI's networks
@pytest.mark.parametrize("name", rest_is_long(RECORDED, "pipeline_swap_d0_g1_s8", "pipeline_anon_d1.25_g4_s8"))
def test_recordings_of_the_official_code(tiny, name, monkeypatch):
    """With their noises and their encoded images."""
    data, recorded = golden.load(name), golden.parameters(name)
    source = "src" if "src.latents" in data else "drv"
    encoded = [
        EncodedImages(data[f"{role}.latents"], ImageEmbeds(data[f"{role}.image_embeds"][-1:]))
        for role in (source, "drv")
    ]
    references = References.of(tiny, *encoded, recorded["anonymization_degree"])
    noises = iter([data["init_noise"], *data["variance_noise"]])
    monkeypatch.setattr(ddpm, "draw_noise", lambda *_: next(noises))
    sampler = SamplerSettings(steps=recorded["num_inference_steps"], guidance_scale=recorded["guidance_scale"])
    found = tiny.sample(references, [0], sampler)
    apart = golden.relative(found, data["final_latents"])
    levels = (tiny.decode(found).mul(255).round() - data["output_u8"]).abs().max().item()
    print(f"\n{name}: {apart:.1e}, picture {levels:.0f} levels", end="")
    assert apart <= RECORDED[name] and levels <= 1 and next(noises, None) is None


class Counting(KeptProjections):
    """Also counts the projections of references: two of each layer that is kept, else two in every step."""

    def __init__(self, room):
        super().__init__(room)
        self.count, self.layers = 0, set()

    def join(self, layer, attn, reference, own):
        def counted(project):
            def run(states):
                self.count += 1
                return project(states)

            return run

        self.layers.add(layer)
        counting = SimpleNamespace(to_k=counted(attn.to_k), to_v=counted(attn.to_v))
        return super().join(layer, counting, reference, own)


@pytest.mark.parametrize(("name", "guided_to"), rest_is_long([("tiny", 1.0), ("demo", 0.5)], ("demo", 0.5)))
def test_projections_that_are_kept_change_nothing(engines, name, guided_to, monkeypatch):
    """With room for all layers, for one and for none; of runs guided in part too. Equal to the bit here."""
    engine = engines[name]
    sampler = SamplerSettings(steps=4, guidance_scale=2.0, guidance_from=0.4, guidance_to=guided_to)
    encoded = EncodedImages.of(engine, face_images(2))
    references = References.of(engine, encoded, encoded, 1.25)
    found, runs = [], []
    for room in (0, 300_000, 1 << 30):
        monkeypatch.setattr(
            engine_module, "KeptProjections", lambda _, room=room: runs.append(Counting(room)) or runs[-1]
        )
        found.append(engine.sample(references, SEEDS, sampler))
    none, some, every = (run.count for run in runs)
    layers = len(runs[0].layers)
    assert none == 2 * layers * sampler.steps and every == 2 * layers and every < some < none
    apart = max(golden.relative(one, found[0]) for one in found[1:])
    print(f"\n{apart:.1e}, {none}, {some} and {every} projections", end="")
    assert apart <= 1e-6


@pytest.mark.parametrize("dtype, levels", [(torch.bfloat16, 6.0)])
def test_half_precision_paints_about_the_same(dtype, levels):
    crops = face_images(1)
    settings = PaintSettings(sampler=SamplerSettings(steps=1, guidance_scale=2.0))
    whole, half = (anonymize_crops(load_engine(DEMO, "cpu", kind), crops, [0], settings) for kind in (None, dtype))
    apart = (whole - half).abs().mean().item() * 255
    print(f"\n{dtype}: {apart:.2f} levels on average", end="")
    assert half.dtype == torch.float32 and 0 < apart < levels


LIKE_OTHERS = ("euler", "ddim", "dpmpp_2m")  # each draws its noise as one of the rest does, or none


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LIKE_OTHERS else name for name in (DDPM, *SAMPLERS)]
)
def test_a_batch_of_two_is_two_singles(tiny, two_faces, name):
    """Of samplers that draw noise at every step too: each face has a generator of its own."""
    engine, references = tiny, two_faces
    sampler = SamplerSettings(name, "normal", steps=3, guidance_scale=1.0)
    together = engine.sample(references, SEEDS, sampler)
    again = engine.sample(references, SEEDS, sampler)
    alone = [engine.sample(references.part([i]), SEEDS[i : i + 1], sampler) for i in range(2)]
    assert torch.equal(together, again)
    assert golden.relative(torch.cat(alone), together) < 1e-4
    assert golden.relative(together[:1], together[1:]) > 1e-2


class Knowing:
    """Networks that know the picture behind the noise, so that each sampler has to find it."""

    unet = SimpleNamespace(config=SimpleNamespace(cross_attention_dim=8), dtype=torch.float32)

    def __init__(self, truth, prediction):
        self.truth, self.prediction = truth, prediction
        self.schedule = make_scheduler(SamplerSettings("euler", "normal", 10), prediction)

    def predict(self, noisy, timesteps, source_embeds, driving_embeds, states, *, kept):
        alpha = alpha_bar(self.schedule, timesteps[0])
        noise = (noisy - alpha**0.5 * self.truth) / (1 - alpha) ** 0.5
        if self.prediction == "epsilon":
            return noise
        return alpha**0.5 * noise - (1 - alpha) ** 0.5 * self.truth


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("name", [DDPM, *SAMPLERS])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_sampler_finds_what_the_network_knows(name, spacing, prediction):
    truth = torch.randn((2, 4, 4, 4), generator=torch.Generator().manual_seed(1))
    states = ReferenceStates(SOURCE, {"layer": torch.zeros(2, 16, 8)}, {}, {"layer": "layer"}, (4, 4))
    embeds = ImageEmbeds(torch.zeros(2, 1, 8))
    references = References(states, dataclasses.replace(states, role=DRIVING), embeds, embeds)
    engine = DiffusersEngine(Knowing(truth, prediction), SimpleNamespace(latent_channels=4), prediction, 32)
    sampler = SamplerSettings(name, spacing, 12, guidance_scale=1.0)
    if name == "ddim" and spacing in ("karras", "exponential"):
        with pytest.raises(ValueError, match=f"ddim has no scheduler {spacing} without ComfyUI; it has sgm_uniform"):
            engine.sample(references, SEEDS, sampler)
        return
    shown = []
    found = engine.sample(references, SEEDS, sampler, lambda step, denoised, x, steps: shown.append((step, denoised)))
    assert [step for step, _ in shown] == list(range(12))
    assert golden.relative(shown[0][1], truth) < 1e-3
    # DDIM ends at the first step of the schedule, with its share of noise
    assert golden.relative(found, truth) < (0.05 if name == "ddim" else 1e-3)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"The sampler heun is ComfyUI's; without it there are dpmpp_2m, "):
        make_scheduler(SamplerSettings("heun"), "epsilon")
    with pytest.raises(ValueError, match="steps is 0; the sampler takes 1 to 1000"):
        make_scheduler(SamplerSettings("euler", steps=0), "epsilon")
    with pytest.raises(FileNotFoundError, match=r"nothing.*config\.json is missing"):
        load_engine(tmp_path / "nothing")
    folder = tmp_path / "model"
    shutil.copytree(golden.TINY, folder)
    shutil.copytree(DEMO / "image_encoder", folder / "image_encoder", dirs_exist_ok=True)
    with pytest.raises(ValueError, match=r"image_encoder gives width|image_encoder.*width"):
        load_engine(folder, "cpu")
