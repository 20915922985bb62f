"""What nodes show of their faces: text and data on the node, a few pictures, the progress of long work."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import comfy.model_management
import comfy.utils
from comfy_api.latest import io, ui
from server import PromptServer

from ..modules.faces.drawing import draw_faces
from ..modules.faces.numbers import as_ranges
from ..modules.faces.report import Report
from ..modules.faces.types import Face, Faces
from ..modules.host.pages import COMMAND_PREFIX
from ..modules.model.comfy_engine import FaceAnonModel, WatchedModel
from ..modules.model.progress import JobProgress, LatentPictures, Tell
from ..modules.video.pace import Pace
from .graph import shown_at

logger = logging.getLogger("face_anonymizer")

WARNING = "face_anonymizer.warning"  # the name by which web/js/warnings.js hears of it
MOST_SHOWN = 8  # pictures of a clip that a node shows; each costs a PNG file
_MOST_TOLD = 1000  # faces whose data go to a page, 300 bytes each


def find_page() -> str | None:
    """The id of the page that queued the prompt which runs; None where a command, or nobody who is there, did."""
    server = getattr(PromptServer, "instance", None)  # none when a node is called without a server
    if server is None or not isinstance(server.client_id, str):
        return None
    is_page = server.client_id in server.sockets and not server.client_id.startswith(COMMAND_PREFIX)
    return server.client_id if is_page else None


def show_text(node: type[io.ComfyNode], text: str) -> dict:
    """Text on the node, which has to declare the hidden input unique_id. Only the page that queued it gets it.

    Others that have a node of that number open would take what was found in somebody's photo for their own.
    """
    page = find_page()
    if page is not None and node.hidden is not None:
        PromptServer.instance.send_progress_text(text.replace("`", ""), shown_at(node), page)  # it knows no markdown
    return {"text": (text,)}


def teller(node: type[io.ComfyNode]) -> Tell | None:
    """What puts a line on the node while it works, as show_text does at its end; None where no page would show it."""
    page = find_page()
    if page is None or node.hidden is None:
        return None
    place = shown_at(node)
    return lambda text: PromptServer.instance.send_progress_text(text, place, page)


def watched(node: type[io.ComfyNode], model: FaceAnonModel) -> FaceAnonModel:
    """A model that shows on the node which face it paints, where there is a page; of others than that page, to nobody.

    Args:
        node: with the hidden inputs SHOWN.
        model: that is to paint.
    """
    tell = teller(node)
    return model if tell is None else WatchedModel.of(model, tell, wants_previews())


def progress_of(node: type[io.ComfyNode], model: Any, steps: int, faces: int) -> JobProgress:
    """The progress of one sampler run, shown as that of a model that is watched.

    Args:
        node: with the hidden inputs SHOWN.
        model: the MODEL that samples; its VAE is not known here, so that only the host's own previews are shown.
        steps: of the run.
        faces: that are painted in it.
    """
    tell = teller(node)
    pictures = LatentPictures(model) if tell is not None and wants_previews() else None
    return JobProgress(steps, 1, faces, pictures=pictures, tell=tell)


def wants_previews() -> bool:
    """Whether the user has not chosen, in the page's settings, that there be no previews.

    What the host itself makes of the choice cannot be told from its default, which is none too.
    """
    running, _ = PromptServer.instance.prompt_queue.get_current_queue()
    return all(extra_data.get("preview_method") != "none" for _, _, _, extra_data, *_ in running)


def warn(node: type[io.ComfyNode], text: str) -> None:
    """A warning that the page shows above everything (web/js/warnings.js), and a line of the log."""
    logger.warning("%s", text)
    page = find_page()
    if page is not None and node.hidden is not None:
        PromptServer.instance.send_sync(WARNING, {"text": text, "node": shown_at(node)}, page)


def show_report(node: type[io.ComfyNode], report: Report, more: str = "") -> dict:
    """The report as text on the node, with more below it, and as data in /history, where the command line reads it.

    A page, which shows the text alone, would get a hundred megabytes of data for an hour of film: it gets the sums of
    those that are long. The report itself, which nodes save, stays whole.
    """
    text = "\n".join(filter(None, (report.to_text(), more)))
    told = report.to_dict()
    if len(report.entries) > _MOST_TOLD and find_page():
        told |= {"faces": [], "faces_left_out": len(report.entries)}
    return show_text(node, text) | {"face_anon_report": (told,)}


def preview_faces(node: type[io.ComfyNode], images, faces: Faces) -> tuple:
    """All pictures with their faces drawn in, and what the node itself shows of them: of a clip, a few frames.

    All, whether something is connected to them or not: the host keeps a node's outputs by its inputs alone, and would
    hand the few frames to whatever is connected later.
    """
    preview = draw_faces(images, faces)
    return preview, show_pictures(node, preview) | show_places(node, faces, _chosen(faces.image_count))


def show_pictures(node: type[io.ComfyNode], pictures) -> dict:
    """Pictures on the node: of a clip, a few frames.

    What the node shows is a file of people in ComfyUI's temp folder. So there is none without a page that shows it, and
    none names its source: PreviewImage is not given the node, of which it would write prompt and workflow.
    """
    count = pictures.shape[0]
    is_shown = count and shows_pictures(node)  # the host cannot save a preview of no image
    return ui.PreviewImage(pictures[_chosen(count)]).as_dict() if is_shown else {}


def _chosen(count: int) -> list[int]:
    """Which of so many pictures a node shows."""
    if count <= MOST_SHOWN:
        return list(range(count))
    return sorted({round(i * (count - 1) / (MOST_SHOWN - 1)) for i in range(MOST_SHOWN)})


def show_places(node: type[io.ComfyNode], faces: Faces, pictures: Sequence[int]) -> dict:
    """Where the faces are in the pictures that a node shows, for web/js/choose.js; numbers as they are drawn there.

    And the numbers of all faces: those in pictures that are not shown stay as they were when another one is clicked.

    Args:
        node: with the hidden inputs SHOWN.
        faces: of all pictures.
        pictures: numbers of those that are shown, from 0.
    """
    if not shows_pictures(node) or not len(faces):
        return {}
    shown = {index: place for place, index in enumerate(pictures)}
    size = [faces.width, faces.height] * 2
    places = [
        {
            "number": offset + 1,
            "picture": shown[face.image_index],
            "box": [round(float(edge) / side, 4) for edge, side in zip(face.box, size, strict=True)],
        }
        for face, offset in zip(faces, faces.seed_offsets(), strict=True)
        if face.image_index in shown
    ]
    numbers = as_ranges(offset + 1 for offset in faces.seed_offsets())
    return {"face_anon_places": places[:_MOST_TOLD], "face_anon_numbers": [numbers]}


def show_chosen(node: type[io.ComfyNode], faces: Faces, chosen: Iterable[Face]) -> dict:
    """The numbers of the faces that were chosen of all, for web/js/choose.js, which cannot know who is the largest.

    Args:
        node: with the hidden inputs SHOWN.
        faces: all of them.
        chosen: some of the same.
    """
    if not shows_pictures(node) or not len(faces):
        return {}
    places = {id(face) for face in chosen}
    numbered = zip(faces, faces.seed_offsets(), strict=True)
    return {"face_anon_chosen": [as_ranges(offset + 1 for face, offset in numbered if id(face) in places)]}


def shows_pictures(node: type[io.ComfyNode]) -> bool:
    """Whether pictures that a node has are shown: there is a page that queued it."""
    return node.hidden is not None and find_page() is not None


def step_progress(total: int):
    """A callback(done, all) that moves the node's progress bar and lets the user interrupt."""
    bar = comfy.utils.ProgressBar(total)

    def done(value: float, all_steps: float):
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(value, all_steps)

    return done


def frame_progress(node: type[io.ComfyNode]) -> Callable[[float, int], None]:
    """step_progress for the frames of a clip, which also says on the node how fast it goes and how long it takes.

    Args:
        node: with the hidden inputs SHOWN.
    """
    bar, tell = step_progress(1), teller(node)
    if tell is None:
        return bar
    pace = Pace(tell)

    def done(frames: float, count: int) -> None:
        bar(frames, count)
        pace(frames, count)

    return done
