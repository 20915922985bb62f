"""Make models/face_landmarks, face_expression and face_age_gender.safetensors from face-api's weights.

For development; needs no other package.

    npm pack @vladmandic/face-api@1.7.15 && tar xf vladmandic-face-api-*.tgz
    python tools/run.py convert.face_api package/model

Weights that are stored in 8 bits stay so, bit for bit (modules/recognition/packing.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.recognition import face_api
from face_anonymizer.modules.recognition.packing import LOW, SCALE, deflated, unpack
from face_anonymizer.tools.convert.tfjs import as_torch, check, check_shapes, read


class Network(NamedTuple):
    """name: of its files in the package. digest: of its shards. network: ours. output: its file in models/."""

    name: str
    digest: str
    network: type[torch.nn.Module]
    output: Path


NETWORKS = (
    Network(
        "face_landmark_68_model",
        "4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b",
        face_api.LandmarkNet,
        face_api.LANDMARK_WEIGHTS,
    ),
    Network(
        "face_expression_model",
        "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
        face_api.ExpressionNet,
        face_api.EXPRESSION_WEIGHTS,
    ),
    Network(
        "age_gender_model",
        "49f92bbc0afef2342c4385e4a2b0acb6d7a727c6f0aa539499719a81acf9abaa",
        face_api.AgeGenderNet,
        face_api.AGE_GENDER_WEIGHTS,
    ),
)


def our_name(name: str) -> str:
    """A weight's name in our network."""
    layer, _, parameter = name.rpartition("/")
    layer = layer.removeprefix("entry_flow/").removeprefix("middle_flow/").removeprefix("exit_flow/")
    if layer.startswith("fc/"):
        layer = layer.removeprefix("fc/")
    layer = layer.replace("/", ".")
    if parameter in ("depthwise_filter", "pointwise_filter"):
        return f"{layer}.{parameter}.weight"
    separable = "separable" in layer or (layer.startswith("dense") and layer != "dense0.conv0")
    if parameter == "bias":
        return f"{layer}.pointwise_filter.bias" if separable else f"{layer}.bias"
    return f"{layer}.weight"  # of "filters" and "weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder model/ of @vladmandic/face-api 1.7.15")
    parser.add_argument("--output", type=Path, default=PACK / "models")
    arguments = parser.parse_args()
    for name, digest, network, output in NETWORKS:
        path = arguments.source / f"{name}-weights_manifest.json"
        model = read(path)
        check(path, model.digest, digest)
        stored: dict[str, torch.Tensor] = {}
        for theirs, weight in model.weights.items():
            ours, depthwise = our_name(theirs), theirs.endswith("depthwise_filter")
            if weight.bytes is None:
                stored[ours] = torch.from_numpy(as_torch(weight.values, depthwise).copy())
            else:
                stored[ours] = torch.from_numpy(as_torch(weight.bytes, depthwise).copy())
                stored[ours + SCALE], stored[ours + LOW] = torch.tensor([weight.scale]), torch.tensor([weight.low])
        check_shapes(unpack(stored), network(), "modules/recognition/face_api.py")
        metadata = {
            "source": f"{name} of @vladmandic/face-api 1.7.15 (npm), weights of justadudewhohacks/face-api.js",
            "licence": "MIT",
            "sha256_of_shards": model.digest,
            "changes": "stored as safetensors, in torch's order; otherwise unchanged, deflated",
        }
        save_file(deflated(stored), arguments.output / output.name, metadata=metadata)
        print(f"{arguments.output / output.name}: {sum(w.values.size for w in model.weights.values())} parameters")
