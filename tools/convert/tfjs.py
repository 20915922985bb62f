"""Read the files of TensorFlow.js, a JSON file and its binary shards, without it. Imported by the other converters."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch


@dataclass(frozen=True)
class Weight:
    """One tensor as stored: float32 values, and, of those in 8 bits, the bytes with `scale` and `low`."""

    values: np.ndarray
    bytes: np.ndarray | None = None
    scale: float = 1.0
    low: float = 0.0


@dataclass(frozen=True)
class Node:
    """An operation of a graph: its name, kind, inputs and plain attributes (texts, lists of numbers)."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: dict[str, object]


@dataclass(frozen=True)
class Model:
    """Weights by name, and the operations in their order; none where the file is only a manifest of weights."""

    weights: dict[str, Weight]
    nodes: tuple[Node, ...]
    digest: str  # SHA-256 of the shards, one after the other


def read(path: Path) -> Model:
    """A model.json (graph model) or *_manifest.json, with the shards beside it."""
    described = json.loads(path.read_text(encoding="utf-8"))
    groups = described if isinstance(described, list) else described["weightsManifest"]
    weights: dict[str, Weight] = {}
    digest = hashlib.sha256()
    for group in groups:
        data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
        digest.update(data)
        at = 0
        for entry in group["weights"]:
            weights[entry["name"]], at = _weight(entry, data, at)
        if at != len(data):
            raise SystemExit(f"{path}: {len(data) - at} bytes of the shards are described nowhere.")
    nodes = () if isinstance(described, list) else described["modelTopology"]["node"]
    return Model(weights, tuple(_node(node) for node in nodes), digest.hexdigest())


def _weight(entry: dict, data: bytes, at: int) -> tuple[Weight, int]:
    shape, stored = entry["shape"], entry.get("quantization") or {}
    kind = np.dtype(stored.get("dtype", entry["dtype"])).newbyteorder("<")
    values = np.frombuffer(data, kind, int(np.prod(shape)), at).reshape(shape)
    at += values.nbytes
    if kind == np.uint8:
        scale, low = stored["scale"], stored["min"]
        return Weight((values * np.float32(scale) + np.float32(low)).astype(np.float32), values, scale, low), at
    return Weight(values.astype(np.int64 if kind.kind == "i" else np.float32)), at


def _node(node: dict) -> Node:
    attributes: dict[str, object] = {}
    for name, value in node.get("attr", {}).items():
        if "s" in value:
            attributes[name] = base64.b64decode(value["s"]).decode()
        elif "i" in value.get("list", {}):
            attributes[name] = [int(number) for number in value["list"]["i"]]
    return Node(node["name"], node["op"], tuple(node.get("input", ())), attributes)


def as_torch(values: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """Weights in torch's order: [rows, columns, in, out] to [out, in, rows, columns], [in, out] to [out, in].

    Depthwise weights are [rows, columns, in, 1] and become [in, 1, rows, columns].
    """
    if values.ndim == 4:
        return np.ascontiguousarray(values.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)))
    return np.ascontiguousarray(values.T)


def check(path: Path, digest: str, expected: str) -> None:
    """End with a message unless the shards are those that were published."""
    if digest != expected:
        raise SystemExit(f"{path}: its shards have sha256 {digest}, not the published {expected}.")


def check_shapes(tensors: dict[str, torch.Tensor], network: torch.nn.Module, module: str) -> None:
    """End with a message unless these are the network's tensors."""
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != expected:
        raise SystemExit(f"The tensors are not those of {module}, in number, name or shape.")


def main() -> None:
    """List what a file holds: operations and weights."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("path", type=Path)
    model = read(parser.parse_args().path)
    print(f"shards: sha256 {model.digest}")
    for node in model.nodes:
        if node.kind != "Const":
            print(node.kind, node.name, list(node.inputs), node.attributes)
    for name, weight in model.weights.items():
        print(name, list(weight.values.shape), "in 8 bits" if weight.bytes is not None else "")
