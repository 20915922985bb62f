"""The weights that ship with the pack for finding faces: whole, where they come from, and told when they are not."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from face_anonymizer.modules.faces.detect import centerface, onet


class Shipped(NamedTuple):
    """load: its function, of a path or of nothing. parameters: how many. source: what the file says of itself."""

    load: Callable[..., torch.nn.Module]
    file: Path
    parameters: int
    source: str


NETWORKS = {
    "CenterFace": Shipped(centerface.load_centerface, centerface.WEIGHTS, 1_819_927, "CenterFace"),
    "O-Net": Shipped(onet.load_onet, onet.WEIGHTS, 389_040, "facenet-pytorch 2.6.0"),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def shipped(request) -> Shipped:
    return request.param


def test_the_network_is_ready_for_use(shipped):
    network = shipped.load()
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) == shipped.parameters


def test_no_random_numbers_are_drawn_for_weights_that_are_replaced(shipped):
    """It would take half of the time of each search for faces in a small picture."""
    before = torch.get_rng_state()
    shipped.load()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_file_says_where_it_comes_from(shipped):
    with safe_open(shipped.file, "pt") as file:
        metadata = file.metadata()
    assert metadata["licence"] == "MIT" and shipped.source in metadata["source"]


def refused(shipped: Shipped, path: Path, error: type[Exception] = ValueError) -> None:
    with pytest.raises(error, match=rf"{path.stem}\.safetensors.*Reinstall"):
        shipped.load(path)


def test_a_file_that_is_missing(shipped, tmp_path):
    refused(shipped, tmp_path / "nowhere.safetensors", FileNotFoundError)


@pytest.mark.parametrize("size", [0, 4, 1000, -1000])
def test_a_file_that_is_cut_off(shipped, tmp_path, size):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(shipped.file.read_bytes()[:size])
    refused(shipped, path)


def without_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors.popitem()


def with_one_more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["extra"] = torch.zeros(1)


def with_another_shape(tensors: dict[str, torch.Tensor]) -> None:
    name = next(name for name, tensor in tensors.items() if len(tensor) > 8)
    tensors[name] = tensors[name][:8].clone()


@pytest.mark.parametrize("change", [without_one, with_one_more, with_another_shape], ids=lambda change: change.__name__)
def test_weights_of_another_network(shipped, tmp_path, change):
    path = tmp_path / "other.safetensors"
    tensors = load_file(shipped.file)
    change(tensors)
    save_file(tensors, path)
    refused(shipped, path)
