"""The method up to the sampler: embeddings, the states of both ReferenceNets, the degree."""

from comfy_api.latest import io

from ..modules.model.embedding import encode_image
from ..modules.model.settings import PaintSettings
from ..modules.model.states import DRIVING, SOURCE, interpolate_states
from .painting import check_degree
from .types import METHOD, EmbedsSocket, ReferenceNetSocket, StatesSocket

_DEGREE_HELP = (
    "0: the source's identity (a face swap). 1: none of it. 1.25: away from it, the paper's anonymization. Above 1.5 "
    "faces break."
)


class FaceAnonEncodeImage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonEncodeImage",
            display_name="Encode Face Image",
            category=METHOD,
            description="CLIP embedding of face crops, scaled by 1 - degree. The driving image keeps degree 0.",
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="From Load Face Anonymizer Model."),
                io.Image.Input("image", tooltip="Face crops at the model's size. One embedding per image."),
                io.Float.Input(
                    "degree",
                    default=0.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="For the source: the same degree as in Interpolate States. For the driving image: 0. "
                    + _DEGREE_HELP,
                ),
            ],
            outputs=[EmbedsSocket.Output(display_name="embeds", tooltip="For the references and the sampler.")],
        )

    @classmethod
    def execute(cls, clip_vision, image, degree=0.0) -> io.NodeOutput:
        check_degree(degree)
        return io.NodeOutput(encode_image(clip_vision, image, degree))


class FaceAnonSourceReference(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonSourceReference",
            display_name="Source Reference",
            category=METHOD,
            description="Reads whose face it is: the source ReferenceNet's states, conditional and null. To anonymize, "
            "source and driving are the same picture; to swap, the source is another person.",
            inputs=_reference_inputs(SOURCE),
            outputs=[
                StatesSocket.Output(
                    display_name="source_states", tooltip="For Interpolate States; for a swap, the sampler."
                )
            ],
        )

    @classmethod
    def execute(cls, reference_net, latent, embeds) -> io.NodeOutput:
        _check_role(reference_net, SOURCE)
        return io.NodeOutput(reference_net.states(latent["samples"], embeds))


class FaceAnonDrivingReference(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonDrivingReference",
            display_name="Driving Reference",
            category=METHOD,
            description="Reads what stays: expression, pose, gaze, light and background, as the driving ReferenceNet's "
            "states.",
            inputs=_reference_inputs(DRIVING),
            outputs=[StatesSocket.Output(display_name="driving_states", tooltip="For the sampler, as they are.")],
        )

    @classmethod
    def execute(cls, reference_net, latent, embeds) -> io.NodeOutput:
        _check_role(reference_net, DRIVING)
        if embeds.degree != 0:
            raise ValueError(
                f"The driving image was encoded with degree {embeds.degree}; its embedding is never scaled. Encode it "
                f"with degree 0, in an Encode Image of its own."
            )
        return io.NodeOutput(reference_net.states(latent["samples"], embeds))


def _reference_inputs(role: str) -> list:
    return [
        ReferenceNetSocket.Input("reference_net", tooltip=f"{role}_reference_net of Load Face Anonymizer Model."),
        io.Latent.Input("latent", tooltip="The face crops, encoded by the model's VAE."),
        EmbedsSocket.Input("embeds", tooltip="The same face crops, through Encode Face Image."),
    ]


def _check_role(reference_net, role: str) -> None:
    if reference_net.role != role:
        raise ValueError(
            f"This is the {reference_net.role} ReferenceNet; connect {role}_reference_net of Load Face "
            f"Anonymizer Model."
        )


class FaceAnonInterpolateStates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonInterpolateStates",
            display_name="Interpolate States",
            category=METHOD,
            description="Moves the source's states towards, and beyond, the states of nobody.",
            inputs=[
                StatesSocket.Input("source_states", tooltip="Of Source Reference."),
                io.Float.Input(
                    "degree", default=PaintSettings.degree, min=0.0, max=2.0, step=0.05, tooltip=_DEGREE_HELP
                ),
            ],
            outputs=[
                StatesSocket.Output(display_name="interpolated_states", tooltip="The source_states of the sampler.")
            ],
        )

    @classmethod
    def execute(cls, source_states, degree=PaintSettings.degree) -> io.NodeOutput:
        check_degree(degree)
        return io.NodeOutput(interpolate_states(source_states, degree))
