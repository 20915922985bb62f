"""How many faces go through a network at once. Touches the host: asks its memory management and its patchers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import comfy.model_management

from .states import ReferenceStates

logger = logging.getLogger("face_anonymizer")

Result = TypeVar("Result")

CONTEXT = 1 << 29  # bytes of a device that no tensor can have: the driver's context, workspaces of its libraries


def sampled_at_once(model, latent_shape: Sequence[int], states: Iterable[ReferenceStates]) -> int:
    """How many faces fit beside a MODEL into the memory of its device.

    The whole memory counts rather than what is free now, as the host frees it for a sampler. Guidance does not count:
    where both halves do not fit together, the host predicts one after the other (comfy/samplers.py, calc_cond_batch).
    docs/memory.md has the measurements.

    Args:
        model: the MODEL.
        latent_shape: channels, height and width of one face's latent, in latent pixels.
        states: source and driving states of the faces; those of a face lie on the device while it is sampled.

    Returns:
        At least 1.
    """
    states_of_one = sum(state[:1].nbytes for one in states for state in one.conditional.values())
    return max(1, int(_room(model) / (memory_of_one_more(model, latent_shape) + states_of_one)))


def can_keep(model, latent_shape: Sequence[int], faces: int, states: int, kept: int) -> bool:
    """Whether something may stay on the device for a whole run, beside faces whose halves go through together.

    Nothing else gives way for it: as many faces go through at once as without, and no half goes alone because of it.

    Args:
        model: the MODEL.
        latent_shape: channels, height and width of one face's latent, in latent pixels.
        faces: how many go through at once.
        states: bytes of their references.
        kept: bytes of what would stay.
    """
    # the host predicts both halves together where 1.5 times its estimate of them is free (calc_cond_batch)
    return kept + states + 1.5 * 2 * faces * memory_of_one_more(model, latent_shape) <= _room(model)


def can_keep_now(model, latent_shape: Sequence[int], faces: int, kept: int) -> bool:
    """The same by what is free on the device now that the MODEL is loaded: other programs may hold a part of it."""
    free = model.get_free_memory(model.load_device) - comfy.model_management.extra_reserved_memory()
    return kept + faces * memory_of_one_more(model, latent_shape) <= free


def _room(model) -> float:
    """Bytes beside a MODEL's weights that a sampler may take."""
    device = model.load_device
    if model.offload_device == device:  # nothing ever leaves it, as with --gpu-only
        room = model.get_free_memory(device)
    else:
        room = comfy.model_management.get_total_memory(device) - weights_size(model) - CONTEXT
    return room - comfy.model_management.extra_reserved_memory()


def recorded_at_once(patcher, latent_shape: Sequence[int]) -> int:
    """How many images a loaded ReferenceNet takes at once, by the memory that is free now or would be given back.

    Args:
        patcher: of the ReferenceNet.
        latent_shape: channels, height and width of one image's latent, in latent pixels.

    Returns:
        At least 1.
    """
    room = patcher.get_free_memory(patcher.load_device) - comfy.model_management.extra_reserved_memory()
    return max(1, int(room / memory_of_one_more(patcher, latent_shape)))


def in_parts(count: int, at_once: int, run: Callable[[slice], Result], network: str) -> list[Result]:
    """Run a network on a batch of faces in parts.

    When memory runs out in a part of several faces, the parts are halved, once, with a line in the log, and the faces
    of the part that failed are run again.

    Args:
        count: how many faces there are.
        at_once: how many of them a part has.
        run: called with each part in turn.
        network: its name in messages, in words.

    Returns:
        What `run` gave for each part, in order.

    Raises:
        comfy.model_management.OOM_EXCEPTION: says what helps; the host unloads all models for it.
    """
    results, start, halved = [], 0, False
    while start < count:
        part = slice(start, min(start + at_once, count))
        failure = None
        try:
            results.append(run(part))
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            failure = str(error)  # not the error itself: its traceback holds the tensors of the part
        if failure is None:
            start = part.stop
            continue
        comfy.model_management.soft_empty_cache()
        faces = part.stop - part.start
        if halved or faces == 1:
            where = "faces_at_once of Anonymize Crops and Paint Faces in Video"
            fewer = f"fewer faces at once ({where}); " if faces > 1 else ""
            raise comfy.model_management.OOM_EXCEPTION(
                f"Out of memory in {network} with {faces} face{'s' if faces > 1 else ''} at once. What helps, most "
                f"first: {fewer}a weight_dtype of fp16 or fp8_e4m3fn in Load Face Anonymizer Model; other programs "
                f"closed; ComfyUI started with --lowvram. ({failure})"
            )
        halved, at_once = True, faces // 2
        logger.warning("Out of memory in %s with %d faces at once: going on with %d.", network, faces, at_once)
    return results


def _is_out_of_memory(error: Exception) -> bool:
    """Also those of devices and libraries that have no class for it: Apple's, the CPU's, cuBLAS' and cuDNN's."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    by_its_words = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return comfy.model_management.is_oom(error) or by_its_words


def weights_size(patcher) -> int:
    """Bytes that the weights of a patcher's network take on its device.

    The patcher's own model_size() is the size of the file under dynamic VRAM, whatever the weights are cast to.
    """
    parameters = sum(parameter.numel() for parameter in patcher.model.parameters())
    return parameters * comfy.model_management.dtype_size(patcher.model_dtype())


def memory_of_one_more(patcher, latent_shape: Sequence[int]) -> float:
    """Bytes by which the host's estimate grows with one more image, which is a little more than it takes.

    The network's own estimate, as that of a patcher is padded under dynamic VRAM (ModelPatcherDynamic, by a third and
    a GiB).
    """
    required = patcher.model.memory_required
    return max(1.0, required([2, *latent_shape]) - required([1, *latent_shape]))
