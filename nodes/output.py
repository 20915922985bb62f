"""Save pictures, videos and reports without metadata, under names that do not come from the source."""

import json
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..modules.faces.comparing import Comparison
from ..modules.faces.report import Report
from ..modules.files import replace_whole, write_whole
from ..modules.host.detector import turned_looker
from ..modules.output.dates import with_dates
from ..modules.output.formats import EXTENSIONS, FORMATS, QUALITY
from ..modules.output.pictures import save_image
from ..modules.photos.colour import NOTHING_SAID, colour_of_file
from ..modules.proof.page import to_html
from ..modules.proof.proof import Proof
from ..modules.video.comparing import compare_film
from ..modules.video.saving import save_video
from .graph import ASKED
from .hiding import emptier, photo_of, without_hidden
from .proving import may_be_generated, page_input, prove, told_makers
from .reporting import find_page, show_report, show_text
from .types import PHOTO, TOOLS, VIDEO, ReportSocket

VIDEO_FORMATS = ("auto", "mp4", "mkv", "webm")
_NOBODY_LOOKED = (
    "Saved without metadata. Nobody looked whether faces are still to be seen: connect the report of the node that "
    "changed them."
)


def saving_inputs() -> list:
    """The last inputs of both nodes that save."""
    return [
        io.Boolean.Input(
            "mark_as_ai",
            default=True,
            tooltip="Writes into the file that a trained model made a part of it (XMP DigitalSourceType of IPTC). Some "
            "laws ask for that.",
        ),
        ReportSocket.Input("report", optional=True, tooltip="Saved beside it, under the same name with .json."),
        page_input(),
    ]


class FaceAnonSaveImage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonSaveImage",
            display_name="Save Image (clean)",
            category=PHOTO,
            description="Saves pictures without prompt, workflow, EXIF, GPS or thumbnail. Save Image writes the graph "
            "into the file, and with it the name of the source photo; this node does not.",
            search_aliases=[
                "save without metadata",
                "strip metadata",
                "remove exif",
                "strip exif",
                "export image",
                "jpeg",
                "webp",
            ],
            inputs=[
                io.Image.Input("images", tooltip="The finished pictures."),
                io.String.Input(
                    "filename_prefix",
                    default="anonymized",
                    tooltip="Folders and %date:yyyy-MM-dd% work as in Save Image. Never put the source's name here.",
                ),
                io.Combo.Input(
                    "format", options=list(FORMATS), default="png", tooltip="png is exact; jpeg and webp are smaller."
                ),
                io.Int.Input(
                    "quality", default=QUALITY, min=1, max=100, tooltip="Of JPEG and WEBP. A WEBP of 100 is lossless."
                ),
                io.Boolean.Input(
                    "keep_icc_profile",
                    default=True,
                    tooltip="Keeps the colours of the photo's profile, without which Display P3 and other wide colours "
                    "look wrong. Texts, serial numbers and thumbnails in the profile are not kept.",
                ),
                *saving_inputs(),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The same pictures, to go on with.")],
            hidden=[*ASKED, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        images,
        filename_prefix="anonymized",
        format="png",
        quality=QUALITY,
        keep_icc_profile=True,
        mark_as_ai=True,
        report=None,
        report_page=False,
    ) -> io.NodeOutput:
        report = _compared(report, images)
        source = photo_of(cls)
        colour = colour_of_file(source) if source and keep_icc_profile else NOTHING_SAID
        mark = mark_as_ai and may_be_generated(cls, "images")
        empty = emptier(cls, len(images))
        folder = _Folder(filename_prefix, images.shape[2], images.shape[1])

        def save(number: int, image) -> ui.SavedResult:
            def write(path: Path) -> None:
                shown = image if empty is None else empty(number, image)
                save_image(shown, path, format, quality, icc_profile=colour.profile, mark=mark, cicp=colour.cicp)

            return folder.save(EXTENSIONS[format], write, report if number == 0 else None, number)

        saved = ui.SavedImages([save(i, image) for i, image in enumerate(images)])
        if report is not None and report_page:
            folder.save_proof(report, lambda files: prove(cls, report, files, "images"))
        return io.NodeOutput(images, ui=_told(cls, report, "images", saved))


class FaceAnonSaveVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonSaveVideo",
            display_name="Save Video (clean)",
            category=VIDEO,
            description="Saves a video without prompt, workflow, title, place, dates, cover picture, subtitles or data "
            "tracks. Files that come from elsewhere are encoded anew.",
            search_aliases=["save video without metadata", "export video", "mp4"],
            inputs=[
                io.Video.Input("video", tooltip="The finished video."),
                io.String.Input(
                    "filename_prefix",
                    default="video/anonymized",
                    tooltip="Folders and %date:yyyy-MM-dd% work as in Save Video. Never put the source's name here.",
                ),
                io.Combo.Input("format", options=list(VIDEO_FORMATS), default="auto", tooltip="auto is mp4."),
                *saving_inputs(),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The same video, to go on with.")],
            hidden=[*ASKED, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        video,
        filename_prefix="video/anonymized",
        format="auto",
        mark_as_ai=True,
        report=None,
        report_page=False,
    ) -> io.NodeOutput:
        if isinstance(report, Report):
            report = compare_film(report, video, turned_looker())
        folder = _Folder(filename_prefix, *video.get_dimensions())
        extension = ".mp4" if format == "auto" else f".{format}"
        shown = without_hidden(cls, video)
        mark = mark_as_ai and may_be_generated(cls, "video")
        saved = folder.save(extension, lambda path: save_video(shown, path, mark), report)
        if report is not None and report_page:
            folder.save_proof(report, lambda files: prove(cls, report, files, "video"))
        return io.NodeOutput(video, ui=_told(cls, report, "video", ui.PreviewVideo([saved])))


class FaceAnonReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonReport",
            display_name="Report",
            category=TOOLS,
            description="Shows what was found and what became of every face, and saves it as JSON if you like. It "
            "holds no names of files and nothing that identifies a face.",
            search_aliases=["face report", "audit"],
            inputs=[
                ReportSocket.Input(
                    "report", tooltip="Of Paste Faces, a Redact node, Verify Faces or a node for videos."
                ),
                io.Boolean.Input("save", default=False, tooltip="Write the JSON into the output folder."),
                io.String.Input(
                    "filename_prefix", default="anonymized_report", tooltip="Never put the source's name here."
                ),
                page_input(),
            ],
            outputs=[io.String.Output(display_name="json", tooltip="The report as text.")],
            hidden=ASKED,
            is_output_node=True,
        )

    @classmethod
    def execute(cls, report, save=False, filename_prefix="anonymized_report", report_page=False) -> io.NodeOutput:
        text = report.to_json()
        if save:
            folder = _Folder(filename_prefix)
            folder.save(".json", lambda path: write_whole(path, text.encode()))
            if report_page:
                folder.save_proof(report, lambda _: prove(cls, report, ()))
        return io.NodeOutput(text, ui=show_report(cls, report))


class _Folder:
    """Where ComfyUI saves the files of a prefix: a place in its output folder, and the next number that is free.

    Args:
        filename_prefix: as in Save Image, with folders, %year% and %date:yyyy-MM-dd%.
        width, height: of the pictures, in pixels, for %width% and %height%.
    """

    def __init__(self, filename_prefix: str, width: int = 0, height: int = 0):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in filename_prefix):
            raise ValueError(f"filename_prefix {filename_prefix[:80]!r} has characters that no file name can have.")
        folder, self._name, self._counter, self._subfolder, _ = folder_paths.get_save_image_path(
            with_dates(filename_prefix, time.localtime()), folder_paths.get_output_directory(), width, height
        )
        self._folder = Path(folder)
        self._saved: list[Path] = []

    def save(self, extension: str, write: Callable[[Path], None], report=None, number: int = 0) -> ui.SavedResult:
        """Write one file, and the report beside it under the same name.

        Args:
            extension: of the file, with its dot.
            write: called with the path; it raises FileExistsError where that is taken, and is called with the next one.
            report: saved as JSON; None for none.
            number: of the file in its batch, for %batch_num%.
        """
        if report is not None and not hasattr(report, "to_json"):
            raise ValueError("report is none of this pack: connect the report of Paste Faces or of a Redact node.")
        name = self._name.replace("%batch_num%", str(number))
        while True:
            path = self._folder / f"{name}_{self._counter:05}_{extension}"
            self._counter += 1
            try:
                write(path)
                break
            except FileExistsError:  # another run was faster
                continue
        self._saved.append(path)
        if report is not None:
            write_whole(path.with_suffix(".json"), report.to_json().encode())
        return ui.SavedResult(path.name, self._subfolder, io.FolderType.output)

    def save_proof(self, report, make: Callable[[list[Path]], Proof]) -> None:
        """Write a page beside the first file that was saved, under its name, and what it knows more into the JSON.

        Without a file there is nothing to tell.

        Args:
            report: whose JSON lies there already.
            make: called with all files that were saved.
        """
        if self._saved:
            proof = make(self._saved)
            write_whole(self._saved[0].with_suffix(".html"), to_html(proof))
            told = report.to_dict() | {"made_with": proof.to_dict()}
            replace_whole(self._saved[0].with_suffix(".json"), (json.dumps(told, indent=2) + "\n").encode())


def _told(node: type[io.ComfyNode], report, picture: str, files):
    """The files for the page, and beside them what nobody looked at; to a command that asks, what made them."""
    alone = show_text(node, _NOBODY_LOOKED) if report is None and find_page() else {}
    more = alone | told_makers(node, picture)
    return files.as_dict() | more if more else files


def _compared(report, images):
    """The report, with a note where pictures are none of its own, as far as anybody can tell.

    Raises:
        ValueError: pictures show faces as they were, which the report says were changed.
    """
    if not isinstance(report, Report):
        return report
    comparison = Comparison(report, len(images), find=turned_looker())
    for number, image in enumerate(images):
        comparison.look_at(number, image)
    return comparison.judged()
