"""How many faces go through a network at once. Touches the host: asks its memory management and its patchers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import comfy.model_management

from .states import ReferenceStates

logger = logging.getLogger("face_anonymizer")

Result = TypeVar("Result")

CONTEXT = 1 << 29  # bytes of a device that no tensor gets: the driver's context, workspaces of its libraries


def sampled_at_once(model, latent_shape: Sequence[int], references: Iterable[ReferenceStates]) -> int:
    """How many faces fit beside a MODEL into its device's whole memory: not what is free now, which may be freed.

    latent_shape: (channels, height, width) of one face's latent, in latent pixels. references: both states of the
    faces, of which those of a face lie on the device while it is sampled. At least 1.
    Guidance does not count: where both halves do not fit together, the host predicts one after the other
    (comfy/samplers.py, calc_cond_batch). docs/memory.md has what was counted.
    """
    device = model.load_device
    if model.offload_device == device:  # nothing ever leaves it, as with --gpu-only
        room = model.get_free_memory(device)
    else:
        room = comfy.model_management.get_total_memory(device) - weights_size(model) - CONTEXT
    room -= comfy.model_management.extra_reserved_memory()
    states = sum(state[:1].nbytes for reference in references for state in reference.conditional.values())
    return max(1, int(room / (_memory_of_one_more(model, latent_shape) + states)))


def recorded_at_once(patcher, latent_shape: Sequence[int]) -> int:
    """How many images a loaded ReferenceNet takes at once, of what is free now or would be given back. At least 1."""
    room = patcher.get_free_memory(patcher.load_device) - comfy.model_management.extra_reserved_memory()
    return max(1, int(room / _memory_of_one_more(patcher, latent_shape)))


def in_parts(count: int, at_once: int, run: Callable[[slice], Result], network: str) -> list[Result]:
    """run(part) for `count` faces, `at_once` of them a part; the results in their order.

    Out of memory in a part of several faces, the parts are halved, once, with a line in the log; the part that failed
    is run again whole. network: which one, in words. Raises the host's out-of-memory error, which makes it unload all
    models, with what helps.
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
            fewer = "fewer faces at once (faces_at_once of Anonymize Crops and Anonymize Video); " if faces > 1 else ""
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
    told = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return comfy.model_management.is_oom(error) or told


def weights_size(patcher) -> int:
    """Bytes of a network's weights on its device.

    Not the patcher's model_size(): under dynamic VRAM that is the size of the file, whatever the weights are cast to.
    """
    parameters = sum(parameter.numel() for parameter in patcher.model.parameters())
    return parameters * comfy.model_management.dtype_size(patcher.model_dtype())


def _memory_of_one_more(patcher, latent_shape: Sequence[int]) -> float:
    """Bytes by which the host's estimate grows with one more image. A step takes nine tenths, the references included.

    The network's own estimate: that of a patcher is padded under dynamic VRAM (ModelPatcherDynamic, by a third and a
    GiB).
    """
    required = patcher.model.memory_required
    return max(1.0, required([2, *latent_shape]) - required([1, *latent_shape]))
