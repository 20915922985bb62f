"""What ComfyUI knows of the nodes of a graph: which sockets carry pictures, and which files a text names. Touches the
host: asks the classes of its nodes and its folders."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import folder_paths

from ..files import sha256_of
from ..output.provenance import ASIDE, MASK, NOTHING, PICTURE, SAME

_SHOWN = ("IMAGE", "VIDEO", "LATENT")
# sockets that carry no picture, though what comes through them may bear on one; others of other packs may carry one
_NAMES = """
INT FLOAT STRING BOOLEAN COMBO NUMBER MODEL CLIP VAE CONDITIONING CLIP_VISION CLIP_VISION_OUTPUT CONTROL_NET
STYLE_MODEL GLIGEN UPSCALE_MODEL LATENT_UPSCALE_MODEL SAMPLER SIGMAS NOISE GUIDER AUDIO AUDIO_ENCODER
AUDIO_ENCODER_OUTPUT AUDIO_VAE BACKGROUND_REMOVAL BBOX BOUNDING_BOX BOUNDING_BOXES CAMERA_CONDITIONS CURVE COLOR
FACE_LANDMARKS FACE_DETECTION_MODEL HOOKS HOOK_KEYFRAMES INTERP_MODEL LATENT_OPERATION LORA_MODEL LOSS_MAP MESH
MODEL_PATCH OPTICAL_FLOW PHOTOMAKER POINT POSE_KEYPOINT SAM3_TRACK_DATA SPLAT SVG TIMESTEPS_RANGE TRACKS VOXEL
WAN_CAMERA_EMBEDDING DA3_GEOMETRY MOGE_GEOMETRY IPADAPTER INSIGHTFACE FACE_ANALYSIS SAM_MODEL
"""
_BESIDE = frozenset(_NAMES.split())
_PAINTERS = {"MODEL", "VAE", "CLIP", "UPSCALE_MODEL", "LATENT_UPSCALE_MODEL", "INTERP_MODEL"}
_HOSTS_OWN = ("nodes", "comfy_extras.")
_ANY = ("*", "COMFY_MATCHTYPE_V3")
_MOST_FILES = 5000  # of a folder


class ComfyHost:
    """As provenance.Host and generated.Host ask for it."""

    def carries(self, class_type: str, slot: int) -> str:
        """PICTURE, MASK, ASIDE, NOTHING or SAME, for an output of a node; PICTURE where nobody knows the node."""
        types = _outputs(class_type)
        if types is None or slot >= len(types):
            return PICTURE
        if types[slot].startswith("FACE_ANON"):
            return NOTHING
        if types[slot] in _ANY:
            return SAME
        single = set(types[slot].split(","))
        if single <= _BESIDE:
            return ASIDE
        return MASK if single == {"MASK"} else PICTURE

    def gives_pictures(self, class_type: str) -> bool:
        """Whether a node has an output for pictures, videos or latents."""
        types = _outputs(class_type)
        return types is not None and any(kind in _SHOWN for kind in types)

    def may_paint(self, class_type: str) -> bool:
        """Whether a node may make pictures by a trained model, or gives one that does: so may those of other packs."""
        types = _outputs(class_type)
        if types is None or not _PAINTERS.isdisjoint(types):
            return True
        module = getattr(node_class(class_type), "RELATIVE_PYTHON_MODULE", None) or "nodes"
        return not module.startswith(_HOSTS_OWN)

    def find_files(self, name: str, folders: bool) -> list[Path]:
        """The files that a text names, in ComfyUI's folders or by a whole path; of a folder all, where these count."""
        if not name.strip() or len(name) > 1000 or "\n" in name or "\0" in name:
            return []
        bare, marked = folder_paths.annotated_filepath(name)
        roots = [marked] if marked else [
            folder_paths.get_input_directory(), folder_paths.get_output_directory(), folder_paths.get_temp_directory()
        ]  # fmt: skip
        try:
            for root in roots:
                path = Path(root, bare.strip())  # of a whole path the root is left out
                if path.is_file():
                    return [path]
                if folders and path.is_dir():
                    return [one for one in sorted(path.rglob("*"))[:_MOST_FILES] if one.is_file()]
        except OSError:
            pass
        return []


def content_of(name: str) -> str:
    """The digest of the file that a node of the graph names; the name itself where there is none."""
    try:
        return "".join(map(sha256_of, ComfyHost().find_files(name, folders=False))) or name
    except OSError:
        return name


def node_class(class_type: str) -> Any:
    """The class of a node, of ComfyUI or of any pack. Raises KeyError where the host has none of that name."""
    # ComfyUI's module has the name of a room of this pack, which whoever checks types would find
    return importlib.import_module("nodes").NODE_CLASS_MAPPINGS[class_type]


def _outputs(class_type: str) -> list[str] | None:
    """The types of a node's outputs; None where the host has no such node."""
    try:
        kinds = node_class(class_type).RETURN_TYPES
    except (AttributeError, KeyError):
        return None
    return [kind if isinstance(kind, str) else "COMBO" for kind in kinds]
