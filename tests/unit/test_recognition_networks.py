"""The networks of the reader against recorded outputs of the originals (tools/fixtures/recognition.py)."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from face_anonymizer.modules.recognition import dlib_resnet, face_api, faceres, iris, packing

# picture of assets/, left, top and side of a square, and whether it is mirrored: as in tools/fixtures/recognition.py
SQUARES = (
    ("astronaut.jpg", 150, 22, 150, False),
    ("astronaut.jpg", 160, 30, 130, True),
    ("astronaut.jpg", 140, 5, 180, False),
    ("synthetic_group.jpg", 365, 95, 165, False),
)
EYES = (("astronaut.jpg", 187, 85, 30, False), ("astronaut.jpg", 231, 87, 30, True))


class Original(NamedTuple):
    """load: its function, of a path or of nothing. file: its weights. licence: at the origin. side: of its pictures.

    outputs: the recorded outputs, in the order in which the network gives them, each with the largest difference that
    was measured, rounded up to the next half power of ten.
    """

    load: Callable[..., torch.nn.Module]
    file: Path
    licence: str
    side: int
    outputs: dict[str, float]


ORIGINALS = {
    "dlib": Original(dlib_resnet.load_dlib_resnet, dlib_resnet.WEIGHTS, "CC0-1.0", dlib_resnet.SIDE, {"dlib": 3e-4}),
    "faceres": Original(
        faceres.load_faceres,
        faceres.WEIGHTS,
        "Apache-2.0",
        faceres.SIDE,
        {"faceres.descriptor": 1e-5, "faceres.gender": 1e-6, "faceres.age": 1e-6},
    ),
    "iris": Original(iris.load_iris_net, iris.WEIGHTS, "Apache-2.0", iris.SIDE, {"iris.iris": 1e-4}),
    "landmarks": Original(
        face_api.load_landmark_net, face_api.LANDMARK_WEIGHTS, "MIT", face_api.SIDE, {"landmarks.landmarks": 1e-6}
    ),
    "expression": Original(
        face_api.load_expression_net, face_api.EXPRESSION_WEIGHTS, "MIT", face_api.SIDE, {"expression.expression": 1e-6}
    ),
    "age_gender": Original(
        face_api.load_age_gender_net,
        face_api.AGE_GENDER_WEIGHTS,
        "MIT",
        face_api.SIDE,
        {"age_gender.age": 1e-4, "age_gender.gender": 1e-6},
    ),
}


@pytest.fixture(scope="module", params=ORIGINALS, ids=ORIGINALS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def original(name) -> Original:
    return ORIGINALS[name]


@pytest.fixture(scope="module")
def network(original) -> torch.nn.Module:
    return original.load()


@pytest.fixture(scope="module")
def pictures(request, name, original) -> torch.Tensor:
    """What the originals saw: float32 [N, 3, S, S], 0..255, for eyes 0..1."""
    found = []
    for file, left, top, side, mirror in EYES if name == "iris" else SQUARES:
        picture = np.asarray(Image.open(request.config.rootpath / "assets" / file).convert("RGB"))
        places = (np.arange(original.side) * side) // original.side
        square = picture[top : top + side, left : left + side][places][:, places]
        found.append(torch.from_numpy(np.ascontiguousarray(square[:, ::-1] if mirror else square)))
    return torch.stack(found).permute(0, 3, 1, 2).float() / (255 if name == "iris" else 1)


@torch.inference_mode()
def outputs(network: torch.nn.Module, pictures: torch.Tensor) -> list[torch.Tensor]:
    found = network(pictures)
    return [values.reshape(len(pictures), -1) for values in (found if isinstance(found, tuple) else (found,))]


def test_outputs_equal_the_original(original, network, pictures, fixtures):
    recorded = load_file(fixtures / "recognition.safetensors")
    for (output, largest), values in zip(original.outputs.items(), outputs(network, pictures), strict=True):
        torch.testing.assert_close(values, recorded[output], rtol=0, atol=largest)


def test_a_batch_is_its_pictures_one_by_one_and_twice_is_once(network, pictures):
    both = outputs(network, pictures[:2])
    again = outputs(network, pictures[:2])
    single = [outputs(network, pictures[i : i + 1]) for i in range(2)]
    for i, values in enumerate(both):
        assert torch.equal(values, again[i])
        torch.testing.assert_close(values, torch.cat([one[i] for one in single]), rtol=1e-5, atol=1e-5)


def test_a_changed_weight_is_noticed(original, pictures, fixtures):
    changed = original.load()
    layer = [module for module in changed.modules() if isinstance(module, torch.nn.Conv2d)][3]
    layer.weight.mul_(1.05)
    recorded = load_file(fixtures / "recognition.safetensors")
    off = [
        (values - recorded[output]).abs().max() > largest
        for (output, largest), values in zip(original.outputs.items(), outputs(changed, pictures), strict=True)
    ]
    assert any(off)


def test_another_size_is_refused(original, network):
    with pytest.raises(ValueError, match=f"{original.side}, {original.side}"):
        network(torch.zeros(1, 3, original.side, original.side - 1))


def test_ready_for_use_and_says_where_it_comes_from(original, network):
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in network.parameters())
    with safe_open(original.file, "pt") as file:
        metadata = file.metadata()
    assert metadata["licence"] == original.licence and metadata["source"] and metadata["changes"]


def test_a_damaged_file_names_itself(original, tmp_path):
    path = tmp_path / "damaged.safetensors"
    tensors = load_file(original.file)
    data = next(key for key in tensors if key.endswith(packing.DEFLATED))
    for change in (
        {data: tensors[data][:-50].clone()},
        {data: tensors[data].roll(1)},
        {key: value for key, value in tensors.items() if not key.endswith(packing.FORM)},
    ):
        save_file(change if len(change) > 1 else {**tensors, **change}, path)
        with pytest.raises(ValueError, match=r"damaged\.safetensors.*Reinstall"):
            original.load(path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors.*Reinstall"):
        original.load(tmp_path / "nowhere.safetensors")


def test_all_weights_of_the_reader_are_under_16_megabytes():
    assert sum(original.file.stat().st_size for original in ORIGINALS.values()) <= 16_000_000


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16, torch.float32])
def test_deflated_tensors_come_back_bit_for_bit(dtype):
    values = (torch.randn(8, 1000, generator=torch.Generator().manual_seed(0)) * 100).to(dtype)
    found = packing.unpack(packing.deflated({"a.weight": values, "a.bias": values[:, 0].clone()}))
    assert torch.equal(found["a.weight"], values) and torch.equal(found["a.bias"], values[:, 0])


def test_whole_numbers_are_near_and_keep_zero():
    values = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    values[1] = 0
    found = packing.unpack(packing.in_rows("w", values, 13))["w"]
    assert (found - values).abs().max() <= values.abs().max() / 4095 / 2 * 1.01
    assert torch.equal(found[1], values[1])
