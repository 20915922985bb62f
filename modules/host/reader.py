"""The reader of faces under ComfyUI's memory management. Touches the host: wraps the networks in a patcher."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher

from ..recognition.pairs import Read
from ..recognition.reader import FaceReader, ReaderNetworks
from ..recognition.settings import ReaderSettings


def face_reader(settings: ReaderSettings = ReaderSettings()) -> Read:
    """FaceReader.read on the host's device.

    The networks (44 MB in float32) are read when it is first called and let go with it. They are put on the device for
    each call, as other models may have taken their place in between.

    Args:
        settings: what can be read.
    """
    readers: list[tuple[comfy.model_patcher.CoreModelPatcher, FaceReader]] = []

    def read(images, faces):
        if not readers:
            networks = ReaderNetworks()
            patcher = comfy.model_patcher.CoreModelPatcher(
                networks,
                load_device=comfy.model_management.get_torch_device(),
                offload_device=comfy.model_management.unet_offload_device(),
            )
            readers.append((patcher, FaceReader(settings, networks)))
        patcher, reader = readers[0]
        comfy.model_management.load_models_gpu([patcher])
        patcher.model.to(patcher.load_device)
        return reader.read(images, faces)

    return read
