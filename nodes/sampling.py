"""FaceAnonApply (for every sampler of ComfyUI) and FaceAnonDDPMSampler (the paper's)."""

from comfy_api.latest import io

from ..modules.faces.outcomes import counted
from ..modules.model.own import OWN_GUIDANCE, OWN_STEPS, with_own
from ..modules.model.references import References
from ..modules.model.sampling import apply_references, sample
from ..modules.model.settings import SamplerSettings
from .graph import SHOWN
from .painting_inputs import guidance_inputs, seed_input
from .reporting import progress_of, show_text
from .types import METHOD, EmbedsSocket, FacesSocket, StatesSocket


def _reference_inputs() -> list:
    return [
        io.Model.Input("model", tooltip="From Load Face Anonymizer Model, with LoRA or other patches if you like."),
        StatesSocket.Input("source_states", tooltip="Of Source Reference, through Interpolate States to anonymize."),
        StatesSocket.Input("driving_states", tooltip="Of Driving Reference."),
        EmbedsSocket.Input("source_embeds", tooltip="Of the source image, encoded with the same degree."),
        EmbedsSocket.Input("driving_embeds", tooltip="Of the driving image, encoded with degree 0."),
    ]


class FaceAnonApply(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonApply",
            display_name="Apply References",
            category=METHOD,
            description="Gives MODEL, conditionings and an empty latent for KSampler and every other sampler node.",
            inputs=_reference_inputs(),
            outputs=[
                io.Model.Output(tooltip="For a sampler: it reads the references."),
                io.Conditioning.Output(display_name="positive", tooltip="For a sampler, with both faces."),
                io.Conditioning.Output(display_name="negative", tooltip="For a sampler, without the source."),
                io.Latent.Output(tooltip="Empty, of the size and number of the faces: for a sampler."),
            ],
        )

    @classmethod
    def execute(cls, model, source_states, driving_states, source_embeds, driving_embeds) -> io.NodeOutput:
        references = References(source_states, driving_states, source_embeds, driving_embeds)
        return io.NodeOutput(*apply_references(model, references))


class FaceAnonDDPMSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonDDPMSampler",
            display_name="DDPM Sampler",
            category=METHOD,
            description="The paper's sampler. Face i of a batch has seed + i, so its result depends on no other face.",
            inputs=[
                *_reference_inputs(),
                seed_input(),
                io.Int.Input(
                    "steps",
                    default=SamplerSettings.steps,
                    min=OWN_STEPS,
                    max=1000,
                    tooltip="200 in the paper; fewer is faster. 0: the model's own.",
                ),
                io.Float.Input(
                    "guidance_scale",
                    default=SamplerSettings.guidance_scale,
                    min=OWN_GUIDANCE,
                    max=30.0,
                    step=0.1,
                    tooltip="4 in the paper. At 1 or less the conditional prediction alone, in half the time. -1: the "
                    "model's own.",
                ),
                FacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip="Of Crop Faces. For clips: a tracked person keeps one seed over all frames.",
                ),
                *guidance_inputs(),
            ],
            outputs=[io.Latent.Output(tooltip="The painted faces, for VAE Decode.")],
            hidden=SHOWN,
        )

    @classmethod
    def execute(
        cls,
        model,
        source_states,
        driving_states,
        source_embeds,
        driving_embeds,
        seed=0,
        steps=SamplerSettings.steps,
        guidance_scale=SamplerSettings.guidance_scale,
        faces=None,
        guidance_from=SamplerSettings.guidance_from,
        guidance_to=SamplerSettings.guidance_to,
    ) -> io.NodeOutput:
        references = References(source_states, driving_states, source_embeds, driving_embeds)
        offsets = range(references.batch) if faces is None else faces.seed_offsets()
        sampler = SamplerSettings(
            steps=steps, guidance_scale=guidance_scale, guidance_from=guidance_from, guidance_to=guidance_to
        )
        sampler = with_own(sampler, source_states.model)
        progress = progress_of(cls, model, sampler.steps, references.batch)
        progress.start_run(references.batch)
        samples = sample(model, references, [seed + offset for offset in offsets], sampler, progress.step)
        text = f"{counted(references.batch, 'face')} painted"
        return io.NodeOutput({"samples": samples}, ui=show_text(cls, text))
