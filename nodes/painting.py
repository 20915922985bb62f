"""FaceAnonAnonymizeCrops, the whole method on a batch of crops, and what every node that paints makes of its inputs."""

from collections.abc import Mapping
from typing import Any

import torch
from comfy_api.latest import io

from ..modules.attempts.recognising import crop_recogniser
from ..modules.attempts.settings import AttemptSettings
from ..modules.attempts.studio import Proof
from ..modules.faces.numbers import note_on_numbers, parse_seeds
from ..modules.faces.outcomes import counted
from ..modules.faces.settings import SAME_NOISE, PasteSettings
from ..modules.faces.types import Faces
from ..modules.host.reader import face_reader
from ..modules.model.comfy_engine import FaceAnonModel
from ..modules.model.own import OWN_SIZE, with_own
from ..modules.model.settings import PaintSettings, SamplerSettings
from ..modules.model.vae_fit import check_vae, first_sdxl
from ..modules.output.upstream import weights_upstream
from ..modules.recognition.settings import AUTO, OFF, VERIFY
from ..modules.video.people import PeoplePainter, swap_faces
from .graph import ASKED, graph_of
from .painting_inputs import (
    MOST_DEGREE,
    WHOLE,
    attempts_input,
    choice_inputs,
    face_seeds_input,
    guidance_inputs,
    model_inputs,
    painting_inputs,
    verify_input,
    whole_model_input,
)
from .reporting import show_text, watched
from .types import PHOTO, FacesSocket

_PAINT, _ATTEMPTS = PaintSettings(), AttemptSettings()
_KEEP = PasteSettings().keep_faces


def own_seeds(faces: Faces, text: str) -> tuple[tuple[int, int], ...]:
    """The seeds of single faces, as PaintSettings takes them.

    Args:
        faces: that are painted.
        text: what face_seeds says.

    Raises:
        ValueError: another form, or a number that no face has.
    """
    seeds = parse_seeds(text) if len(faces) else {}
    if nobody := note_on_numbers(faces, ",".join(map(str, seeds)), "face_seeds"):
        raise ValueError(f"{nobody[0]}. Look at the preview of Detect or Track Faces.")
    return tuple((number - 1, seed) for number, seed in seeds.items())


def missing_parts(connected: Mapping[str, Any]) -> list[str]:
    """Which inputs of a model are still to be asked for.

    Args:
        connected: the inputs that are connected, None where they are not evaluated yet, as check_lazy_status gets them.
    """
    parts = [each.id for each in model_inputs()]
    wanted = parts if all(name in connected for name in parts) else [*parts, WHOLE]
    return [name for name in wanted if name in connected and connected[name] is None]


def vae_by_wire(node: type[io.ComfyNode]) -> str:
    """The file of the VAE that is connected to a node by itself, where it is called as those of another family are."""
    prompt, number = graph_of(node)
    return first_sdxl(weights_upstream(prompt, number, "vae")) if prompt else ""


def model_of(whole: FaceAnonModel | None, *parts: Any, vae_name: str = "") -> FaceAnonModel:
    """What paints: all that a loader gave, with the parts that are connected by themselves.

    Args:
        whole: what comes by face_anon_model; None: nothing.
        vae_name: of the file of the VAE that is connected by itself, where that tells its family.
        parts: the five of model_inputs, in their order; None for those that are not connected.

    Raises:
        ValueError: something is missing, or the VAE is one of another family.
    """
    names = [each.id for each in model_inputs()]
    lacking = [name for name, part in zip(names, parts, strict=True) if part is None]
    if whole is None and lacking:
        raise ValueError(
            "The model is not complete: connect face_anon_model of Load Face Anonymizer Model, or its outputs "
            f"{', '.join(lacking)}."
        )
    given = whole if whole is not None else FaceAnonModel(*parts)
    model = FaceAnonModel(*(own if part is None else part for part, own in zip(parts, given, strict=True)))
    latents = model.source_reference_net.patcher.model.latent_format  # a MODEL may be patched, or compiled
    check_vae(model.vae, latents.latent_channels, latents.spacial_downscale_ratio, vae_name, latents.scale_factor)
    return model


def check_degree(degree: float) -> None:
    """Raise ValueError for a degree that came by a wire and is none: the page allows no other."""
    if not 0 <= degree <= MOST_DEGREE:
        raise ValueError(
            f"degree is 0 to {MOST_DEGREE:g}, got {degree:g}: 0 keeps the identity, 1.25 anonymizes, above 1.5 faces "
            "break."
        )


def check_crops(model: FaceAnonModel, crops: torch.Tensor) -> None:
    """Raise ValueError for crops of another size than the model was trained on: it would paint no faces.

    Args:
        model: that is to paint.
        crops: float [N, H, W, 3 or 4].
    """
    height, width = crops.shape[1:3]
    if max(height, width) != model.resolution:
        raise ValueError(
            f"The crops are {width}x{height} pixels, this model paints {model.resolution}x{model.resolution}. Set the "
            f"size of Crop Faces to {model.resolution}, or to {OWN_SIZE} with face_anon_model connected."
        )


def proof_of(model: FaceAnonModel, verify: str, keep: str, settings: AttemptSettings) -> Proof | None:
    """What is asked of every result; None where nobody looks.

    Args:
        model: what the loader gave.
        verify: one of VERIFY.
        keep: numbers of faces that leave whatever is seen on them.
        settings: how often, and which painting is taken.

    Raises:
        ValueError: something is asked for that only recognisers can tell, and they are off.
    """
    if verify not in VERIFY:
        raise ValueError(f"verify is one of {', '.join(VERIFY)}; got {verify!r}.")
    if verify == OFF and settings.needs_recognisers:
        raise ValueError(f"{settings.needs_recognisers} needs recognisers: set verify to on or auto.")
    if verify == OFF or (verify == AUTO and model.demonstration):
        return None
    return Proof(crop_recogniser(face_reader()), settings, keep)


def notes_on_choice(proof: Proof | None, settings: AttemptSettings) -> tuple[str, ...]:
    """What a node says of settings that do nothing, as no recogniser looks: the model is a demonstration.

    Args:
        proof: of proof_of.
        settings: that it was made with.
    """
    asked = settings.needs_recognisers
    return (f"{asked} does nothing: a demonstration is not verified, set verify to on",) if asked and not proof else ()


class FaceAnonAnonymizeCrops(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonAnonymizeCrops",
            display_name="Anonymize Crops",
            category=PHOTO,
            description="The whole method on any number of crops, a few at a time: for crowds and clips, which the "
            "single nodes would hold in memory all at once.",
            search_aliases=["anonymize crops", "face detailer"],
            inputs=[
                *model_inputs(lazy=True),  # no model is loaded for a picture without a face
                io.Image.Input("crops", tooltip="Of Crop Faces."),
                FacesSocket.Input("faces", tooltip="Of Crop Faces."),
                *painting_inputs(),
                io.Image.Input(
                    "source",
                    optional=True,
                    tooltip="Another person's face crop: swapped onto every crop. degree is then usually 0.",
                ),
                attempts_input(),
                verify_input(),
                io.String.Input(
                    "keep",
                    default=_KEEP,
                    optional=True,
                    advanced=True,
                    tooltip='With verify: numbers of faces, such as "1, 3-5", of which the best attempt leaves '
                    "although none passed. Connect the faces output: the report says kept by the user. Empty: none.",
                ),
                *choice_inputs(),
                whole_model_input(lazy=True),
                *guidance_inputs(),
                face_seeds_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="crops",
                    tooltip="A face of which no attempt passed comes without a picture: Paste Faces covers it.",
                ),
                FacesSocket.Output(
                    display_name="faces", tooltip="For Paste Faces: attempts, degrees and verdicts, for its report."
                ),
            ],
            hidden=ASKED,
        )

    @classmethod
    def check_lazy_status(cls, faces=None, **inputs):
        return missing_parts(inputs) if faces is not None and len(faces) else []

    @classmethod
    def execute(
        cls,
        model: Any = None,
        source_reference_net: Any = None,
        driving_reference_net: Any = None,
        clip_vision: Any = None,
        vae: Any = None,
        crops: Any = None,
        faces: Any = None,
        degree=_PAINT.degree,
        seed=_PAINT.seed,
        steps=_PAINT.sampler.steps,
        guidance_scale=_PAINT.sampler.guidance_scale,
        sampler_name=_PAINT.sampler.name,
        scheduler=_PAINT.sampler.scheduler,
        identity=SAME_NOISE,
        faces_at_once=_PAINT.faces_at_once,
        source=None,
        attempts=_ATTEMPTS.attempts,
        verify=OFF,
        keep=_KEEP,
        keep_traits=_ATTEMPTS.traits,
        degree_mode=_ATTEMPTS.degree_mode,
        face_anon_model=None,
        guidance_from=_PAINT.sampler.guidance_from,
        guidance_to=_PAINT.sampler.guidance_to,
        face_seeds="",
    ) -> io.NodeOutput:
        if not len(crops) and not len(faces):
            return io.NodeOutput(crops[..., :3].float(), faces)
        given = (model, source_reference_net, driving_reference_net, clip_vision, vae)
        parts = model_of(face_anon_model, *given, vae_name=vae_by_wire(cls))
        check_degree(degree)
        check_crops(parts, crops)
        parts = watched(cls, parts)
        sampler = SamplerSettings(sampler_name, scheduler, steps, guidance_scale, guidance_from, guidance_to)
        painting = PaintSettings(
            degree, seed, with_own(sampler, parts.folder), faces_at_once, own_seeds(faces, face_seeds)
        )
        choice = AttemptSettings(attempts, keep_traits, degree_mode)
        proof = proof_of(parts, verify, keep, choice)
        if source is not None:
            painted = swap_faces(parts, source, crops, faces, painting, proof=proof)
        else:
            painter = PeoplePainter(
                parts,
                painting,
                identity,
                faces,
                crops_at=lambda places: crops[places],
                batches=[len(crops)],
                proof=proof,
            )
            painted = painter.paint(crops, faces)
        told = "; ".join((f"{counted(len(crops), 'face')} painted", *notes_on_choice(proof, choice)))
        return io.NodeOutput(*painted, ui=show_text(cls, told))
