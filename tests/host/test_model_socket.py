"""The whole model in one wire, and values that a graph leaves to its model."""

import contextlib
import copy
from types import SimpleNamespace

import comfy.sd
import pipeline
import pytest
import torch
from comfy.taesd import taesd

from face_anonymizer import nodes as pack
from face_anonymizer.modules.faces.types import BOX_ONLY, Face, Faces
from face_anonymizer.modules.model import checkpoint
from face_anonymizer.modules.model.own import OWN_GUIDANCE, OWN_STEPS, own_settings, with_own
from face_anonymizer.modules.model.settings import DDPM, SamplerSettings
from face_anonymizer.modules.model.vae_fit import check_vae, is_named_sdxl

DEMO = str(checkpoint.PACK_MODELS / checkpoint.DEMO)
FIVE = ("model", "source_reference_net", "driving_reference_net", "clip_vision", "vae")


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        return pipeline.load_tiny()


@pytest.fixture(scope="module")
def face():
    """A photo and its one face."""
    image = pipeline.photo()
    box = torch.tensor([182.0, 58, 270, 178]).numpy()
    return image, Faces(1, *image.shape[1:3], (Face(0, box, 0.9, torch.zeros(0, 2).numpy(), BOX_ONLY, "test"),))


def test_one_wire_paints_what_five_do(model, face):
    crops, faces = pack.FaceAnonCropFaces.execute(*face, size=0, face_anon_model=model).result
    assert crops.shape == (1, 128, 128, 3)
    settings = {"crops": crops, "faces": faces, "seed": 7, "steps": 1, "sampler_name": DDPM}
    five = pack.FaceAnonAnonymizeCrops.execute(*model, **settings)[0]
    one = pack.FaceAnonAnonymizeCrops.execute(**settings, face_anon_model=model)[0]
    assert torch.equal(one, five)
    other = model._replace(vae=None)  # a part that is connected by itself is taken, as a MODEL with a LoRA
    assert torch.equal(pack.FaceAnonAnonymizeCrops.execute(**settings, vae=model.vae, face_anon_model=other)[0], five)
    with pytest.raises(ValueError, match=r"connect face_anon_model .* outputs source_reference_net, .*, vae[.]"):
        pack.FaceAnonAnonymizeCrops.execute(model.unet, **settings)


def test_only_what_is_connected_and_needed_is_asked_for(face):
    _, faces = face
    ask = pack.FaceAnonAnonymizeCrops.check_lazy_status
    none = Faces(1, 512, 512, ())
    assert ask(faces=faces, face_anon_model=None) == ["face_anon_model"]
    assert ask(faces=faces, model=None, face_anon_model=None) == ["model", "face_anon_model"]
    assert ask(faces=faces, **dict.fromkeys(FIVE)) == list(FIVE)
    assert ask(faces=faces, **dict.fromkeys(FIVE), face_anon_model=None) == list(FIVE), "five are enough"
    assert ask(faces=faces, **dict.fromkeys(FIVE, 1)) == [] == ask(faces=none, face_anon_model=None)
    crop = pack.FaceAnonCropFaces.check_lazy_status
    assert crop(faces=faces, size=0, image=1, face_anon_model=None) == ["face_anon_model"]
    assert crop(faces=faces, size=128, face_anon_model=None) == [] == crop(faces=none, size=0, face_anon_model=None)


def test_a_size_of_its_own_needs_a_model_where_there_is_a_face(face):
    image, faces = face
    with pytest.raises(ValueError, match="connect face_anon_model"):
        pack.FaceAnonCropFaces.execute(image, faces, size=0)
    with pytest.raises(ValueError, match="64 pixels or more"):
        pack.FaceAnonCropFaces.execute(image, faces, size=8)
    crops, _ = pack.FaceAnonCropFaces.execute(image, Faces(1, 512, 512, ()), size=0).result
    assert len(crops) == 0


def test_a_model_says_how_it_is_sampled():
    own = SamplerSettings(steps=OWN_STEPS, guidance_scale=OWN_GUIDANCE)
    assert with_own(own, DEMO) == SamplerSettings(steps=25, guidance_scale=2.0)
    assert with_own(SamplerSettings("euler", "karras", OWN_STEPS, OWN_GUIDANCE), DEMO).steps == 25
    given = SamplerSettings(steps=3, guidance_scale=0.0)
    assert with_own(given, "") is given, "0 is the conditional prediction alone, as it was"
    with pytest.raises(ValueError, match=r"its folder .* is not there any more"):
        with_own(own, DEMO + "_gone")
    with pytest.raises(ValueError, match="or -1 for the model's own"):
        with_own(SamplerSettings(guidance_scale=-0.5), DEMO)
    assert own_settings(DEMO).resolution == 128


def test_the_sampler_node_takes_its_model_s_own(model):
    crops = pipeline.face_images(1)
    inputs = pipeline.references(model, crops, crops)
    latents = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=1, guidance_scale=-1)[0]["samples"]
    expected = pack.FaceAnonDDPMSampler.execute(**inputs, seed=7, steps=1, guidance_scale=4.0)[0]["samples"]
    assert torch.equal(latents, expected)


def test_the_loader_gives_all_in_its_last_output():
    pack.register_model_folder()
    loaded = pack.FaceAnonLoadModel.execute(checkpoint.DEMO, "from model folder", "from model folder").result
    assert len(loaded) == 6 and tuple(loaded[5]) == tuple(loaded[:5]) and loaded[5].resolution == 128


@pytest.mark.parametrize("degree", [-0.5, 3.0, float("nan")])
def test_a_degree_beyond_0_to_2_by_a_wire_is_refused(model, face, degree):
    crops, faces = pack.FaceAnonCropFaces.execute(*face, size=128).result
    with pytest.raises(ValueError, match="degree is 0 to 2"):
        pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces, degree=degree)
    with pytest.raises(ValueError, match="degree is 0 to 2"):
        pack.FaceAnonEncodeImage.execute(model.clip_vision, crops, degree)


def test_crops_of_another_size_than_the_model_s_are_refused(model, face):
    crops, faces = pack.FaceAnonCropFaces.execute(*face, size=512).result
    with pytest.raises(
        ValueError, match=r"512x512 pixels, this model paints 128x128. Set the size of Crop Faces to 128"
    ):
        pack.FaceAnonAnonymizeCrops.execute(*model, crops, faces, steps=1)


def test_a_number_that_no_face_has_is_refused(face):
    _, faces = face
    with pytest.raises(ValueError, match="names no face by 99: the numbers are 1 to 1"):
        pack.FaceAnonSelectFaces.execute(faces, indices="1, 99")
    selected, _ = pack.FaceAnonSelectFaces.execute(Faces(1, 512, 512, ()), indices="99").result
    assert len(selected) == 0, "a picture without a face is no error"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("latent_channels", 16, "makes 16-channel latents, the UNet takes 4"),
        ("downscale_ratio", 16, "a latent pixel of 16x16 pixels, the UNet takes 8x8"),
        ("latent_dim", 3, "is one for videos"),
    ],
)
def test_a_vae_of_another_family_is_refused(model, face, field, value, said):
    """By its wire: the loader looks at its own."""
    crops, faces = pack.FaceAnonCropFaces.execute(*face, size=128).result
    other = copy.copy(model.vae)
    setattr(other, field, value)
    with pytest.raises(ValueError, match=f"This VAE .*{said}.*Connect the VAE of Load Face Anonymizer Model"):
        pack.FaceAnonAnonymizeCrops.execute(crops=crops, faces=faces, vae=other, face_anon_model=model)


def test_a_vae_of_sdxl_is_known_by_its_name_alone(model):
    check_vae(model.vae, 4, 8, "models/vae/sd-vae-ft-mse.safetensors")
    with pytest.raises(ValueError, match=r"The VAE .*SDXL_vae_fp16[.]safetensors is one for SDXL"):
        check_vae(model.vae, 4, 8, "models/vae/SDXL_vae_fp16.safetensors")


@pytest.mark.parametrize(
    ("name", "is_sdxl"),
    [
        *(
            (name, True)
            for name in ("sdxl_vae.safetensors", "sd_xl_base_1.0.safetensors", "juggernautXL_v9.safetensors")
        ),
        *((name, True) for name in ("ponyDiffusionV6XL.safetensors", "sd15/sdxl_vae.safetensors", "sd15\\xl.pt")),
        *((name, True) for name in ("taesdxl", "juggernautXLv9.safetensors", "pixelXLv15.safetensors", "sdxl.vae.pt")),
        *((name, False) for name in ("SDXL/vae-ft-mse-840000-ema-pruned.safetensors", "xl\\kl-f8-anime2.ckpt")),
        *((name, False) for name in ("taesd", "photo_XLarge.safetensors", "not_for_xl/vae.pt", "maxlv2.safetensors")),
        *((name, False) for name in ("vae-ft-mse-840000-ema-pruned.safetensors", "pixlart.safetensors", "v1-5.ckpt")),
        *((f"{folder}/diffusion_pytorch_model.safetensors", True) for folder in ("sdxl-vae-fp16-fix", "a-xl\\vae")),
        *((f"{folder}/diffusion_pytorch_model.fp16.safetensors", False) for folder in ("xl/sd-vae-ft-mse", "vae", "")),
        *((name, False) for name in ("from model folder", "models/face_anon/my_sdxl_test/vae", "")),
    ],
)
def test_names_of_sdxl(name, is_sdxl):
    assert is_named_sdxl(name) == is_sdxl


@pytest.mark.parametrize(
    ("scale", "said"),
    [(0.18215, ""), (0.13025, "This VAE is one for SDXL"), (0.3611, "scales its latents by 0.3611, .* 0.18215")],
)
def test_a_small_vae_is_judged_by_the_scale_that_it_carries(scale, said):
    """As ComfyUI's loader makes TAESD, with random weights."""
    small = taesd.TAESD()
    state = {name: tensor for name, tensor in small.state_dict().items() if "vae_s" not in name}
    vae = comfy.sd.VAE(sd=state | {"vae_scale": torch.tensor(scale), "vae_shift": torch.tensor(0.0)})
    with pytest.raises(ValueError, match=said) if said else contextlib.nullcontext():
        check_vae(vae, 4, 8, "")


@pytest.mark.parametrize("loader", ["VAELoader", "CheckpointLoaderSimple"])
def test_a_vae_of_sdxl_is_refused_by_its_wire_too(model, face, loader):
    """By the file that the graph loads it from; a checkpoint that made the picture is none of its business."""
    crops, faces = pack.FaceAnonCropFaces.execute(*face, size=128).result
    file = {"VAELoader": {"vae_name": "sdxl_vae.safetensors"}}.get(loader, {"ckpt_name": "sd_xl_base_1.0.safetensors"})
    prompt = {
        "1": {"class_type": loader, "inputs": file},
        "2": {"class_type": "FaceAnonAnonymizeCrops", "inputs": {"crops": ["1", 0], "vae": ["1", 2]}},
    }
    node = pack.FaceAnonAnonymizeCrops.PREPARE_CLASS_CLONE(None)
    node.hidden = SimpleNamespace(unique_id="2", prompt=prompt, dynprompt=None)
    inputs = {"crops": crops, "faces": faces, "seed": 7, "steps": 1, "vae": model.vae, "face_anon_model": model}
    with pytest.raises(ValueError, match=r"The VAE sd.*xl.*[.]safetensors is one for SDXL"):
        node.execute(**inputs)
    del prompt["2"]["inputs"]["vae"]
    assert node.execute(**inputs)[0].shape == crops.shape
