"""FaceAnonLoadModel, and the folder in which ComfyUI looks for models."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..modules.faces.report import Report
from ..modules.model.checkpoint import DEMO, GET_MODELS, PACK_MODELS, find_model_folders, read_settings
from ..modules.model.loading import FROM_MODEL_FOLDER, WEIGHT_DTYPES, load_model_folder
from ..modules.output.upstream import nodes_upstream
from ..modules.recognition.recognisers import on_drawn_faces
from ..modules.terminal import shown
from .graph import SHOWN, graph_of
from .reporting import show_text
from .types import COVER, METHOD, MODEL_FOLDER, ModelSocket, ReferenceNetSocket

logger = logging.getLogger("face_anonymizer")

_WHOLE_METHODS = ("FaceAnonAnonymizePhoto", "FaceAnonAnonymizeVideoFile")  # they name a model, too


def register_model_folder() -> None:
    """Make models/face_anon known to ComfyUI, after the folders that extra_model_paths.yaml has given already.

    The pack's folder comes last: a user's models are listed before the demo model, and one of its name replaces it.
    """
    folder_paths.add_model_folder_path(MODEL_FOLDER, os.path.join(folder_paths.models_dir, MODEL_FOLDER))
    folder_paths.add_model_folder_path(MODEL_FOLDER, str(PACK_MODELS))


def _safetensors_of(kind: str) -> list[str]:
    files = folder_paths.get_filename_list(kind)
    return [FROM_MODEL_FOLDER, *(name for name in files if name.lower().endswith((".safetensors", ".sft")))]


def _model_folders() -> dict[str, Path]:
    return find_model_folders(folder_paths.get_folder_paths(MODEL_FOLDER))


def model_choice() -> io.Input:
    """Which model, by the name of its folder."""
    return io.Combo.Input(
        "model",
        options=list(_model_folders()),
        tooltip="A folder under models/face_anon in the published layout. "
        f"`{GET_MODELS}` fills one. {DEMO} ships with the pack and paints synthetic faces.",
    )


def check_model(model: object) -> bool | str:
    """Whether there is such a model, for validate_inputs: True, or what to do.

    It stands in place of the host's "value not in list", which would not say where a model comes from. None comes by a
    link, and is known when the node runs.
    """
    return True if model is None or (isinstance(model, str) and model in _model_folders()) else _no_model(model)


class FaceAnonLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FaceAnonLoadModel",
            display_name="Load Face Anonymizer Model",
            category=METHOD,
            description="Loads a model folder of models/face_anon: UNet, both ReferenceNets, image encoder and VAE.",
            search_aliases=["face anonymization model", "face anon simple"],
            inputs=[
                model_choice(),
                io.Combo.Input(
                    "clip_vision",
                    options=_safetensors_of("clip_vision"),
                    default=FROM_MODEL_FOLDER,
                    tooltip="The image encoder: the folder's image_encoder/, or a CLIP ViT-L/14 of models/clip_vision.",
                ),
                io.Combo.Input(
                    "vae",
                    options=_safetensors_of("vae"),
                    default=FROM_MODEL_FOLDER,
                    tooltip="The VAE: the folder's vae/, or a Stable Diffusion 1 or 2 VAE of models/vae.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    default="default",
                    advanced=True,
                    tooltip="Precision of the three UNets' weights. default: what ComfyUI chooses for this device.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The UNet. LoRA loaders and other model patches fit in behind it."),
                ReferenceNetSocket.Output(display_name="source_reference_net", tooltip="For Source Reference."),
                ReferenceNetSocket.Output(display_name="driving_reference_net", tooltip="For Driving Reference."),
                io.ClipVision.Output(tooltip="The image encoder, for Encode Face Image."),
                io.Vae.Output(tooltip="For VAE Encode and VAE Decode."),
                ModelSocket.Output(
                    display_name="face_anon_model",
                    tooltip="All five in one wire, for the nodes that run the whole method.",
                ),
            ],
            hidden=SHOWN,
        )

    @classmethod
    def validate_inputs(cls, model):
        return check_model(model)

    @classmethod
    def execute(cls, model, clip_vision, vae, weight_dtype="default") -> io.NodeOutput:
        folder = _model_folders().get(model) if isinstance(model, str) else None
        if folder is None:
            raise FileNotFoundError(_no_model(model))
        loaded = load_model_folder(
            folder,
            clip_vision=_chosen_file("clip_vision", clip_vision),
            vae=_chosen_file("vae", vae),
            weight_dtype=weight_dtype,
        )
        settings = read_settings(folder)
        # these stand in other nodes, which a user who changes the model has to think of
        text = f"For crops of {settings.resolution} pixels and a guidance scale of {settings.guidance_scale:g}."
        if settings.notice:
            notice = shown(settings.notice)
            logger.warning("%s: %s", shown(model), notice)
            text = f"{notice}\n{text}"
        return io.NodeOutput(*loaded, loaded, ui=show_text(cls, text))


def models_upstream(node: type[io.ComfyNode], input_name: str, beside: str | None = None) -> dict[str, bool]:
    """The models that made what comes into a node: their names, and whether each says that it is a demonstration.

    Args:
        node: with the hidden inputs ASKED.
        input_name: of its input.
        beside: name of another input: the models that made what comes there are left out.
    """
    prompt, number = graph_of(node)
    if not prompt:
        return {}
    before = nodes_upstream(prompt, number, beside) if beside else set()
    folders, found = _model_folders(), {}
    for upstream in nodes_upstream(prompt, number, input_name) - before:
        if _names_a_model(prompt[upstream]):
            name = prompt[upstream].get("inputs", {}).get("model")
            folder = folders.get(name) if isinstance(name, str) else None
            found[str(name)] = folder is not None and bool(read_settings(folder).demonstration)
    return found


def _names_a_model(node: Mapping) -> bool:
    inputs = node.get("inputs", {})
    if node.get("class_type") in _WHOLE_METHODS:
        return "face_anon_model" not in inputs and inputs.get("what") != COVER
    return node.get("class_type") == "FaceAnonLoadModel"


def note_drawn_faces(report: Report, models: Mapping[str, bool]) -> Report:
    """A report with what is to be said beside verdicts on the faces of demonstration models, where one made them.

    Args:
        report: with the verdicts.
        models: as of models_upstream.
    """
    names = sorted(shown(name) for name, is_demonstration in models.items() if is_demonstration)
    return report.noting(on_drawn_faces(", ".join(names), report.entries)) if names else report


def _no_model(name: object) -> str:
    """Which models there are in place of one that there is not."""
    folders = _model_folders()
    bases = ", ".join(path for path in folder_paths.get_folder_paths(MODEL_FOLDER) if path != str(PACK_MODELS))
    instead = f" {DEMO} needs no download, but paints synthetic faces." if DEMO in folders else ""
    return (
        f'There is no model "{shown(name)[:200]}" in {bases}; found: {", ".join(map(shown, folders)) or "none"}. '
        f"`{GET_MODELS}` downloads the published model, or put its folders unet, referencenet and "
        f"conditioning_referencenet there.{instead}"
    )


def _chosen_file(kind: str, name: str) -> Path | None:
    return None if name == FROM_MODEL_FOLDER else Path(folder_paths.get_full_path_or_raise(kind, name))
