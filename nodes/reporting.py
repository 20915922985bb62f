"""What nodes show of their faces: text and data on the node, a few pictures, the progress of long work."""

import comfy.model_management
import comfy.utils
from comfy_api.latest import io, ui
from server import PromptServer

from ..modules.faces.drawing import draw_faces
from ..modules.faces.report import Report
from ..modules.faces.types import Faces

_SHOWN = 8  # pictures of a clip that a node shows; each costs a PNG file


def show_text(node: type[io.ComfyNode], text: str) -> dict:
    """Text on the node, which has to declare the hidden input unique_id."""
    server = getattr(PromptServer, "instance", None)  # none when a node is called without a server
    if server is not None and node.hidden is not None:
        server.send_progress_text(text, node.hidden.unique_id)
    return {"text": (text,)}


def show_report(node: type[io.ComfyNode], report: Report) -> dict:
    """The report as text on the node, and as data in /history, where the command line reads it."""
    return show_text(node, report.to_text()) | {"face_anon_report": (report.to_dict(),)}


def preview_faces(node: type[io.ComfyNode], slot: int, images, faces: Faces) -> tuple:
    """The pictures with their faces drawn in, for output `slot`, and what the node itself shows of them.

    Of a clip the node shows a few frames, and all are drawn only for an output that something is connected to.
    """
    count = images.shape[0]
    chosen = sorted({round(i * (count - 1) / (_SHOWN - 1)) for i in range(_SHOWN)}) if count > _SHOWN else range(count)
    if _is_linked(node, slot):
        preview = draw_faces(images, faces)
        shown = preview[list(chosen)]
    else:
        preview = shown = draw_faces(images, faces, chosen)
    # the host cannot save a preview of no image
    return preview, ui.PreviewImage(shown, cls=node).as_dict() if count else {}


def step_progress(total: int):
    """A callback(done, all) that moves the node's progress bar and lets the user interrupt."""
    bar = comfy.utils.ProgressBar(total)

    def done(value: float, all_steps: float):
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(value, all_steps)

    return done


def _is_linked(node: type[io.ComfyNode], slot: int) -> bool:
    """Whether the prompt connects something to an output of this node; True where no prompt is known."""
    prompt = None if node.hidden is None else node.hidden.prompt
    if not prompt:
        return True
    link = [str(node.hidden.unique_id), slot]
    return any(
        isinstance(value, list) and [str(value[0]), *value[1:]] == link
        for other in prompt.values()
        for value in other["inputs"].values()
    )
