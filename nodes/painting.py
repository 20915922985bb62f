"""FaceAnonAnonymizeCrops, the whole method on a batch of crops, and the inputs of every node that paints."""

import comfy.samplers
from comfy_api.latest import io

from ..modules.faces.settings import IDENTITIES, SAME_NOISE
from ..modules.model.comfy_engine import FaceAnonModel
from ..modules.model.painting import swap_crops
from ..modules.model.settings import DDPM, PaintSettings, SamplerSettings
from ..modules.video.people import PeoplePainter
from .types import CATEGORY, FacesSocket, ReferenceNetSocket

_PAINT = PaintSettings()


def model_inputs() -> list:
    """The five outputs of FaceAnonLoadModel."""
    return [
        io.Model.Input("model", tooltip="From Load Face Anonymizer Model, with LoRA or other patches if you like."),
        ReferenceNetSocket.Input("source_reference_net"),
        ReferenceNetSocket.Input("driving_reference_net"),
        io.ClipVision.Input("clip_vision"),
        io.Vae.Input("vae"),
    ]


def painting_inputs() -> list:
    """What is painted and how."""
    return [
        io.Float.Input(
            "degree",
            default=_PAINT.degree,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="0: the same identity. 1: none of it. 1.25: away from it, the paper's anonymization. Above 1.5 "
            "faces break.",
        ),
        io.Int.Input("seed", default=_PAINT.seed, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True),
        io.Int.Input(
            "steps", default=_PAINT.sampler.steps, min=1, max=1000, tooltip="200 in the paper; 25 are enough for most."
        ),
        io.Float.Input(
            "guidance_scale",
            default=_PAINT.sampler.guidance_scale,
            min=0.0,
            max=30.0,
            step=0.1,
            tooltip="4 in the paper. At 1 or less the conditional prediction alone, in half the time.",
        ),
        io.Combo.Input(
            "sampler_name",
            options=[DDPM, *comfy.samplers.KSampler.SAMPLERS],
            default=_PAINT.sampler.name,
            tooltip="For clips one that adds no noise on the way (dpmpp_2m, euler, ddim), or the paper's.",
        ),
        io.Combo.Input(
            "scheduler",
            options=list(comfy.samplers.KSampler.SCHEDULERS),
            default=_PAINT.sampler.scheduler,
            tooltip="Not used by the paper's sampler.",
        ),
        io.Combo.Input(
            "identity",
            options=list(IDENTITIES),
            tooltip="For clips. same noise: every frame is anonymized by itself, from the person's one start noise. "
            "same face: the person's best frame is anonymized once, and that face is swapped onto every frame.",
        ),
        io.Int.Input(
            "faces_at_once",
            default=_PAINT.faces_at_once,
            min=1,
            max=256,
            advanced=True,
            tooltip="At most so many crops go through the networks together: fewer take less memory. With samplers "
            "that add noise on the way (ancestral, sde, ddpm) another number gives other faces; the paper's does not.",
        ),
    ]


class FaceAnonAnonymizeCrops(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonAnonymizeCrops",
            display_name="Anonymize Crops",
            category=CATEGORY,
            description="The whole method on any number of crops, a few at a time: for crowds and clips, which the "
            "single nodes would hold in memory all at once.",
            inputs=[
                *model_inputs(),
                io.Image.Input("crops", tooltip="Of Crop Faces."),
                FacesSocket.Input("faces", tooltip="Of Crop Faces."),
                *painting_inputs(),
                io.Image.Input(
                    "source",
                    optional=True,
                    tooltip="Another person's face crop: swapped onto every crop. degree is then usually 0.",
                ),
            ],
            outputs=[io.Image.Output(display_name="crops")],
        )

    @classmethod
    def execute(
        cls,
        model,
        source_reference_net,
        driving_reference_net,
        clip_vision,
        vae,
        crops,
        faces,
        degree=_PAINT.degree,
        seed=_PAINT.seed,
        steps=_PAINT.sampler.steps,
        guidance_scale=_PAINT.sampler.guidance_scale,
        sampler_name=_PAINT.sampler.name,
        scheduler=_PAINT.sampler.scheduler,
        identity=SAME_NOISE,
        faces_at_once=_PAINT.faces_at_once,
        source=None,
    ) -> io.NodeOutput:
        parts = FaceAnonModel(model, source_reference_net, driving_reference_net, clip_vision, vae)
        sampler = SamplerSettings(sampler_name, scheduler, steps, guidance_scale)
        painting = PaintSettings(degree, seed, sampler, faces_at_once)
        if source is not None:
            return io.NodeOutput(swap_crops(parts, source, crops, faces.seed_offsets(), painting))
        painter = PeoplePainter(
            parts, painting, identity, faces, crops_at=lambda places: crops[places], batches=[len(crops)]
        )
        return io.NodeOutput(painter.paint(crops, faces)[0])
