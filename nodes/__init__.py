"""The nodes: schema, checks that name the next step, one call into modules/. Registered as one V3 extension."""

from comfy_api.latest import ComfyExtension, io

from .faces import FaceAnonCropFaces, FaceAnonDetectFaces, FaceAnonPasteFaces
from .loading import FaceAnonLoadModel, register_model_folder
from .references import (
    FaceAnonDrivingReference,
    FaceAnonEncodeImage,
    FaceAnonInterpolateStates,
    FaceAnonSourceReference,
)
from .sampling import FaceAnonApply, FaceAnonDDPMSampler


class FaceAnonymizerExtension(ComfyExtension):
    """What ComfyUI asks for once, at start."""

    async def on_load(self) -> None:
        register_model_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            FaceAnonLoadModel,
            FaceAnonEncodeImage,
            FaceAnonSourceReference,
            FaceAnonDrivingReference,
            FaceAnonInterpolateStates,
            FaceAnonApply,
            FaceAnonDDPMSampler,
            FaceAnonDetectFaces,
            FaceAnonCropFaces,
            FaceAnonPasteFaces,
        ]
