"""Load a model folder into ComfyUI's own models. Touches the host: comfy.*, its patchers and memory management.

The UNet is built from its config.json and filled from the diffusers-layout weights; every tensor is used and every
parameter filled, or a ValueError says which is not. A folder may be anybody's: all configs are read, and each held
against the headers of its weights, before the network is built.
"""

from __future__ import annotations

import os
from pathlib import Path

import comfy.clip_vision
import comfy.diffusers_convert
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models_base
import comfy.utils
import torch

from . import checkpoint
from .comfy_engine import FaceAnonModel
from .configs import SCALING_FACTOR, ClipConfig, VaeConfig, read_clip_config, read_vae_config
from .expected_tensors import check_tensors
from .reference_net import ReferenceNet
from .states import DRIVING, SOURCE
from .unet_layout import UNetLayout, read_unet_layout
from .vae_fit import check_vae

FROM_MODEL_FOLDER = "from model folder"

_PROBED = 4096  # values of each tensor that are looked at: all would be read from the disk for it

WEIGHT_DTYPES = {
    "default": None,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}


def load_model_folder(
    folder: Path, clip_vision: Path | None = None, vae: Path | None = None, weight_dtype: str = "default"
) -> FaceAnonModel:
    """Load the three UNets, the image encoder and the VAE of a model folder in the published layout.

    Args:
        folder: unet/, referencenet/ and conditioning_referencenet/; image_encoder/ and vae/ unless files are given.
        clip_vision: a safetensors file to take instead of image_encoder/.
        vae: a safetensors file to take instead of vae/.
        weight_dtype: a key of WEIGHT_DTYPES, for the three UNets.

    Raises:
        FileNotFoundError: names the file that is missing, and the next step.
        ValueError: names the file that does not fit, and the next step.
    """
    dtype = WEIGHT_DTYPES[weight_dtype]
    settings = checkpoint.read_settings(folder)
    layouts = [read_layout(folder / network) for network in checkpoint.NETWORKS]
    clip_path, vae_path = clip_vision or folder / checkpoint.IMAGE_ENCODER, vae or folder / checkpoint.VAE
    clip_config, vae_config = _clip_config(clip_path), _vae_config(vae_path)
    checkpoint.read_prediction_type(folder)
    scaling_factor = _scaling_factor(folder)
    for network, layout in zip(checkpoint.NETWORKS[1:], layouts[1:], strict=True):
        if layout.blocks != layouts[0].blocks or layout.context_dim != layouts[0].context_dim:
            raise ValueError(
                f"{folder / network / 'config.json'} describes another architecture than {folder / checkpoint.UNET}: "
                f"attention in {list(layout.blocks)} with context {layout.context_dim} against "
                f"{list(layouts[0].blocks)} with {layouts[0].context_dim}. All three belong to one model."
            )
    encoder = load_clip_vision(clip_path, clip_config)
    # a model with a face_anon.json was trained with the image encoder that it brings
    own_encoder = clip_vision is None and (folder / checkpoint.SETTINGS_FILE).is_file()
    check_image_encoder(encoder, layouts[0].context_dim, clip_path, own_encoder)
    loaded_vae = load_vae(vae_path, vae_config)
    check_vae(loaded_vae, layouts[0].in_channels, _downscale(folder), str(vae_path), scaling_factor)
    # the projection, which the method does not use, is whatever was in memory
    used = {name: tensor for name, tensor in encoder.model.state_dict().items() if "visual_projection" not in name}
    _check_finite(used, clip_path)
    encoder.face_anon_folder = identity(folder)
    unet, source, driving = (
        load_unet(folder, network, dtype=dtype, scaling_factor=scaling_factor) for network in checkpoint.NETWORKS
    )
    return FaceAnonModel(
        unet=unet,
        source_reference_net=ReferenceNet(
            source, SOURCE, layouts[1].routes(settings.routing), settings.resolution, identity(folder)
        ),
        driving_reference_net=ReferenceNet(
            driving, DRIVING, layouts[2].routes(settings.routing), settings.resolution, identity(folder)
        ),
        clip_vision=encoder,
        vae=loaded_vae,
    )


def identity(folder: Path) -> str:
    """The one name of a model folder, whichever link or spelling leads to it; parts of one model share it."""
    return os.path.normcase(os.path.realpath(folder))


def read_layout(network_folder: Path) -> UNetLayout:
    """Read the UNetLayout of a network's folder from its config.json."""
    path = network_folder / "config.json"
    return read_unet_layout(checkpoint.read_json(path), path)


def load_unet(
    folder: Path,
    network: str,
    dtype: torch.dtype | None = None,
    scaling_factor: float = SCALING_FACTOR,
    disable_dynamic: bool = False,
):
    """Load one of the three UNets of a model folder.

    Args:
        folder: of the model.
        network: which one, of checkpoint.NETWORKS.
        dtype: of the weights; None leaves it to the host.
        scaling_factor: between the VAE's latents and the network's.
        disable_dynamic: whether to do without dynamic VRAM. The host asks for it when it calls this function again by
            `cached_patcher_init` (comfy/model_patcher.py).

    Returns:
        The host's ModelPatcher.

    Raises:
        FileNotFoundError, ValueError: see load_model_folder.
    """
    layout = read_layout(folder / network)
    check_tensors(layout.tensors, checkpoint.read_shapes(checkpoint.weight_files(folder / network)), folder / network)
    state_dict = _read_state_dict(folder / network)
    model_config = _UNetConfig(layout, checkpoint.read_prediction_type(folder), scaling_factor)
    model_config.latent_format.spacial_downscale_ratio = _downscale(folder)
    state_dict = _to_host_keys(state_dict, model_config.unet_config, folder / network)

    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    dtype_options = {"supported_dtypes": model_config.supported_inference_dtypes}
    weight_dtype = dtype or comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(state_dict),
        weight_dtype=comfy.utils.weight_dtype(state_dict),
        **dtype_options,
    )
    manual_cast = comfy.model_management.unet_manual_cast(weight_dtype, load_device, **dtype_options)
    model_config.set_inference_dtype(weight_dtype, manual_cast)
    model = model_config.get_model(state_dict)
    _set_norm_groups(model.diffusion_model, layout.norm_groups)
    _check_complete(state_dict, _shapes(model.diffusion_model), folder / network)
    _check_finite(state_dict, folder / network)

    patcher_class = (
        comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    )  # looked up at call time: the host rebinds it
    patcher = patcher_class(model, load_device=load_device, offload_device=offload_device)
    if not comfy.model_management.is_device_cpu(offload_device):
        model.to(offload_device)
    model.load_model_weights(state_dict, "", assign=patcher.is_dynamic())
    if not patcher.is_dynamic():
        # layers that the host built without weights, as dynamic VRAM is on, have taken the file's dtype
        model.diffusion_model.to(weight_dtype)
    model.face_anon_folder = identity(folder)
    patcher.cached_patcher_init = (load_unet, (folder, network, dtype, scaling_factor))
    return patcher


def load_clip_vision(path: Path, config: ClipConfig | None = None) -> comfy.clip_vision.ClipVisionModel:
    """Load the image encoder.

    Args:
        path: a folder (config.json and weights, as transformers saves them) or one safetensors file.
        config: of the folder, where it is read already.

    Raises:
        FileNotFoundError, ValueError: see load_model_folder.
    """
    if path.is_file():
        checkpoint.check_safetensors(path)
        encoder = comfy.clip_vision.load(str(path))
        if encoder is None or not hasattr(encoder.model, "vision_model"):
            raise ValueError(f"{path} is no CLIP image encoder. The method needs CLIP ViT-L/14 (vision part).")
        return encoder
    config = config or _clip_config(path)
    assert config is not None
    shapes = checkpoint.read_shapes(checkpoint.weight_files(path))
    check_tensors(config.tensors, {key.removeprefix("vision_model."): shape for key, shape in shapes.items()}, path)
    state_dict = _read_state_dict(path)
    if "embeddings.class_embedding" in state_dict:  # as transformers 5 names them; the host has the older names
        state_dict = {f"vision_model.{key}": value for key, value in state_dict.items()}
    encoder = comfy.clip_vision.ClipVisionModel(config.host_config)
    # the projection is not used by the method, and position_ids are a constant that old files carry
    optional = {"visual_projection.weight", "vision_model.embeddings.position_ids"}
    given = {key: value for key, value in state_dict.items() if key not in optional}
    expected = {key: shape for key, shape in _shapes(encoder.model).items() if key not in optional}
    _check_complete(given, expected, path)
    encoder.load_sd(given)
    return encoder


def check_image_encoder(
    encoder: comfy.clip_vision.ClipVisionModel, context_dim: int, path: Path, own: bool = False
) -> None:
    """Make sure that the encoder's pooled embedding is what the UNet takes as context.

    Most other encoders have another width; but CLIP ViT-L/14 of 336 pixels is as wide as that of 224, which the
    published model was trained with.

    Args:
        encoder: the loaded image encoder.
        context_dim: the width of the UNet's context.
        path: of the encoder, for the error.
        own: whether the model was trained with this very encoder, which may then take pictures of any size.

    Raises:
        ValueError: names the encoder and the one that fits.
    """
    needed = "The published model needs CLIP ViT-L/14 (1024 wide before its projection, 224 pixels)"
    width = encoder.model.vision_model.post_layernorm.weight.shape[0]
    if width != context_dim:
        raise ValueError(
            f"The image encoder {path} gives embeddings of width {width}, the UNet takes {context_dim}. {needed}; "
            f"ViT-H and ViT-g do not fit."
        )
    if width == 1024 and encoder.image_size != 224 and not own:
        raise ValueError(
            f"The image encoder {path} takes pictures of {encoder.image_size} pixels: its embeddings are as wide as "
            f"those that the UNet was trained with, but say something else. {needed}, not its version of 336 pixels."
        )


def load_vae(path: Path, config: VaeConfig | None = None) -> comfy.sd.VAE:
    """Load the VAE.

    Args:
        path: a folder in the diffusers layout, of any widths, or one safetensors file.
        config: of the folder, where it is read already.

    Raises:
        FileNotFoundError, ValueError: see load_model_folder.
    """
    if path.is_file():
        checkpoint.check_safetensors(path)
        state_dict, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
        vae = comfy.sd.VAE(sd=state_dict, metadata=metadata)
        vae.throw_exception_if_invalid()
        return vae
    config = config or _vae_config(path)
    assert config is not None
    check_tensors(config.tensors, checkpoint.read_shapes(checkpoint.weight_files(path)), path)
    state_dict = _read_state_dict(path)
    params = {"ddconfig": config.host_config, "embed_dim": config.latent_channels}
    # VAE(...) converts the diffusers names itself; converted here too, so that a gap is an error rather than a log line
    converted = comfy.diffusers_convert.convert_vae_state_dict(dict(state_dict))
    vae = comfy.sd.VAE(sd=state_dict, config={"params": params})
    _check_complete(converted, _shapes(vae.first_stage_model), path)
    _check_finite(converted, path)
    _set_norm_groups(vae.first_stage_model, config.norm_groups)
    vae.latent_channels = config.latent_channels
    vae.downscale_ratio = vae.upscale_ratio = config.scale
    return vae


class _UNetConfig(comfy.supported_models_base.BASE):
    """The host's description of a model, made from a UNetLayout rather than detected."""

    unet_extra_config = {}
    memory_usage_factor = 1.0  # as the host's SD20

    def __init__(self, layout: UNetLayout, prediction_type: str, scaling_factor: float):
        super().__init__(layout.host_config)
        # SD2.1 overflows in half precision unless attention runs in float32
        self.unet_config["attn_precision"] = torch.float32 if layout.upcast_attention else None
        self.prediction_type = prediction_type
        self.latent_format = comfy.latent_formats.SD15(scaling_factor)
        if layout.in_channels != self.latent_format.latent_channels:
            self.latent_format.latent_channels = layout.in_channels
            self.latent_format.latent_rgb_factors = None  # those of the preview are SD's four channels
            self.latent_format.taesd_decoder_name = None

    def model_type(self, state_dict, prefix=""):
        return {
            "v_prediction": comfy.model_base.ModelType.V_PREDICTION,
            "epsilon": comfy.model_base.ModelType.EPS,
        }[self.prediction_type]

    def inpaint_model(self):
        return False  # in_channels > 4 here means a wider VAE, not a mask


def _set_norm_groups(network: torch.nn.Module, groups: int) -> None:
    """The host builds every normalisation with Stable Diffusion's 32 groups; narrow networks have fewer."""
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = groups


def _check_folder(path: Path, kind: str) -> None:
    if not path.is_dir():
        raise FileNotFoundError(
            f"The folder {path} is missing. `{checkpoint.GET_MODELS}` fills it; or choose a file of models/{kind} in "
            f"the {kind} input of Load Face Anonymizer Model."
        )


def _clip_config(path: Path) -> ClipConfig | None:
    """The config of an image encoder's folder; None for a file. Raises as load_model_folder."""
    if path.is_file():
        return None
    _check_folder(path, "clip_vision")
    return read_clip_config(path / "config.json")


def _vae_config(path: Path) -> VaeConfig | None:
    """The config of a VAE's folder; None for a file. Raises as load_model_folder."""
    if path.is_file():
        return None
    _check_folder(path, "vae")
    return read_vae_config(path / "config.json")


def _scaling_factor(folder: Path) -> float:
    """The factor of the VAE's latents: Stable Diffusion's, unless the folder brings a VAE with another one."""
    path = folder / checkpoint.VAE / "config.json"
    return read_vae_config(path).scaling_factor if path.is_file() else SCALING_FACTOR


def _downscale(folder: Path) -> int:
    """How many pixels a latent's is wide: Stable Diffusion's, unless the folder brings another VAE."""
    path = folder / checkpoint.VAE / "config.json"
    return read_vae_config(path).scale if path.is_file() else comfy.latent_formats.SD15.spacial_downscale_ratio


def _read_state_dict(folder: Path) -> dict[str, torch.Tensor]:
    state_dict: dict[str, torch.Tensor] = {}
    for file in checkpoint.weight_files(folder):
        state_dict.update(comfy.utils.load_torch_file(str(file)))
    return state_dict


def _check_finite(state_dict: dict[str, torch.Tensor], folder: Path) -> None:
    for name, tensor in state_dict.items():
        if tensor.is_meta or type(tensor) is not torch.Tensor:  # a shape without values
            continue
        if not torch.isfinite(tensor.flatten()[:_PROBED].float()).all():
            raise ValueError(
                f"{folder}: {name} holds values that are no numbers (NaN or infinity): the file is damaged, or its "
                "training broke down. Get it again."
            )


def _to_host_keys(state_dict: dict, unet_config: dict, folder: Path) -> dict:
    """Rename a diffusers UNet's tensors as the host names them; none may be left over."""
    names = comfy.utils.unet_to_diffusers(unet_config)
    unknown = [key for key in state_dict if key not in names]
    if unknown:
        raise ValueError(
            f"{folder}: {len(unknown)} tensors have no place in the UNet of config.json, the first is {unknown[0]} "
            f"{tuple(state_dict[unknown[0]].shape)}. Weights and config.json are of different models; get both again."
        )
    return {names[key]: value for key, value in state_dict.items()}


def _shapes(network: torch.nn.Module) -> dict[str, torch.Size]:
    """Name -> shape of every tensor that the network takes, whether it holds one yet or not.

    Under dynamic VRAM (comfy/ops.py, Linear) a layer of the host has no weight before its state dict is loaded, and so
    it is not in state_dict().
    """
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear) and module.weight is None:
            shapes[f"{name}.weight"] = torch.Size([module.out_features, module.in_features])
            if module.comfy_need_lazy_init_bias:
                shapes[f"{name}.bias"] = torch.Size([module.out_features])
    return shapes


def _check_complete(given: dict[str, torch.Tensor], expected: dict[str, torch.Size], folder: Path) -> None:
    """Raise ValueError unless both hold the same names with the same shapes."""
    missing = [key for key in expected if key not in given]
    unused = [key for key in given if key not in expected]
    if missing or unused:
        raise ValueError(
            f"{folder}: {len(missing)} tensors are missing (first: {(missing or ['-'])[0]}) and {len(unused)} are not "
            f"used (first: {(unused or ['-'])[0]}). Weights and config.json belong to different models; get both again."
        )
    for key, shape in expected.items():
        if given[key].shape != shape:
            raise ValueError(
                f"{folder}: {key} is {tuple(given[key].shape)}, config.json asks for {tuple(shape)}. Weights and "
                f"config.json belong to different models; get both again."
            )
