"""A picture and a clip that ship with the pack, so that a graph shows something before anybody chose a file."""

from comfy_api.latest import InputImpl, io

from ..modules.host.location import PACK
from ..modules.photos.sample_files import CLIP, PICTURES
from ..modules.photos.samples import read_sample
from .graph import SHOWN
from .reporting import show_pictures
from .types import TOOLS

_REPLACE = "Put your own in its place: "


class FaceAnonSamplePicture(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonSamplePicture",
            display_name="Sample Picture",
            category=TOOLS,
            description="A picture that ships with the pack. Nobody in it exists. " + _REPLACE + "Load Image.",
            search_aliases=["example photo", "test image"],
            inputs=[
                io.Combo.Input(
                    "picture",
                    options=list(PICTURES),
                    tooltip="group: five people before a wall. portrait: another one.",
                )
            ],
            outputs=[io.Image.Output(tooltip="For Anonymize Photo, or any node that takes a picture.")],
            hidden=SHOWN,
        )

    @classmethod
    def execute(cls, picture) -> io.NodeOutput:
        image = read_sample(PACK, picture)
        return io.NodeOutput(image, ui=show_pictures(cls, image))


class FaceAnonSampleVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonSampleVideo",
            display_name="Sample Video",
            category=TOOLS,
            description="A short clip with sound that ships with the pack. Nobody in it exists. "
            + _REPLACE
            + "Load Video.",
            search_aliases=["example video", "test clip"],
            outputs=[io.Video.Output(tooltip="For Anonymize Video File, or any node that takes a video.")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(InputImpl.VideoFromFile(str(PACK / CLIP)))
