"""The shipped face detector under ComfyUI's memory management. Touches the host: wraps the networks in a patcher."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from functools import partial

import comfy.model_management
import comfy.model_patcher
import torch

from ..faces.detect.clip_search import ClipSearch
from ..faces.detect.detection import FaceNetworks, detect_faces, load_face_networks
from ..faces.detect.duration import thorough_seconds
from ..faces.detect.glance import glance, glance_turned
from ..faces.marks import know
from ..faces.paste.look import Find
from ..faces.settings import DetectSettings
from ..faces.types import Face, Faces

_MUCH = 1e6  # pixels; less is searched in some seconds


@contextlib.contextmanager
def detector() -> Iterator[Callable[..., Faces]]:
    """Keep the detector on the host's device while the block runs, for as many calls as it makes.

    On a GPU its networks (9 MB) are read when the block begins and let go when it ends: nothing stays in its memory.

    Yields:
        detect_faces without its first argument, the networks, and with the device set.
    """
    networks = _networks()  # held while the block runs
    yield partial(detect_faces, networks(), device=comfy.model_management.get_torch_device())


@contextlib.contextmanager
def clip_search(settings: DetectSettings, rate: float) -> Iterator[ClipSearch]:
    """The search for the faces of a clip on the host's device, while the block runs; as detector().

    Args:
        settings: what counts as a face.
        rate: frames a second.
    """
    networks = _networks()
    yield ClipSearch(networks(), settings, rate)


def looker() -> Find:
    """What Look.find wants: the detector looks quickly at one finished picture after the other.

    The networks are read at the first picture. On a GPU they are put there for each, as other models may have taken
    their place in between.
    """
    networks = _networks()
    return lambda picture, faces, painted: glance(networks(), picture, faces, painted)


def turned_looker() -> Callable[[torch.Tensor], tuple[Face, ...]]:
    """As looker, what looks for all that may be a face of a picture in any direction."""
    networks = _networks()
    return lambda picture: glance_turned(networks(), picture)


def _networks() -> Callable[[], FaceNetworks]:
    """Gives the networks on the host's device, as often as they are needed."""
    device = comfy.model_management.get_torch_device()
    if _may_stay(device):
        return _of_processor
    patchers: list[comfy.model_patcher.CoreModelPatcher] = []

    def networks() -> FaceNetworks:
        if not patchers:
            offload = comfy.model_management.unet_offload_device()
            patchers.append(
                comfy.model_patcher.CoreModelPatcher(load_face_networks(), load_device=device, offload_device=offload)
            )
        comfy.model_management.load_models_gpu(patchers)
        patchers[0].model.to(patchers[0].load_device)
        return patchers[0].model

    return networks


def _may_stay(device: torch.device) -> bool:
    """Whether networks may stay where they are: the host manages no memory of a processor."""
    return device.type == "cpu"


@functools.cache
def _of_processor() -> FaceNetworks:
    """The networks of a processor, which stay: to read them and prepare their filters takes as long as a look at a
    photo.
    """
    return load_face_networks()


def detect(
    images: torch.Tensor,
    settings: DetectSettings = DetectSettings(),
    progress: Callable[[float, int], None] | None = None,
    foretell: Callable[[float], None] | None = None,
) -> Faces:
    """Find the faces of one batch of pictures on the host's device.

    Args:
        images: float [B, H, W, C], 0..1, C = 1, 3 or 4, any size.
        settings: what counts as a face.
        progress: called with (pictures done, all), see detect_faces.
        foretell: called before a thorough search of much on the CPU with the seconds that it will take at most, about.

    Returns:
        Faces with five points each, in each picture in reading order, and with the fingerprint of the pictures.

    Raises:
        ValueError: images of another shape.
    """
    with detector() as find:
        networks = find.args[0]
        device = comfy.model_management.get_torch_device()
        if foretell is not None and settings.thorough and device.type == "cpu" and images.ndim == 4:
            count, height, width = images.shape[:3]
            if count * height * width >= _MUCH:
                foretell(count * thorough_seconds(networks.centerface, height, width))
        return know(images, find(images, settings, progress=progress))
