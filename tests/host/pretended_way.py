"""The whole way on a pretended card, as functions that raise where a real card would fail: see pretended_gpu.py.

The model has the published architecture at full size (tests/fixtures/golden/full_size_keys.json), or its widths with
fewer layers, and no weights.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import struct
import tempfile
from pathlib import Path

import comfy.model_management
import comfy.samplers
import golden
import numpy as np
import torch
from PIL import Image
from pretended_gpu import DEVICE, Card, PretendedDevice, pretended

from face_anonymizer import nodes as pack
from face_anonymizer.modules.checking.shapes import image_encoder_shapes, unet_shapes, vae_shapes
from face_anonymizer.modules.faces.settings import MODES
from face_anonymizer.modules.model.comfy_engine import FaceAnonModel
from face_anonymizer.modules.model.embedding import encode_image
from face_anonymizer.modules.model.loading import load_model_folder
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.sampling import apply_references, sample
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.modules.model.states import interpolate_states

DEGREE = 1.25
SIZE = 512


# network -> what has fewer layers in its config, and the shapes of such a config
FEWER_LAYERS = {
    "unet": ({"layers_per_block": 1}, unet_shapes),
    "vae": ({"layers_per_block": 1}, vae_shapes),
    "image_encoder": ({"num_hidden_layers": 4}, image_encoder_shapes),
}


@functools.cache
def model_folder(fewer_layers: bool = False) -> Path:
    """A model folder of full size: configs, and weights files of the right length that hold a header and nothing.

    fewer_layers: one a block, four in the image encoder: every width, resolution and kind of layer in half the time.
    """
    folder = Path(tempfile.mkdtemp(prefix="face_anonymizer_full_size_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    full = json.loads((golden.GOLDEN / "full_size_keys.json").read_text(encoding="utf-8"))
    for network, described in {
        "unet": "unet",
        "referencenet": "unet",
        "conditioning_referencenet": "unet",
        "image_encoder": "image_encoder",
        "vae": "vae",
    }.items():
        config, shapes = full[f"{described}_config"], full[described]
        if fewer_layers:
            changed, shapes_of = FEWER_LAYERS[described]
            config = config | changed
            shapes = shapes_of(config)
        (folder / network).mkdir()
        (folder / network / "config.json").write_text(json.dumps(config), encoding="utf-8")
        _write_header(folder / network / "diffusion_pytorch_model.safetensors", shapes)
    return folder


def _write_header(path: Path, shapes: dict[str, list[int]]) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * torch.Size(shape).numel()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    written = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(written)) + written)
        file.truncate(8 + len(written) + end)


def references(device: PretendedDevice, model: FaceAnonModel, images: torch.Tensor) -> References:
    """What Apply and both samplers take beside the MODEL, for images [N, S, S, 3] that are source and driving."""
    latents = model.vae.encode(images)
    with device.values():  # CLIP's preprocessing is PIL's
        source_embeds = encode_image(model.clip_vision, images, DEGREE)
        driving_embeds = encode_image(model.clip_vision, images, 0.0)
    source = interpolate_states(model.source_reference_net.states(latents, source_embeds), DEGREE)
    driving = model.driving_reference_net.states(latents, driving_embeds)
    return References(source, driving, source_embeds, driving_embeds)


class OnePrediction(comfy.samplers.KSAMPLER):
    """A SAMPLER that predicts once, at the first sigma."""

    def __init__(self):
        super().__init__(lambda model, x, sigmas, extra_args, **_: model(x, sigmas[:1].expand(len(x)), **extra_args))


def predict(model, references: References, guidance: float) -> tuple[torch.Tensor, set[int]]:
    """The denoised latents of one prediction of the guider on what Apply gives, and the halves that were asked."""
    applied = apply_references(model, references)
    halves: set[int] = set()

    def spy(x, context, value, extra_options):
        halves.update(extra_options["cond_or_uncond"])
        return x, context, value

    applied.model.set_model_attn1_patch(spy)
    guider = comfy.samplers.CFGGuider(applied.model)
    guider.set_conds(applied.positive, applied.negative)
    guider.set_cfg(guidance)
    latent = applied.latent["samples"]
    sigmas = torch.tensor([14.6, 0.0])
    return guider.sample(torch.randn(latent.shape), latent, OnePrediction(), sigmas, disable_pbar=True), halves


def check_whole_way(
    card: Card,
    weight_dtype: str = "default",
    folder: Path | None = None,
    size: int = SIZE,
    faces: int = 2,
    steps: int = 2,
) -> PretendedDevice:
    """Load, encode, states, interpolate, Apply, predictions in both halves, sample, decode; raises where a card would.

    Also raises AssertionError where a result has another shape, device or dtype than its users expect, or stays on the
    card after all models were unloaded.
    folder: another model than that of full size; size: of its faces, in pixels. steps: of the paper's sampler.
    """
    folder = folder or model_folder()
    with pretended(card) as device:
        intermediate = DEVICE if card.gpu_only else torch.device("cpu")
        model = load_model_folder(folder, weight_dtype=weight_dtype)
        with device.values():
            images = torch.rand(faces, size, size, 3).to(intermediate)
        everything = references(device, model, images)
        source, driving = everything.source_states, everything.driving_states
        inference = model.unet.model.get_dtype_inference()
        for states in (source.conditional, source.unconditional, driving.conditional):
            _check_states(states, intermediate, inference)
        denoised, halves = predict(model.unet, everything, 4.0)
        assert halves == {0, 1}, f"With guidance the halves {halves} were asked"
        assert denoised.shape == (faces, model.vae.latent_channels, *source.latent_size)
        latents = sample(model.unet, everything, range(7, 7 + faces), SamplerSettings(steps=steps, guidance_scale=1.0))
        assert (latents.device, latents.dtype) == (intermediate, torch.float32)
        decoded = model.vae.decode(latents)
        assert (decoded.shape, decoded.device) == (images.shape, intermediate)
        for states in (source.conditional, source.unconditional, driving.conditional):
            _check_states(states, intermediate, inference)
        if not card.gpu_only:
            del model
            comfy.model_management.unload_all_models()
            assert device.live < 1 << 20, f"{device.live} bytes stay on the card when all models are unloaded"
    return device


def _check_states(states, device: torch.device, dtype: torch.dtype) -> None:
    for layer, state in states.items():
        assert state.device == device, f"The state of {layer} lies on {state.device}"
        assert state.dtype == dtype, f"The state of {layer} is {state.dtype}, the network's is {dtype}"


def check_pictures(card: Card) -> None:
    """Detect, track, crop, paste and redact the face of a photo, by the nodes and with its values.

    Raises where a card would, and AssertionError where the face is not found or the results lie elsewhere.
    """
    intermediate = DEVICE if card.gpu_only else torch.device("cpu")
    photo = Image.open(golden.FIXTURES.parents[1] / "assets" / "astronaut.jpg").convert("RGB").crop((96, 0, 352, 256))
    with pretended(card) as device, device.values():
        frame = torch.from_numpy(np.asarray(photo.resize((128, 128)), dtype=np.float32)) / 255
        images = torch.stack([frame, frame.roll(2, 1)]).to(intermediate)
        faces = pack.FaceAnonDetectFaces.execute(images)[0]
        assert sorted(face.image_index for face in faces) == [0, 1], f"{len(faces)} faces were found in 2 frames of one"
        tracked = pack.FaceAnonTrackFaces.execute(images, faces)[0]
        assert {face.track for face in tracked} == {0}
        crops, cropped = pack.FaceAnonCropFaces.execute(images, tracked, size=128)
        assert (crops.device, tuple(crops.shape)) == (intermediate, (2, 128, 128, 3))
        # a crop that shows what the picture shows is not pasted but redacted
        options = {
            "region": "oval",
            "colour_match": 0.5,
            "keep_mouth": True,
            "protect": (images[..., 0] > 0.95).float(),
        }
        pasted, mask, _ = pack.FaceAnonPasteFaces.execute(
            images, cropped, crops.roll(crops.shape[1] // 2, 1), **options
        )
        modes = MODES if card.kind == "mps" else MODES[:1]  # one look at a result each; Apple's cards refuse most
        redacted = [pack.FaceAnonRedactFaces.execute(images, faces, mode)[0] for mode in modes]
        for result in (pasted, *redacted):
            assert (result.device, result.shape) == (intermediate, images.shape)
            assert bool((result != images).any()), "The picture is as it was"
        assert bool((mask > 0.5).any()), "Nothing was pasted"
