"""Out of memory: the parts are halved once, then it is an error that says what helps, and nothing is left behind."""

import gc
import logging

import comfy.model_management
import golden
import pipeline
import pytest
import torch

from face_anonymizer import nodes as pack
from face_anonymizer.modules.model import memory, sampling
from face_anonymizer.modules.model import reference_net as reference_net_module
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.settings import SamplerSettings

FACES = 4


@pytest.fixture(scope="module")
def inputs(least):
    images = pipeline.face_images(FACES, 64)
    return pipeline.references(least, images, images)


def card_for(faces: int, seen: list[int]):
    """An attention patch of a card on which a guided step of more faces does not fit. seen: the batch of each call."""

    def patch(x, context, value, extra_options):
        seen.append(x.shape[0])
        if x.shape[0] > 2 * faces:
            raise comfy.model_management.OOM_EXCEPTION("Tried to allocate 2.00 GiB")
        return x, context, value

    return patch


def small_card(model, faces: int):
    seen: list[int] = []
    patched = model.clone()
    patched.set_model_attn1_patch(card_for(faces, seen))
    return patched, seen


def test_a_batch_is_halved_once_with_a_line(least, inputs, caplog):
    expected = pack.FaceAnonDDPMSampler.execute(**inputs, seed=3, steps=2)[0]["samples"]
    model, seen = small_card(least.unet, faces=2)
    with caplog.at_level(logging.WARNING, logger="face_anonymizer"):
        found = pack.FaceAnonDDPMSampler.execute(**{**inputs, "model": model}, seed=3, steps=2)[0]["samples"]
    assert golden.relative(found, expected) < 2e-5, "another batch gives another result"
    assert set(seen) == {2 * FACES, FACES}
    assert caplog.messages == ["Out of memory in the UNet with 4 faces at once: going on with 2."]


def test_still_too_large_is_an_error_that_says_what_helps(least, inputs):
    expected = pack.FaceAnonDDPMSampler.execute(**inputs, seed=3, steps=2)[0]["samples"]
    model, _ = small_card(least.unet, faces=1)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION) as error:
        pack.FaceAnonDDPMSampler.execute(**{**inputs, "model": model}, seed=3, steps=2)
    assert comfy.model_management.is_oom(error.value), "the host would not unload its models"
    for word in ("in the UNet with 2 faces at once", "faces_at_once", "weight_dtype", "--lowvram", "2.00 GiB"):
        assert word in str(error.value)
    again = pack.FaceAnonDDPMSampler.execute(**inputs, seed=3, steps=2)[0]["samples"]
    assert torch.equal(again, expected), "the next prompt does not work as before"


def test_one_face_that_does_not_fit_is_an_error_at_once(least):
    images = pipeline.face_images(1, 64)
    model, seen = small_card(least.unet, faces=0)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION, match=r"1 face at once.*first: a weight_dtype"):
        pack.FaceAnonDDPMSampler.execute(**{**pipeline.references(least, images, images), "model": model}, steps=2)
    assert len(seen) == 1


def test_the_failed_part_is_let_go_before_the_next(least, inputs):
    """What it held would still lie on the card: its tensors hang on the error's traceback."""
    shape = (7, 77, 777)

    def fails_once(part: slice) -> int:
        large = torch.zeros(shape)
        if part.stop - part.start == 4:
            raise comfy.model_management.OOM_EXCEPTION("")
        return sum(isinstance(o, torch.Tensor) and o.shape == large.shape for o in gc.get_objects())

    assert memory.in_parts(4, 4, fails_once, "a test") == [1, 1]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 5.44 GB, max allowed: 9.07 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("Tried to allocate 2.00 GiB"),
    ],
    ids=["Apple", "cuBLAS", "CPU", "CUDA"],
)
def test_devices_and_libraries_say_it_in_their_own_words(error):
    def fails(part: slice):
        if part.stop - part.start > 2:
            raise error
        return part.stop

    assert memory.in_parts(4, 4, fails, "a test") == [2, 4]
    with pytest.raises(comfy.model_management.OOM_EXCEPTION, match=r"in a test with 4 faces"):
        memory.in_parts(8, 8, fails, "a test")


def test_other_errors_are_no_reason_to_halve():
    calls = []

    def fails(part: slice):
        calls.append(part)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        memory.in_parts(4, 4, fails, "a test")
    assert len(calls) == 1


def test_a_reference_net_halves_too(least, monkeypatch, caplog):
    images = pipeline.face_images(FACES, 64)
    latent = {"samples": least.vae.encode(images)}
    embeds = pack.FaceAnonEncodeImage.execute(least.clip_vision, images, 0.0)[0]
    expected = pack.FaceAnonDrivingReference.execute(least.driving_reference_net, latent, embeds)[0]
    network = least.driving_reference_net.patcher.model.diffusion_model
    plain, seen = network.forward, []

    def forward(x, *arguments, **options):
        seen.append(x.shape[0])
        result = plain(x, *arguments, **options)
        if x.shape[0] > 2:
            raise comfy.model_management.OOM_EXCEPTION("")
        return result

    monkeypatch.setattr(network, "forward", forward)
    monkeypatch.setattr(reference_net_module, "recorded_at_once", lambda *_: FACES)
    found = pack.FaceAnonDrivingReference.execute(least.driving_reference_net, latent, embeds)[0]
    assert seen == [4, 2, 2] and found.batch == FACES
    worst = max(golden.relative(found.conditional[k], expected.conditional[k]) for k in expected.conditional)
    assert worst < 2e-5
    assert "in the driving ReferenceNet with 4 faces at once: going on with 2" in caplog.text


def test_progress_counts_the_parts_that_are_left(least, inputs, monkeypatch):
    shown = []
    model, _ = small_card(least.unet, faces=2)
    monkeypatch.setattr(sampling, "sampled_at_once", lambda *_: FACES)
    references = References(**{name: value for name, value in inputs.items() if name != "model"})
    how, seeds = SamplerSettings(steps=2), range(3, 3 + FACES)
    sampling.sample(model, references, seeds, how, lambda step, _, __, steps: shown.append((step, steps)))
    assert shown == [(0, 4), (1, 4), (2, 4), (3, 4)]
