"""The report as a page beside saved files: what the node that saves knows of the graph and the model."""

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import comfyui_version
import folder_paths
from comfy_api.latest import io

from ..modules.faces.notes import Doubt
from ..modules.faces.outcomes import ANONYMIZED, BROKEN, KEPT_BY_USER, SWAPPED
from ..modules.faces.report import Report
from ..modules.files import sha256_of, sha256_of_folder
from ..modules.host.location import pack_version
from ..modules.host.origins import ComfyHost
from ..modules.host.pages import ASKS_MAKERS
from ..modules.model.checkpoint import find_model_folders, read_settings
from ..modules.output import generated
from ..modules.proof.graph import read_graph
from ..modules.proof.proof import MadeWith, Proof
from ..modules.proof.report import results_of_report
from .graph import graph_of
from .types import MODEL_FOLDER

_DIGESTED = (".safetensors", ".json")  # as the journal of a folder run has it


def page_input() -> io.Input:
    """The last input of the nodes that save a report."""
    return io.Boolean.Input(
        "report_page",
        default=False,
        optional=True,
        tooltip="Saves the report as a page (.html) too, for readers: every face with figures and thresholds, the "
        "settings of the graph, and the SHA-256 of the model and of the saved files. No pictures, no names. The JSON "
        "then has the settings and digests, too.",
    )


def may_be_generated(node: type[io.ComfyNode], picture: str) -> bool:
    """Whether a trained model may have made a part of what a node saves; True where the graph is not known.

    Args:
        node: that saves, with the hidden inputs ASKED.
        picture: name of its input for the pictures.
    """
    return generated.may_be_generated(*graph_of(node), picture, ComfyHost())


def told_makers(node: type[io.ComfyNode], picture: str) -> dict:
    """What /history says of a result to a command that asked: which ComfyUI, pack and model made it. Else nothing.

    Args:
        node: that saves, with the hidden inputs prompt, unique_id and extra_pnginfo.
        picture: name of the node's input for the pictures.
    """
    hidden = node.hidden
    if hidden is None or not isinstance(hidden.extra_pnginfo, dict) or not hidden.extra_pnginfo.get(ASKS_MAKERS):
        return {}
    models = read_graph(*graph_of(node), picture).models or ()
    folders = find_model_folders(folder_paths.get_folder_paths(MODEL_FOLDER)) if models else {}
    digests = sorted({_digest(folders[name]) for name in models if name in folders})
    told = {"comfyui": comfyui_version.__version__, "pack": pack_version(), "model_sha256": " ".join(digests)}
    return {"face_anon_makers": (told,)}


def prove(node: type[io.ComfyNode], report: Report, saved: Sequence[Path], picture: str = "") -> Proof:
    """The proof of a report.

    Args:
        node: that saves; what its prompt does not say is not known.
        report: of the pictures.
        saved: the files of the pictures, in their order; none where the node saves no pictures.
        picture: name of the node's input for the pictures; "" where it has none.
    """
    graph = read_graph(*graph_of(node), picture)
    painted = any(entry.action in (ANONYMIZED, SWAPPED, BROKEN, KEPT_BY_USER) for entry in report.entries)
    models = graph.models if painted else ()
    folders = find_model_folders(folder_paths.get_folder_paths(MODEL_FOLDER)) if models else {}
    remarks = [*graph.remarks]
    for name in models or ():
        if name in folders and (notice := read_settings(folders[name]).notice):
            remarks.append(f"{name}: {notice}")
    today = datetime.now(timezone.utc).date().isoformat()
    made = MadeWith(
        dates=(today, today),
        version=pack_version(),
        model=models,
        model_sha256=tuple(_digest(folders[name]) if name in folders else None for name in models or ()),
        settings=graph.settings,
        remarks=tuple(remarks),
    )
    doubts = [remark for remark in graph.remarks if isinstance(remark, Doubt)]
    return Proof(results_of_report(report.to_dict(), tuple(map(sha256_of, saved)), doubts), made)


def _digest(folder: Path) -> str:
    """The SHA-256 of a model's folder, read once as long as no file of it changes."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in _DIGESTED]
    return _digest_of(folder, tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=8)
def _digest_of(folder: Path, state: tuple) -> str:
    return sha256_of_folder(folder, _DIGESTED)
