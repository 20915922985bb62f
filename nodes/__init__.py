"""The nodes: schema, checks that name the next step, one call into modules/. Registered as one V3 extension."""

from comfy_api.latest import ComfyExtension, io

from .compare import FaceAnonBeforeAfter
from .detect import FaceAnonDetectFaces, FaceAnonSelectFaces
from .model import FaceAnonLoadModel, register_model_folder
from .output import FaceAnonReport, FaceAnonSaveImage, FaceAnonSaveVideo
from .painting import FaceAnonAnonymizeCrops
from .paste import FaceAnonCropFaces, FaceAnonPasteFaces
from .photo import FaceAnonAnonymizePhoto
from .redact import FaceAnonRedactFaces
from .references import (
    FaceAnonDrivingReference,
    FaceAnonEncodeImage,
    FaceAnonInterpolateStates,
    FaceAnonSourceReference,
)
from .samples import FaceAnonSamplePicture, FaceAnonSampleVideo
from .sampling import FaceAnonApply, FaceAnonDDPMSampler
from .track import FaceAnonTrackFaces
from .variations import FaceAnonVariations
from .verify import FaceAnonVerifyFaces
from .video import FaceAnonAnonymizeVideo, FaceAnonRedactVideo, FaceAnonTrackVideo
from .video_file import FaceAnonAnonymizeVideoFile


class FaceAnonymizerExtension(ComfyExtension):
    """What ComfyUI asks for once, at start."""

    async def on_load(self) -> None:
        register_model_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            FaceAnonAnonymizePhoto,
            FaceAnonAnonymizeVideoFile,
            FaceAnonBeforeAfter,
            FaceAnonSamplePicture,
            FaceAnonSampleVideo,
            FaceAnonLoadModel,
            FaceAnonEncodeImage,
            FaceAnonSourceReference,
            FaceAnonDrivingReference,
            FaceAnonInterpolateStates,
            FaceAnonApply,
            FaceAnonDDPMSampler,
            FaceAnonDetectFaces,
            FaceAnonSelectFaces,
            FaceAnonTrackFaces,
            FaceAnonCropFaces,
            FaceAnonAnonymizeCrops,
            FaceAnonPasteFaces,
            FaceAnonRedactFaces,
            FaceAnonVerifyFaces,
            FaceAnonTrackVideo,
            FaceAnonAnonymizeVideo,
            FaceAnonRedactVideo,
            FaceAnonSaveImage,
            FaceAnonSaveVideo,
            FaceAnonReport,
            FaceAnonVariations,
        ]
