"""The model that ships with the pack: small, whole, found without a step, and saying what it is."""

import json
import logging
from pathlib import Path

import comfy.sample
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from face_anonymizer import nodes as pack
from face_anonymizer.modules.model import checkpoint, ddpm
from face_anonymizer.modules.model.loading import FROM_MODEL_FOLDER, load_model_folder
from face_anonymizer.modules.model.own import OWN_GUIDANCE, OWN_SIZE, OWN_STEPS
from face_anonymizer.modules.model.references import EncodedImages, References
from face_anonymizer.modules.model.sampling import apply_references

# Most tests here search the same pictures; none of them is about the network.
pytestmark = pytest.mark.usefixtures("remembered_looks")

ROOT = Path(__file__).resolve().parents[2]
DEMO = checkpoint.PACK_MODELS / checkpoint.DEMO
OWN = checkpoint.read_settings(DEMO)
PEOPLE = 5


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        return load_model_folder(DEMO)  # which refuses tensors without a place and places without a tensor


@pytest.fixture(scope="module")
def group() -> torch.Tensor:
    picture = Image.open(ROOT / "assets" / "synthetic_group.jpg").convert("RGB")
    return torch.from_numpy(np.array(picture)).float()[None] / 255


@pytest.fixture(scope="module")
def people(group) -> tuple:
    """Crops of them, and the faces that were cropped."""
    with torch.inference_mode():
        faces = pack.FaceAnonDetectFaces.execute(group)[0]
        assert len(faces) == PEOPLE
        return pack.FaceAnonCropFaces.execute(group, faces, OWN.resolution).result


def test_it_is_small_and_half_precision():
    files = [file for file in DEMO.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f"\n{size / 1e6:.1f} MB in {len(files)} files")
    assert size <= 32e6
    assert {file.suffix for file in files} == {".json", ".safetensors"}
    for file in (file for file in files if file.suffix == ".safetensors"):
        with safe_open(file, framework="pt") as tensors:
            assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}, file  # noqa: SIM118


def test_it_is_computed_in_full_precision_where_there_is_no_faster_one(model):
    unet = model.unet.model
    if model.unet.load_device.type == "cpu":
        assert unet.get_dtype_inference() == torch.float32 and model.vae.vae_dtype == torch.float32
    assert model.driving_reference_net.resolution == OWN.resolution == 128


def test_every_person_of_a_group_is_painted_anew(model, group, people):
    crops, cropped = people
    settings = {"steps": 3, "guidance_scale": OWN.guidance_scale}
    painted = pack.FaceAnonAnonymizeCrops.execute(*model, crops, cropped, **settings)[0]
    assert painted.shape == crops.shape and painted.isfinite().all()
    assert painted.min() >= 0 and painted.max() <= 1
    output = pack.FaceAnonPasteFaces.execute(group, cropped, painted)
    assert output.ui["text"] == (
        f"{PEOPLE} faces anonymized\nnot verified: no recogniser was asked about {PEOPLE} painted faces",
    )
    corner = (slice(None), slice(0, 40), slice(0, 100))
    assert torch.equal(output[0][corner], group[corner])


def test_it_says_what_it_is(caplog):
    pack.register_model_folder()
    with caplog.at_level(logging.WARNING, logger="face_anonymizer"):
        output = pack.FaceAnonLoadModel.execute(checkpoint.DEMO, FROM_MODEL_FOLDER, FROM_MODEL_FOLDER)
    assert "synthetic faces of nobody" in OWN.demonstration and "not for real use" in OWN.demonstration
    for said in (*output.ui["text"], *caplog.messages):
        assert OWN.demonstration in said and "scripts/get_models.py" in said
    assert len(caplog.messages) == 1


def test_it_stands_last_and_the_published_model_is_missed_with_a_word_of_it(server):
    options = server.get("/object_info/FaceAnonLoadModel")["FaceAnonLoadModel"]["input"]["required"]["model"]
    assert options[1]["options"] == ["tiny", checkpoint.DEMO]
    pack.register_model_folder()
    message = pack.FaceAnonLoadModel.validate_inputs("face-anon-simple")
    assert f"{checkpoint.DEMO} needs no download" in message and str(checkpoint.PACK_MODELS) not in message


@pytest.mark.parametrize("path", sorted((ROOT / "workflows" / "api").glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_graphs_run_any_model_as_it_wants(path):
    wanted = {
        **{"model": checkpoint.DEMO, "size": OWN_SIZE, "width": OWN.resolution, "height": OWN.resolution},
        **{"guidance_scale": OWN_GUIDANCE, "cfg": OWN.guidance_scale},
    }
    for node in json.loads(path.read_text(encoding="utf-8")).values():
        if node["class_type"] == "FaceAnonDDPMSampler":
            assert node["inputs"]["steps"] == OWN_STEPS
        for name, value in node["inputs"].items():
            if name in wanted and not isinstance(value, list):
                assert value == wanted[name], f"{node['class_type']}: {name}. Run tools/workflows/make.py"


def test_what_the_vae_or_a_low_denoise_gives_back_is_still_the_original(model, group, people):
    """As a graph of VAE Encode, KSampler and VAE Decode makes it: the person is plainly to be seen."""
    crops, cropped = people
    latents = model.encode(crops)
    encoded = EncodedImages.of(model, crops)
    applied = apply_references(model.unet, References.of(model, encoded, encoded, 1.25))
    noise = ddpm.draw_noise(ddpm.face_generators(range(PEOPLE)), latents.shape[1:])
    how = (4, OWN.guidance_scale, "dpmpp_2m", "karras", applied.positive, applied.negative)
    for what, given in (
        ("VAE", latents),
        ("denoise 0.3", comfy.sample.sample(applied.model, noise, *how, latents, denoise=0.3, disable_pbar=True)),
    ):
        *_, report = pack.FaceAnonPasteFaces.execute(group, cropped, model.decode(given)).result
        found = {entry.verdict for entry in report.entries}
        assert report.count() == {"redacted": PEOPLE} and found <= {"still the original", "unchanged"}, what
