"""Before and after in one picture."""

from comfy_api.latest import io

from ..modules.faces.outcomes import NOT_SELECTED, box_of
from ..modules.faces.sheet import AUTO, LAYOUTS, before_and_after
from .graph import SHOWN
from .reporting import preview_faces, show_chosen, show_pictures, show_report
from .types import TOOLS, FacesSocket, ReportSocket


class FaceAnonBeforeAfter(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonBeforeAfter",
            display_name="Before and After",
            category=TOOLS,
            description="Puts pictures and what became of them into one picture, and shows it with the report.",
            search_aliases=["compare images", "side by side", "comparison"],
            inputs=[
                io.Image.Input("before", tooltip="The pictures as they were. They show the originals: do not publish."),
                io.Image.Input("after", tooltip="What became of them, at the same size."),
                io.Combo.Input(
                    "layout",
                    options=list(LAYOUTS),
                    tooltip="auto: wide pictures one above the other, others side by side.",
                ),
                ReportSocket.Input("report", optional=True, tooltip="Shown below."),
                FacesSocket.Input(
                    "faces", optional=True, tooltip="Of Detect Faces: the node shows their numbers, too."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="before_and_after", tooltip="One picture a pair, with a line between.")
            ],
            hidden=SHOWN,
            is_output_node=True,
        )

    @classmethod
    def execute(cls, before, after, layout=AUTO, report=None, faces=None) -> io.NodeOutput:
        both = before_and_after(before, after, layout)
        shown = show_pictures(cls, both)
        if faces is not None and len(faces):
            _, numbered = preview_faces(cls, before, faces)
            places = [
                {**place, "picture": place["picture"] + len(shown["images"])}
                for place in numbered.pop("face_anon_places", ())
            ]
            numbers = numbered.pop("face_anon_numbers", [])
            shown = {name: [*found, *numbered.get(name, ())] for name, found in shown.items()}
            shown |= {"face_anon_places": places, "face_anon_numbers": numbers} if places else {}
            if places and report is not None:
                # Also where the host remembers who was chosen: the node that chose them does not say it again then.
                kept = {(one.image, one.box) for one in report.entries if one.reason == NOT_SELECTED}
                shown |= show_chosen(cls, faces, [f for f in faces if (f.image_index, box_of(f)) not in kept])
        return io.NodeOutput(both, ui=shown | ({} if report is None else show_report(cls, report)))
