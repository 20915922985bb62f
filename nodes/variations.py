"""Variations: what a model makes of one face, over degrees and seeds."""

from dataclasses import replace

from comfy_api.latest import io

from ..modules.attempts.recognising import crop_recogniser
from ..modules.attempts.variations import MOST, read_degrees, vary
from ..modules.attempts.variations_sheet import draw_sheet
from ..modules.host.reader import face_reader
from ..modules.model.own import with_own
from ..modules.model.settings import PaintSettings, SamplerSettings
from ..modules.recognition.verdict import STRANGER
from .graph import SHOWN
from .painting import check_crops, model_of
from .painting_inputs import seed_input
from .presets import BALANCED, PRESETS, painting_of
from .reporting import show_text, watched
from .types import METHOD, FacesSocket, ModelSocket

_PAINT = PaintSettings()
_DEGREES = "0, 0.5, 1, 1.25"
_SEEDS = 3


class FaceAnonVariations(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonVariations",
            display_name="Variations of a Face",
            category=METHOD,
            description="Paints one face with several seeds at each of several degrees, in one sheet, with what two "
            "recognisers say of each: how much of a person a degree leaves.",
            search_aliases=["variations", "degree sweep", "xy plot", "identity distance"],
            inputs=[
                io.Image.Input("crops", tooltip="Of Crop Faces. The first one is painted."),
                FacesSocket.Input("faces", tooltip="Of Crop Faces."),
                ModelSocket.Input("face_anon_model", tooltip="Of Load Face Anonymizer Model."),
                io.String.Input(
                    "degrees",
                    default=_DEGREES,
                    tooltip="The rows: numbers of 0 to 2. 0 keeps the identity, 1.25 anonymizes; above 1.5 faces "
                    "break.",
                ),
                io.Int.Input("seeds", default=_SEEDS, min=1, max=MOST, tooltip="The columns: so many, from seed on."),
                seed_input("Of the first column; each other one has one more."),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default=BALANCED,
                    tooltip="The sampler and its steps, as of Anonymize Photo.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="It shows the original: not to publish without consent."),
                io.String.Output(display_name="table", tooltip="Degree, seed, verdict and both figures, as CSV."),
            ],
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls, crops, faces, face_anon_model, degrees=_DEGREES, seeds=_SEEDS, seed=_PAINT.seed, preset=BALANCED
    ) -> io.NodeOutput:
        listed = read_degrees(degrees)
        if not len(faces) or len(crops) != len(faces):
            raise ValueError(
                f"There are {len(crops)} crops and {len(faces)} faces: connect both of one Crop Faces, of a picture "
                "in which a face was found."
            )
        model = model_of(face_anon_model, *[None] * 5)
        check_crops(model, crops)
        how = painting_of(preset)
        sampler = SamplerSettings(how.sampler_name, how.scheduler, how.steps, how.guidance_scale)
        made = vary(
            watched(cls, model),
            crops[0],
            faces.faces[0],
            replace(_PAINT, seed=seed, sampler=with_own(sampler, model.folder)),
            degrees=listed,
            seeds=seeds,
            recognise=crop_recogniser(face_reader()),
        )
        said = [one for row in made.said for one in row]
        passed = sum(one.verdict == STRANGER for one in said)
        text = f"{len(said)} paintings of 1 face; recognisers call {passed} of them a stranger"
        if model.demonstration:
            text += "\nThe model is a demonstration and paints drawn faces: what recognisers say of them means little."
        return io.NodeOutput(draw_sheet(made), made.to_csv(), ui=show_text(cls, text))
