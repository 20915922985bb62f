"""The engine of diffusers' networks against ComfyUI's models, from whole model folders. Run with -s for differences.

What it does by itself is in tests/unit/test_engine.py.
"""

import golden
import pytest
from pipeline import face_images
from plain_run import rest_is_long

from face_anonymizer.modules.model import checkpoint, loading
from face_anonymizer.modules.model.diffusers_engine.loading import load_engine
from face_anonymizer.modules.model.references import EncodedImages, References
from face_anonymizer.modules.model.settings import SamplerSettings

DEMO = checkpoint.PACK_MODELS / checkpoint.DEMO
SEEDS = [3, 2**63 + 5]
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # diffusers' own


MODELS = [(golden.TINY, 1.0, 1e-5), (DEMO, 4.0, 5e-5)]


@pytest.mark.parametrize(("folder", "guidance", "bound"), rest_is_long(MODELS, MODELS[1]), ids=["tiny", "demo, guided"])
def test_latents_and_pictures_are_comfyuis(folder, guidance, bound):
    """Measured: 1.4e-6 and 1.2e-5 of the largest latent, 0.003 levels."""
    both = model, engine = loading.load_model_folder(folder), load_engine(folder, "cpu")
    assert engine.resolution == model.resolution
    crops = face_images(2)
    sampler = SamplerSettings(steps=3, guidance_scale=guidance)
    latents, pictures = [], []
    for one in both:
        encoded = EncodedImages.of(one, crops)
        found = one.sample(References.of(one, encoded, encoded, 1.25), SEEDS, sampler)
        pictures.append(one.decode(found) * 255)
        latents.append(found / (engine.encoders.vae.config.scaling_factor if one is engine else 1))
    apart, levels = golden.relative(latents[1], latents[0]), (pictures[0] - pictures[1]).abs().max().item()
    print(f"\nguidance {guidance}: latents {apart:.1e}, pictures {levels:.4f} levels", end="")
    assert apart <= bound and levels <= 1
