"""Load model folders that were made to break the loader: absurd configs, forged headers, pickles, shards elsewhere.

    python scripts/with_env.py tools/run.py attacks.hostile_models [--count N] [--seed N]

Each is the demo model with one thing spoiled, loaded in a process of its own that may use a few gigabytes. A leak is
code that was run, or a file outside of the folder that was read. A failure is a folder that loads, a load that takes
longer than SECONDS or dies, and an error that does not name the file and what is wrong with it.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from face_anonymizer.modules.host.process import prepare_host
from face_anonymizer.modules.model.checkpoint import DEMO, NETWORKS, PACK_MODELS
from face_anonymizer.tools.attacks.tally import Tally, choose, parse_arguments

SECONDS = 10.0  # a demo model itself loads within one, on an idle machine
MEMORY = 12 << 30  # bytes of address space
RAN = "face_anonymizer_attack_ran"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"

Spoil = Callable[[Path], object]


# How a folder is spoiled -----------------------------------------------------------------------------------------


def config(part: str, **values) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return spoil


def unets(**values) -> Spoil:
    """The same in all three."""
    return lambda folder: [config(network, **values)(folder) for network in NETWORKS]


def missing(part: str, name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / part / "config.json"
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != name}))

    return spoil


def text(path: str, content: str) -> Spoil:
    return lambda folder: (folder / path).write_text(content)


def raw(data: bytes) -> Spoil:
    return lambda folder: (folder / WEIGHTS).write_bytes(data)


def header(entries: dict, data: bytes = b"") -> Spoil:
    content = json.dumps(entries).encode()
    return raw(struct.pack("<Q", len(content)) + content + data)


def tensors(change: Callable[[dict], dict]) -> Spoil:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        changed = change(load_file(folder / WEIGHTS))
        save_file({name: tensor.contiguous() for name, tensor in changed.items()}, folder / WEIGHTS)

    return spoil


def of_kind(name: str) -> Spoil:
    import torch

    return tensors(lambda found: {key: tensor.to(getattr(torch, name)) for key, tensor in found.items()})


def times(factor: float) -> Spoil:
    return tensors(lambda found: {key: tensor * factor for key, tensor in found.items()})


def without_first(found: dict) -> dict:
    found.pop(next(iter(found)))
    return found


def with_more(found: dict) -> dict:
    first = next(iter(found.values()))
    return found | {"__class__": first.clone(), "../../x": first.clone()}


class Bomb:
    """A pickle that makes a file when it is opened."""

    def __reduce__(self):
        return open, (str(Path(tempfile.gettempdir()) / RAN), "w")


def torch_zip(folder: Path) -> None:
    import torch

    torch.save({"x": Bomb()}, folder / WEIGHTS)


def overlapping(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    entries = json.loads(data[8 : 8 + length])
    one, other = [name for name in entries if name != "__metadata__"][:2]
    entries[other] |= {"data_offsets": entries[one]["data_offsets"], "shape": entries[one]["shape"]}
    header(entries, data[8 + length :])(folder)


def shards(names) -> Spoil:
    """The weights under the name `shard.safetensors`, and an index that names others."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "unet" / "shard.safetensors")
        (folder / "shard.foo").write_bytes(pickle.dumps(Bomb()))
        shutil.copy(folder / "unet" / "shard.safetensors", folder / "unet" / "shard.foo")
        (folder / "unet" / "evil.foo").write_bytes(pickle.dumps(Bomb()))
        shutil.copy(folder / "unet" / "shard.safetensors", folder.parent / "outside.safetensors")
        (folder / INDEX).write_text(json.dumps({"weight_map": names}))

    return spoil


def instead(make: Callable[[Path], object]) -> Spoil:
    """Something else under the name of the weights."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        make(folder / WEIGHTS)

    return spoil


def config_folder(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()
    (folder / "unet" / "config.json").mkdir()


DEEP = "[" * 100_000
CODE = f"__import__('os').system('touch /tmp/{RAN}')"
# field -> absurd values
UNET_FIELDS = {
    "block_out_channels": [[2**31] * 3, [2**20] * 3, [65536] * 3, [-32, -64, -96], [0] * 3, ["64"] * 3, [], 32, None],
    "layers_per_block": [10**9, 20000, -1, 0, "2", 1.5, True, [1, 1], [1, 2, 1]],
    "transformer_layers_per_block": [10**8, -1, 0, "1", [1], [[1]] * 3],
    "attention_head_dim": [0, None, 3, -2, "2", [2, 2], 10**9],
    "norm_num_groups": [0, None, 7, -8, "8"],
    "in_channels": [10**9, 0, "4", [4]],
    "out_channels": [10**9, 0, None],
    "cross_attention_dim": [10**9, [64], 0, "x", None],
    "down_block_types": [None, "CrossAttnDownBlock2D", ["x"] * 3, [5] * 3, ["CrossAttnDownBlock2D"] * 2],
    "up_block_types": [[{}] * 3, {"a": 1}],
    "norm_eps": [float("nan"), "1e-5"],
    "use_linear_projection": ["no", 2],
    "upcast_attention": [[1]],
}
CLIP_FIELDS = {
    "hidden_size": [10**6, 40000, 0, "x"],
    "intermediate_size": [10**6, -1],
    "num_hidden_layers": [10**9, 100, "x", 0],
    "num_attention_heads": [0, 7, None],
    "image_size": [10**7, 1024, "x"],
    "patch_size": [0, 1, None],
    "num_channels": [10**6, 4],
    "hidden_act": [CODE, 5, None],
    "vision_config": [[], "x"],
    "layer_norm_eps": [float("nan"), "x"],
    "image_mean": ["x", [1]],
    "image_std": [[0, 0, 0]],
    "model_type": ["clip", None, ["clip_vision_model"]],
}
VAE_FIELDS = {
    "block_out_channels": [[10**7] * 2, [0, 0], [], [96, 64], 5, ["32"]],
    "layers_per_block": [10**9, 0, "x"],
    "scaling_factor": ["x", float("nan"), 0, -1, float("inf"), None, True],
    "norm_num_groups": [0, 7, None],
    "latent_channels": [10**9, 0],
    "in_channels": [10**9, None],
    "out_channels": [0],
}
SETTINGS = {
    "resolution": [800_000_000, True, "64", 0],
    "guidance_scale": [float("nan"), float("inf"), True, "4"],
    "routing": [["block_first"], {"a": 1}],
    "steps": [0, True, 10**9],
    "demonstration": ["x" * 10**7, 5],
}


FIELDS: dict[str, str] = {}  # case -> the field that is spoiled, and so named


def field_cases() -> dict[str, Spoil]:
    found: dict[str, Spoil] = {}
    for fields, kind, spoil in (
        (UNET_FIELDS, "unet", unets),
        (CLIP_FIELDS, "image_encoder", lambda **values: config("image_encoder", **values)),
        (VAE_FIELDS, "vae", lambda **values: config("vae", **values)),
        (SETTINGS, "face_anon", lambda **values: text("face_anon.json", json.dumps(values))),
    ):
        for name, values in fields.items():
            for value in values:
                case = f"{kind} {name} {json.dumps(value)[:40]}"
                found[case] = spoil(**{name: value})
                # what fits a config, but not the weights, is named by the tensor that does not fit
                FIELDS[case] = "" if case in FIT_NO_WEIGHTS else name
    for part, names in (("unet", UNET_FIELDS), ("image_encoder", CLIP_FIELDS), ("vae", VAE_FIELDS)):
        needed = [name for name in names if name not in OPTIONAL]
        found |= {f"{part} without {name}": missing(part, name) for name in needed}
        FIELDS.update({f"{part} without {name}": name for name in needed})
    return found


OPTIONAL = {
    *("transformer_layers_per_block", "norm_num_groups", "norm_eps", "use_linear_projection", "upcast_attention"),
    *("image_size", "hidden_act", "vision_config", "layer_norm_eps", "image_mean", "image_std", "scaling_factor"),
}
FIT_NO_WEIGHTS = {
    *("image_encoder num_hidden_layers 100", "image_encoder image_size 1024", "image_encoder patch_size 1"),
    *("unet attention_head_dim 10", "image_encoder num_attention_heads null"),
}
CASES: dict[str, Spoil] = {
    **field_cases(),
    "2000 levels": unets(
        block_out_channels=[32] * 2000,
        down_block_types=["CrossAttnDownBlock2D"] * 2000,
        up_block_types=["CrossAttnUpBlock2D"] * 2000,
    ),
    "8 levels of 4096": unets(
        block_out_channels=[4096] * 8,
        layers_per_block=16,
        transformer_layers_per_block=24,
        attention_head_dim=64,
        down_block_types=["CrossAttnDownBlock2D"] * 8,
        up_block_types=["CrossAttnUpBlock2D"] * 8,
    ),
    "config deep": text("unet/config.json", DEEP),
    "config of 5000 digits": text("unet/config.json", '{"block_out_channels": [1' + "0" * 5000 + "]}"),
    "config a list": text("unet/config.json", "[]"),
    "config of null bytes": text("unet/config.json", "\0\0"),
    "config a folder": config_folder,
    "config of 30 MB": text("unet/config.json", '{"a": "' + "x" * 30_000_000 + '"}'),
    "vae config deep": text("vae/config.json", DEEP),
    "encoder config deep": text("image_encoder/config.json", DEEP),
    "settings deep": text("face_anon.json", DEEP),
    "settings of 5000 digits": text("face_anon.json", '{"steps": ' + "9" * 5000 + "}"),
    "scheduler prediction a list": text("scheduler/scheduler_config.json", '{"prediction_type": ["epsilon"]}'),
    "scheduler betas a text": text(
        "scheduler/scheduler_config.json", '{"prediction_type": "v_prediction", "beta_start": "x"}'
    ),
    "header of 2^63 bytes": raw(struct.pack("<Q", 2**63) + b"{}"),
    "header of 99 MB in 10 bytes": raw(struct.pack("<Q", 99_000_000) + b"{}"),
    "header of 0 bytes": raw(struct.pack("<Q", 0)),
    "an empty file": raw(b""),
    "header no JSON": raw(struct.pack("<Q", 4) + b"\xff" * 4),
    "header deep": raw(struct.pack("<Q", len(DEEP)) + DEEP.encode()),
    "offsets beyond the file": header({"a": {"dtype": "F32", "shape": [10**6], "data_offsets": [0, 4 * 10**6]}}),
    "offsets negative": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}),
    "shape overflows": header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"0000"),
    "shape of zero": header({"a": {"dtype": "F32", "shape": [0, 2**60], "data_offsets": [0, 0]}}),
    "kind unknown": header({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, b"0000"),
    "offsets overlap": overlapping,
    "a page": raw(b"<html>404</html>"),
    "a pickle renamed": raw(pickle.dumps(Bomb())),
    "a torch zip renamed": torch_zip,
    "shard ../": shards({"a": "../../outside.safetensors"}),
    "shard absolute": shards({"a": "/etc/passwd"}),
    "shard of windows": shards({"a": "..\\..\\outside.safetensors"}),
    "shard a pickle": shards({"a": "evil.foo"}),
    "shard under another name": shards({"a": "shard.foo"}),
    "shard names no texts": shards({"a": 5, "b": None}),
    "shard name empty": shards({"a": ""}),
    "shard list": shards([1]),
    "shard map null": shards(None),
    "shard map empty": shards({}),
    "shard index deep": lambda folder: (shards({})(folder), (folder / INDEX).write_text(DEEP)),
    "a link to itself": instead(lambda path: path.symlink_to(path.name)),
    "a pipe": instead(os.mkfifo),
    "a link to /dev/zero": instead(lambda path: path.symlink_to("/dev/zero")),
    "a folder as weights": instead(Path.mkdir),
    "NaN": times(float("nan")),
    "infinity": times(float("inf")),
    "float64": of_kind("float64"),
    "int8": of_kind("int8"),
    "bool": of_kind("bool"),
    "one tensor missing": tensors(without_first),
    "more tensors": tensors(with_more),
}


# The attack ------------------------------------------------------------------------------------------------------


def spoil_copy(name: str, place: Path) -> Path:
    """The demo model in a new folder, spoiled. Of the weights only those that are spoiled are copied."""
    model, folder = PACK_MODELS / DEMO, place / "models" / "spoiled"
    for file in (path for path in model.rglob("*") if path.is_file()):
        target = folder / file.relative_to(model)
        target.parent.mkdir(parents=True, exist_ok=True)
        linked = file.suffix == ".safetensors" and (target != folder / WEIGHTS or name in FIELDS)
        target.symlink_to(file) if linked else shutil.copy(file, target)
    CASES[name](folder)
    return folder


def judge(case: str, folder: Path, message: str, kind: str) -> str:
    """What is wrong with how a load ended; "" where it is an error that names the file, and the field if it is one.

    Args:
        case: of CASES.
        folder: that was loaded.
        message: of the error; "" where there was none.
        kind: name of the error's class.
    """
    if not message:
        return "it loaded"
    if kind not in ("ValueError", "FileNotFoundError"):
        return f"{kind}: {message[:200]}"
    field = FIELDS.get(case, "")
    if str(folder) not in message or field not in message:
        return f"names no file or not {field or 'what is wrong'}: {message[:300]}"
    return "" if len(message) < 1000 else f"a message of {len(message)} characters"


def try_load(case: str, folder: Path) -> str:
    """Load a folder in a process of its own; what went wrong, "" for nothing."""
    from face_anonymizer.modules.model import loading

    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        _load_and_tell(folder, write, loading.load_model_folder)
    os.close(write)
    began, ended = time.monotonic(), False
    while time.monotonic() - began < SECONDS and not ended:
        ended = os.waitpid(child, os.WNOHANG)[0] == child
        time.sleep(0.005)
    if not ended:
        os.kill(child, 9)
        os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    if not ended:
        return f"still loading after {SECONDS:g} s"
    return judge(case, folder, *json.loads(told)) if told else "the process died"


def _load_and_tell(folder: Path, write: int, load: Callable[[Path], object]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    told = ["", ""]
    try:
        load(folder)
    except BaseException as error:
        told = [str(error) or "no message", type(error).__name__]
    os.write(write, json.dumps(told).encode()[:60_000])
    os._exit(0)


def main() -> int:
    options = parse_arguments(__doc__, len(CASES))
    prepare_host(cpu=True)
    import torch

    torch.set_num_threads(1)
    tally, ran = Tally("hostile models"), Path(tempfile.gettempdir()) / RAN
    for name in choose(CASES, options.count, options.seed):
        ran.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as place:
            failure = try_load(name, spoil_copy(name, Path(place)))
        if options.plant:
            pickle.loads(pickle.dumps(Bomb())).close()
        tally.count(name, "code of the model was run" if ran.exists() else "", failure)
    ran.unlink(missing_ok=True)
    return tally.close()
