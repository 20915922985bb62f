"""The pack on a GPU that every machine has: see pretended_gpu.py for what that shows, and what it does not.

Not covered here: the host's own samplers (they read sigmas from the card in every step), previews of latents, video
files, dynamic VRAM. PIL and numpy work on real pictures: CLIP's preprocessing, alignment, masks, the drawn previews.
"""

import comfy.model_management
import pipeline
import pytest
import torch
from plain_run import rest_is_long
from pretended_gpu import CONTEXT, DEVICE, GIB, Card, Fault, pretended
from pretended_way import check_pictures, check_whole_way, model_folder

# Its own functions of torch.cuda would be replaced.
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real card")

FULL_SIZE = {  # what hangs on how much memory a card has
    "bf16, lowvram on a small card": (Card(gib=2.5, lowvram=True), "bf16"),
}
FULL_WIDTH = {  # the same sizes of tensors, of fewer layers
    "fp32": (Card(gib=24), "fp32"),
    "fp16, gpu-only": (Card(gib=12, gpu_only=True), "fp16"),
    "fp8": (Card(gib=6), "fp8_e4m3fn"),
    "Apple": (Card(gib=16, kind="mps"), "default"),
}
LEAST = {  # the same code
    "fp8, gpu-only": (Card(gpu_only=True), "fp8_e4m3fn"),
    "Intel, gpu-only": (Card(gib=16, kind="xpu", gpu_only=True), "default"),
    "Apple, smallest": (Card(gib=16, kind="mps"), "default"),
}


@pytest.mark.long
@pytest.mark.parametrize("case", FULL_SIZE)
def test_the_whole_way_at_full_size(case):
    check_whole_way(*FULL_SIZE[case], steps=1)


@pytest.mark.long
@pytest.mark.parametrize("case", FULL_WIDTH)
def test_the_whole_way_at_full_width(case):
    check_whole_way(*FULL_WIDTH[case], folder=model_folder(fewer_layers=True), steps=1)


@pytest.mark.parametrize("case", rest_is_long(LEAST, "fp8, gpu-only", "Apple, smallest"))
def test_the_whole_way_of_the_smallest_model(case):
    check_whole_way(*LEAST[case], folder=pipeline.least_folder(), size=64, steps=1)


# Apple's cards refuse what NVIDIA's and Intel's refuse, and more. Without nodes: tests/unit/test_devices.py
@pytest.mark.long
@pytest.mark.parametrize("card", [Card(), Card(kind="mps", gpu_only=True)], ids=str)
def test_faces_are_found_followed_pasted_and_covered(card):
    check_pictures(card)


def half(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.float16, device=DEVICE)


def single(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device=DEVICE)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda: half(4, 4) @ single(4, 4),
        lambda: half(2, 4, 4) @ single(2, 4, 4),
        lambda: torch.nn.functional.linear(half(2, 4), half(4, 4), single(4)),
        lambda: torch.nn.functional.conv2d(half(1, 4, 8, 8), single(4, 4, 3, 3)),
        lambda: torch.cat([half(2), single(2)]),
        lambda: torch.nn.functional.layer_norm(half(2, 4), (4,), single(4), single(4)),
        lambda: torch.nn.functional.scaled_dot_product_attention(
            half(1, 1, 4, 8), single(1, 1, 4, 8), half(1, 1, 4, 8)
        ),
    ],
)
def test_a_card_refuses_to_mix_dtypes(mixed):
    with pretended(Card()), pytest.raises(Fault, match="mixes"):
        mixed()


def test_a_card_refuses_a_tensor_of_the_cpu():
    with pretended(Card()), pytest.raises(RuntimeError, match="two different devices"):
        single(4, 4) + torch.zeros(4, 4)


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_cards_without_float64_refuse_it(kind):
    for make in (lambda x: x.double(), lambda x: torch.zeros(1, dtype=torch.float64, device=x.device)):
        with pretended(Card(kind=kind)), pytest.raises(Fault, match="float64"):
            make(single(2))
    with pretended(Card(kind=kind)):
        assert single(2).cpu().double().dtype == torch.float64
    with pretended(Card()):
        assert single(2).double().dtype == torch.float64


def test_apples_cards_refuse_to_pool_unevenly():
    with pretended(Card(kind="mps")):
        torch.nn.functional.adaptive_avg_pool2d(single(1, 3, 64, 64), 32)
        with pytest.raises(Fault, match="divide evenly"):
            torch.nn.functional.adaptive_avg_pool2d(single(1, 3, 65, 64), 32)


@pytest.mark.parametrize("read", [int, float, bool, torch.Tensor.item])
def test_nothing_is_read_in_a_step(read):
    with pretended(Card()) as device:
        sigma = torch.tensor(14.0).to(DEVICE)
        assert read(sigma) in (14, 14.0, True)  # what the host reads before its first step is what was sent there
        with device.stepping(), pytest.raises(Fault, match="waits"):
            read(sigma)


def test_nothing_but_weights_is_rounded_to_8_bits():
    with pretended(Card()), pytest.raises(Fault, match="8 bits"):
        half(4).to(torch.float8_e4m3fn)


def test_attention_that_is_not_fused_is_refused():
    with pretended(Card()):
        query = half(3, 8, 4096, 64)  # too large for values
        assert torch.nn.functional.scaled_dot_product_attention(query, query, query).shape == query.shape
        with pytest.raises(Fault, match="not fused"):
            torch.softmax(query @ query.transpose(2, 3), -1)


def test_memory_is_counted_once_while_anything_holds_it():
    with pretended(Card(gib=2)) as device:
        tensor = single(GIB // 4)
        view = tensor[:10].view(2, 5)
        assert device.live == device.peak == GIB
        assert comfy.model_management.get_free_memory(DEVICE) == 2 * GIB - CONTEXT - GIB
        del tensor
        assert device.live == GIB
        with pytest.raises(torch.OutOfMemoryError):
            single(GIB // 4)
        del view
        assert (device.live, device.peak) == (0, GIB)
        single(GIB // 4)


def test_values_come_back_from_the_card_where_asked():
    with pretended(Card()) as device:
        picture = torch.rand(3, 1200, 1200)  # no small one
        with device.values():
            there = picture.to(DEVICE)
            bright = there[there > 0.5]
            there[0] = 2
            back = there.flip(0).cpu()
            assert torch.equal(bright.cpu(), picture[picture > 0.5])
            assert torch.equal(back[:2], picture.flip(0)[:2])
            assert bool((back[2] == 2).all())
            there.add_(1)
        there.add_(picture.to(DEVICE))  # of which the values are not known here
        with device.values(), pytest.raises(Exception, match="local_scalar_dense"):
            there.sum().item()


def test_all_is_as_before_afterwards():
    host = comfy.model_management
    watched = {
        (host, name): getattr(host, name)
        for name in ("get_torch_device", "get_free_memory", "is_nvidia", "cpu_state", "vram_state")
    }
    watched[torch.nn.functional, "scaled_dot_product_attention"] = torch.nn.functional.scaled_dot_product_attention
    watched[torch.nn.Module, "_apply"] = torch.nn.Module._apply
    watched[torch, "inference_mode"] = torch.inference_mode
    watched[torch.cuda, "is_available"] = torch.cuda.is_available
    loaded = host.current_loaded_models
    with pytest.raises(ZeroDivisionError), pretended(Card(gpu_only=True, lowvram=True)):
        assert all(getattr(place, name) is not value for (place, name), value in watched.items())
        raise ZeroDivisionError
    assert all(getattr(place, name) is value for (place, name), value in watched.items())
    assert host.current_loaded_models is loaded
    assert torch.is_inference_mode_enabled()  # as the tests of this folder run
    assert type(torch.ones(2) + 1) is torch.Tensor
