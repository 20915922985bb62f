"""Verify Faces: what recognisers say of originals and results, and which results did not pass."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from comfy_api.latest import io

from ..modules.faces.drawing import RIGHT, UNKNOWN, WRONG, Colour, draw_words
from ..modules.faces.outcomes import FOUND, REDACTED, SWAPPED
from ..modules.faces.paste.masks import FaceShapes
from ..modules.faces.paste.redaction import cover
from ..modules.faces.paste.repaint import painted_over
from ..modules.faces.report import Report, report_faces
from ..modules.faces.settings import RedactSettings
from ..modules.faces.traces import by_image, open_faces
from ..modules.faces.types import Faces
from ..modules.host.detector import looker
from ..modules.host.reader import face_reader
from ..modules.recognition.covers import not_covered, uncovered
from ..modules.recognition.verdict import STRANGER, Verification, drift_words
from ..modules.recognition.verifying import Told, Verified, verify_faces
from .graph import ASKED
from .model import models_upstream, note_drawn_faces
from .reporting import show_pictures, show_report, step_progress
from .types import TOOLS, FacesSocket, ReportSocket

_LINES = 12  # faces of which the node says each figure; the report has them all
_COVERED = "covered"


class FaceAnonVerifyFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonVerifyFaces",
            display_name="Verify Faces",
            category=TOOLS,
            description="Asks two recognisers of each face whether the result is a stranger to the original, and says "
            "what was kept: pose, gaze, expression, age, gender. Faces that did not pass come out to be redacted or "
            "painted again.",
            search_aliases=["face recognition", "verify anonymization", "same person", "identity check"],
            inputs=[
                io.Image.Input("before", tooltip="The picture in which the faces were found."),
                io.Image.Input("after", tooltip="What became of it: of Paste Faces, or any other node, unscaled."),
                FacesSocket.Input("faces", tooltip="Of Detect, Select, Track or Crop Faces."),
                ReportSocket.Input(
                    "report", optional=True, tooltip="Of an earlier step: the verdicts are added to it."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="preview", tooltip="The result, with the verdict at each face."),
                io.Mask.Output(display_name="not_passed_mask", tooltip="Where faces did not pass."),
                FacesSocket.Output(display_name="not_passed", tooltip="For Redact Faces, or to be painted again."),
                ReportSocket.Output(display_name="report", tooltip="The report with the verdicts."),
            ],
            hidden=ASKED,
            is_output_node=True,
        )

    @classmethod
    def execute(cls, before, after, faces, report=None) -> io.NodeOutput:
        _check_order(before, after, report)
        faces = faces if report is None else report.as_known(faces)
        known, told, shown = faces, Told(), {}
        # a report of other pictures is refused below
        if report is not None and _is_about(report, (before, after), faces):
            known = report.as_known(faces, before)
            actions = report.actions_of(known)
            covered = _places(actions, REDACTED)
            shown = uncovered(before, after, known, covered, traces=report.traces, find=looker())
            painted = painted_over(before, known, report)
            told = Told(covered - shown.keys(), _places(actions, SWAPPED), report.traces, painted)
        verified = verify_faces(before, after, faces, face_reader(), told=told, progress=step_progress(len(before)))
        verified = not_covered(verified, shown)
        done = _enriched(report, known, verified)
        if any(verified.verifications):
            done = note_drawn_faces(done, models_upstream(cls, "after"))
        failed = _parted(faces, verified.failed)
        preview = draw_words(after, faces, [_word(one) for one in verified.verifications])
        shown = show_report(cls, done, _figures(faces, verified)) | show_pictures(cls, preview)
        return io.NodeOutput(preview, _mask_of(after, failed), failed, done, ui=shown)


def _check_order(before: torch.Tensor, after: torch.Tensor, report: Report | None) -> None:
    """Raise ValueError where the later picture shows faces as they were, and the earlier one what became of them."""
    if report is None:
        return
    traces = by_image(report.traces)
    if not traces or not before.shape[:3] == after.shape[:3] == (report.images, report.height, report.width):
        return
    if open_faces(after, traces) and not open_faces(before, traces):
        raise ValueError("before shows what became of the faces, after shows them as they were: exchange the two.")


def _is_about(report: Report, pictures: Sequence[torch.Tensor], faces: Faces) -> bool:
    """Whether a report is about as many pictures of this size."""
    sizes = {tuple(images.shape[:3]) for images in pictures} | {(faces.image_count, faces.height, faces.width)}
    return sizes == {(report.images, report.height, report.width)}


def _places(actions: Sequence[str | None], wanted: str) -> frozenset[int]:
    return frozenset(i for i, action in enumerate(actions) if action == wanted)


def _enriched(report: Report | None, faces: Faces, verified: Verified) -> Report:
    """The report so far with the verdicts."""
    done = report_faces(faces, FOUND).after(report)
    if report is not None:
        done = replace(done, elsewhere=report.elsewhere)  # nobody looked for others here
    said = [None if one is None else one.to_dict() for one in verified.verifications]
    return done.verified(faces, said, verified.notes)


def _parted(faces: Faces, chosen: Sequence[int]) -> Faces:
    """The chosen ones of the faces; the others stand in `kept`."""
    places = set(chosen)
    others = (face for i, face in enumerate(faces) if i not in places)
    return replace(faces, faces=tuple(faces.faces[i] for i in chosen), kept=(*faces.kept, *others))


def _mask_of(images: torch.Tensor, faces: Faces) -> torch.Tensor:
    """float32 [B, H, W], 1 where Redact Faces would cover these faces."""
    mask = torch.zeros(images.shape[:3], dtype=torch.float32, device=images.device)
    nothing = mask.new_zeros((*images.shape[1:3], 1))
    for face in faces:
        cover(nothing, mask[face.image_index], [FaceShapes(face)], RedactSettings())
    return mask


def _word(verification: Verification | None) -> tuple[str, Colour]:
    """What stands at a face of the picture, and its colour."""
    if verification is None:
        return _COVERED, UNKNOWN
    if verification.passed:
        return verification.verdict, RIGHT if verification.verdict == STRANGER else UNKNOWN
    return verification.verdict, WRONG


def _figures(faces: Faces, verified: Verified) -> str:
    """A line a face with its figures, those that did not pass first; of many faces some alone."""
    lines = []
    numbers = [offset + 1 for offset in faces.seed_offsets()]
    order = sorted(range(len(faces)), key=lambda i: (i not in verified.failed, i))
    for i in order[:_LINES]:
        verification = verified.verifications[i]
        where = f" (picture {faces.faces[i].image_index + 1})" if faces.image_count > 1 else ""
        line = f"{numbers[i]}{where}: {_word(verification)[0]}"
        if verification is not None:
            line += f": {verification.reason}"
            if verification.difference is not None:
                line += f"; drift: {drift_words(verification.difference)}"
        lines.append(line)
    return "\n".join(lines + ([f"and {len(order) - _LINES} more, in the report"] if len(order) > _LINES else []))
