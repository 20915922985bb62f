"""Model folders on disk: which there are, which files they hold, and whether these are whole. Pure: no ComfyUI here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open

from .config_fields import is_number, is_whole, short
from .settings import SamplerSettings

UNET = "unet"
SOURCE_REFERENCE_NET = "referencenet"
DRIVING_REFERENCE_NET = "conditioning_referencenet"
VAE = "vae"
IMAGE_ENCODER = "image_encoder"
SETTINGS_FILE = "face_anon.json"  # see ModelSettings; the published model has none
NETWORKS = (UNET, SOURCE_REFERENCE_NET, DRIVING_REFERENCE_NET)

BLOCK_FIRST = "block_first"
PER_LAYER = "per_layer"
ROUTINGS = (BLOCK_FIRST, PER_LAYER)

_PACK = Path(__file__).parents[2]
# pip leaves pyproject.toml behind, and brings the command
GET_MODELS = "python scripts/get_models.py" if (_PACK / "pyproject.toml").is_file() else "face-anonymizer models"
DEMO = "demo"  # the model that ships with the pack
PACK_MODELS = _PACK / "models" / "face_anon"  # where it lies

_JSON_BYTES = 16 << 20  # at most, of a config or an index of shards
_PICKLE_SUFFIXES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}
_WEIGHTS = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")  # kinds of numbers, as safetensors names them
_BUFFER = "position_ids"  # whole numbers that old image encoders carry
_SHARD = re.compile(r"[^/\\:\0]+\.safetensors")
# In the order of preference; "fp16" is how diffusers names a half-precision variant of the same weights.
_SINGLE_FILES = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.safetensors",
    "model.fp16.safetensors",
)
_SHARD_INDEXES = (
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "model.safetensors.index.json",
    "model.safetensors.index.fp16.json",
)


def find_model_folders(bases: Iterable[str | Path]) -> dict[str, Path]:
    """Find every model folder: one that holds unet/config.json.

    Args:
        bases: folders of model folders. The first wins where two hold the same name, as in ComfyUI's own model folders.

    Returns:
        Name -> folder.
    """
    found: dict[str, Path] = {}
    for base in map(Path, bases):
        if base.is_dir():
            for config in sorted(base.glob(f"*/{UNET}/config.json")):
                found.setdefault(config.parents[1].name, config.parents[1])
    return found


def read_json(path: Path) -> dict:
    """Read the JSON object in a file; FileNotFoundError or ValueError name the file and the next step."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. Get the whole model folder again, for example with `{GET_MODELS}`."
        )
    if path.stat().st_size > _JSON_BYTES:
        raise ValueError(f"{path} is larger than any such file ({_JSON_BYTES} bytes). Get this file again.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is not readable JSON (it is nested too deeply). Get this file again.") from None
    except ValueError as error:  # no JSON, no UTF-8, a number of thousands of digits
        raise ValueError(f"{path} is not readable JSON ({error}). Get this file again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a JSON object. Get this file again.")
    return content


def weight_files(folder: Path) -> list[Path]:
    """Find the safetensors files of one network, and check that each is whole.

    Args:
        folder: of the network, with one file or the index and all shards.

    Raises:
        FileNotFoundError: when there is none or a shard is missing.
        ValueError: for a pickle or a damaged file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder {folder} is missing. `{GET_MODELS}` fills a whole model folder.")
    files = _listed_files(folder)
    for file in files:
        check_safetensors(file)
    return files


def check_safetensors(path: Path) -> None:
    """Make sure that `path` is a whole safetensors file; ValueError otherwise, and for a pickle whatever it holds."""
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        raise ValueError(
            f"{path} is a pickle: such a file can run any code when it is opened, so only .safetensors is loaded. "
            f"Get the safetensors version of the model, for example with `{GET_MODELS}`."
        )
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise ValueError(
            f"{path} ({size} bytes) is cut off or not a safetensors file: {error}. Delete it and download it again."
        ) from error


def _listed_files(folder: Path) -> list[Path]:
    for name in _SINGLE_FILES:
        if (folder / name).is_file():
            return [folder / name]
    for name in _SHARD_INDEXES:
        index = folder / name
        if index.is_file():
            shards = [folder / shard for shard in _shard_names(index)]
            missing = [shard.name for shard in shards if not shard.is_file()]
            if missing or not shards:
                raise FileNotFoundError(
                    f"{index} lists {len(shards)} files; missing in {folder}: {', '.join(missing) or 'all'}. "
                    f"Download them."
                )
            return shards
    pickles = sorted(file for file in folder.iterdir() if file.suffix.lower() in _PICKLE_SUFFIXES)
    if pickles:
        check_safetensors(pickles[0])
    raise FileNotFoundError(
        f"No weights in {folder}: {_SINGLE_FILES[0]} (or its fp16 variant, shards with an index, or model.safetensors) "
        f"is expected. Download it, for example with `{GET_MODELS}`."
    )


def _shard_names(index: Path) -> list[str]:
    """The files that an index of shards names: safetensors files of its own folder, and nothing else."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict):
        raise ValueError(f"{index}: weight_map is {short(names)}, but has to be an object. Get this file again.")
    for tensor, name in names.items():
        if not (isinstance(name, str) and _SHARD.fullmatch(name)):
            raise ValueError(
                f"{index}: weight_map has {short(name)} for {short(tensor)}, but has to name a .safetensors file of "
                "this folder. Get this file again."
            )
    return sorted(set(names.values()))


def read_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Read names and shapes of all tensors from the headers of safetensors files.

    Raises:
        ValueError: names a file and a tensor of another kind of numbers than weights have.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                tensor = tensors.get_slice(name)
                if tensor.get_dtype() not in _WEIGHTS and not name.endswith(_BUFFER):
                    raise ValueError(
                        f"{file}: {short(name)} holds numbers of the kind {tensor.get_dtype()}, weights are of "
                        f"{', '.join(_WEIGHTS)}. Get the published weights, for example with `{GET_MODELS}`."
                    )
                shapes[name] = tuple(tensor.get_shape())
    return shapes


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The contents of a model folder's optional face_anon.json; the defaults are the published weights'.

    Args:
        routing: one of ROUTINGS.
        resolution: side in pixels of the faces that the model was trained on.
        steps: of the paper's sampler.
        guidance_scale: of the paper's sampler.
        demonstration: why this is no model for real use, to be shown to whoever loads it; else "".
    """

    routing: str = BLOCK_FIRST
    resolution: int = 512
    steps: int = SamplerSettings.steps
    guidance_scale: float = SamplerSettings.guidance_scale
    demonstration: str = ""

    @property
    def notice(self) -> str:
        """What a user of the model has to know, and the next step; "" where there is nothing to know."""
        return self.demonstration and f"{self.demonstration} `{GET_MODELS}` gets the published weights."


_NOTE_LENGTH = 1000  # characters

# setting -> (whether a value is allowed, which ones are)
_ALLOWED = {
    "routing": (lambda value: isinstance(value, str) and value in ROUTINGS, f"one of {', '.join(ROUTINGS)}"),
    "resolution": (lambda value: is_whole(value, 8, 4096) and value % 8 == 0, "a multiple of 8 pixels up to 4096"),
    "steps": (lambda value: is_whole(value, 1, 1000), "a whole number of 1 to 1000"),
    "guidance_scale": (lambda value: is_number(value, 0, 30), "a number of 0 to 30"),
    "demonstration": (
        lambda value: isinstance(value, str) and len(value) <= _NOTE_LENGTH,
        f"a text of {_NOTE_LENGTH} characters at most",
    ),
}


def read_settings(folder: Path) -> ModelSettings:
    """Read the ModelSettings of a model folder; other keys of the file do not count.

    Raises:
        ValueError: names the file, the setting and the values that it may have.
    """
    path = folder / SETTINGS_FILE
    given = read_json(path) if path.is_file() else {}
    settings = ModelSettings(
        **{field.name: given[field.name] for field in fields(ModelSettings) if field.name in given}
    )
    for name, (allowed, which) in _ALLOWED.items():
        if not allowed(getattr(settings, name)):
            raise ValueError(f"{path}: {name} is {short(given[name])}, but has to be {which}.")
    return settings


def read_prediction_type(folder: Path) -> str:
    """Read what the UNet of a model folder predicts.

    It stands in scheduler/scheduler_config.json and is never guessed from weights.

    Returns:
        "v_prediction", as without that file (the published weights), or "epsilon".

    Raises:
        ValueError: for another prediction or another noise schedule than Stable Diffusion's.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        return "v_prediction"
    config = read_json(path)
    prediction_type = config.get("prediction_type", "epsilon")
    if prediction_type not in ("v_prediction", "epsilon"):
        raise ValueError(
            f"{path}: prediction_type {short(prediction_type)} is not supported; v_prediction or epsilon is."
        )
    schedule = (config.get("beta_start", 0.00085), config.get("beta_end", 0.012), config.get("beta_schedule"))
    if schedule != (0.00085, 0.012, "scaled_linear"):
        raise ValueError(
            f"{path}: beta_start, beta_end and beta_schedule {short(schedule)} are not Stable Diffusion's "
            f"0.00085..0.012 scaled_linear, which the method is trained with."
        )
    return prediction_type
