"""The published model: every file of its folder, where it comes from, and what is cut out of the CLIP repository."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from .hub import GetModelsError, Item

FACE_ANON = "hkung/face-anon-simple"
CLIP = "openai/clip-vit-large-patch14"
VAE = "stabilityai/sd-vae-ft-mse"

# Commits that the files are taken from, so that everybody gets the same bytes.
REVISIONS = {
    # The commit that adds the model card to the last upload of weights (9083211), as proposed in the repository's
    # discussion 1; the merge on `main` (0966720) has the same content. All three networks are in it.
    FACE_ANON: "575f54f93c9d8a67cefca98b8fa95288a4a4fb9e",
    CLIP: "32bd64288804d66eefd0ccbe215aa642df71cc41",
    VAE: "31f26fdeee1355a5c34592e401dd41e45d25a493",
}

# Sums known independently of what the hub says on the day, at the commits above. Files without one are checked
# against the hub's metadata of the commit.
PUBLISHED_SHA256 = {
    (FACE_ANON, "conditioning_referencenet/diffusion_pytorch_model.safetensors"):
        "9216c35961ce72a4cd82e843ae7cfb5bf4a3e44defbd39e3c2a2c4701f973bb3",
    (CLIP, "model.safetensors"): "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
    (VAE, "diffusion_pytorch_model.safetensors"): "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
}  # fmt: skip

VISION_PREFIX = "vision_model."
VISION_CONFIG_KEYS = (
    "attention_dropout", "hidden_act", "hidden_size", "image_size", "initializer_factor", "initializer_range",
    "intermediate_size", "layer_norm_eps", "num_attention_heads", "num_channels", "num_hidden_layers", "patch_size",
    "projection_dim",
)  # fmt: skip


# What is cut out of the CLIP repository --------------------------------------------------------------------------


def check_content(item: Item, file: Path) -> None:
    """Make sure that a file of the hub is what its name says: a whole safetensors file, or one JSON object.

    Args:
        item: of the catalogue.
        file: as it was downloaded.

    Raises:
        GetModelsError: it is something else, whatever sum the hub has of it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if item.remote.endswith(".json"):
            _read_object(file)
        else:
            with safe_open(file, framework="np"):
                pass
    except (SafetensorError, ValueError) as error:
        raise GetModelsError(
            f"{item.remote} of {item.repository} is no {PurePosixPath(item.remote).suffix} file ({error}), so it is "
            "not the published one. Leave out --revision to use the tested commit; if HF_ENDPOINT points to a mirror, "
            "try without."
        ) from error


def _read_object(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not an object")
    return content


def keep_vision_config(source: Path, target: Path) -> None:
    """Write the vision half of a CLIP config.json as the config of a `CLIPVisionModel`."""
    vision = _read_object(source).get("vision_config")
    vision = vision if isinstance(vision, dict) else {}
    missing = [key for key in VISION_CONFIG_KEYS if key not in vision]
    if missing:
        raise GetModelsError(
            f"the config.json of {CLIP} has no {', '.join(missing)} in its vision_config, so it is not the published "
            "file. Leave out --revision to use the tested commit."
        )
    config = {"architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model"}
    config |= {key: vision[key] for key in VISION_CONFIG_KEYS}
    target.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def keep_vision_tensors(source: Path, target: Path) -> None:
    """Copy the `vision_model.*` tensors of a safetensors file, unchanged; `position_ids` are buffers, not weights."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(source, framework="np") as tensors:
        names = [n for n in tensors.keys() if n.startswith(VISION_PREFIX) and not n.endswith("position_ids")]  # noqa: SIM118
        if not names:
            raise GetModelsError(
                f"the model.safetensors of {CLIP} has no {VISION_PREFIX}* tensors, so it is not the published file. "
                "Leave out --revision to use the tested commit."
            )
        # transformers refuses a file without this note
        save_file({name: tensors.get_tensor(name) for name in names}, target, metadata={"format": "pt"})


# The table of files ----------------------------------------------------------------------------------------------


def _network(part: str) -> list[Item]:
    weights = "diffusion_pytorch_model.safetensors"
    return [
        Item(part, FACE_ANON, f"{part}/config.json", "config.json", 1_880),
        Item(part, FACE_ANON, f"{part}/{weights}", weights, 3_463_726_000),
    ]


ITEMS = [
    *_network("unet"),
    *_network("referencenet"),
    *_network("conditioning_referencenet"),
    Item("image_encoder", CLIP, "config.json", "config.json", 4_519, keep_vision_config),
    Item("image_encoder", CLIP, "model.safetensors", "model.safetensors", 1_710_540_580, keep_vision_tensors),
    Item("vae", VAE, "config.json", "config.json", 547),
    Item("vae", VAE, "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors", 334_643_276),
]
PARTS = list(dict.fromkeys(item.part for item in ITEMS))
