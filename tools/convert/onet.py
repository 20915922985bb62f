"""Make models/onet.safetensors from the published weights of MTCNN's O-Net. For development; needs no other package.

    pip download --no-deps facenet-pytorch==2.6.0
    python tools/run.py convert.onet facenet_pytorch-2.6.0-py3-none-any.whl

The tensors are taken unchanged. The wheel is read, never installed: its requirements would replace torch, numpy and
Pillow. With --check the wheel's own O-Net is run beside ours on a fixed picture, and its outputs are printed: the
numbers that tests/unit/test_onet.py expects.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import io
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.convert.published import check_bytes

SHA256 = "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"


def fixed_picture() -> torch.Tensor:
    """[1, 3, 48, 48], 0..1: three waves, the same on every machine."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    return torch.stack([0.5 + 0.5 * torch.sin(x / 5 + y / 7 * k + k) for k in (1, 2, 3)])[None]


def original_network(wheel: zipfile.ZipFile) -> nn.Module:
    """The class ONet of the wheel, from its source alone, so that nothing else of the package is imported."""
    module = ast.parse(wheel.read("facenet_pytorch/models/mtcnn.py").decode())
    (definition,) = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == "ONet")
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "onet_alone.py"
        alone.write_text(f"import torch\nfrom torch import nn\n\n\n{ast.unparse(definition)}\n", encoding="utf-8")
        spec = importlib.util.spec_from_file_location(alone.stem, alone)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    return loaded.ONet(pretrained=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the wheel of facenet-pytorch 2.6.0")
    parser.add_argument("--output", type=Path, default=PACK / "models" / "onet.safetensors")
    parser.add_argument("--check", action="store_true", help="compare with the wheel's own network")
    arguments = parser.parse_args()

    with zipfile.ZipFile(arguments.wheel) as wheel:
        data = wheel.read("facenet_pytorch/data/onet.pt")
        digest = check_bytes(data, SHA256, f"{arguments.wheel}: onet.pt")
        tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        from face_anonymizer.modules.faces.detect import onet

        expected = {name: tensor.shape for name, tensor in onet.ONet().state_dict().items()}
        if {name: tensor.shape for name, tensor in tensors.items()} != expected:
            raise SystemExit("The tensors are not those of modules/faces/detect/onet.py, in name or shape.")
        metadata = {
            "source": "facenet_pytorch/data/onet.pt of facenet-pytorch 2.6.0 (PyPI): MTCNN's O-Net",
            "licence": "MIT",
            "sha256_of_pt": digest,
            "changes": "stored as safetensors, otherwise unchanged",
        }
        save_file(tensors, arguments.output, metadata=metadata)
        print(f"{arguments.output}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} parameters")
        if arguments.check:
            original = original_network(wheel)
            original.load_state_dict(tensors)
            picture = fixed_picture()
            with torch.inference_mode():
                box, points, probability = original((picture * 255 - 127.5) * 0.0078125)
                ours = onet.load_onet(arguments.output)(picture)
            theirs = (probability[:, 1], box, points.reshape(1, 2, 5).transpose(1, 2))
            for name, a, b in zip(("probability", "box", "points"), theirs, ours, strict=True):
                print(f"{name}: {a.flatten().tolist()}; largest difference {float((a - b).abs().max()):.1e}")
