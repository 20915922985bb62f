"""The shipped prompts, run one after the other in a server of the found ComfyUI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.runs.client import PromptFailed
from face_anonymizer.modules.runs.server import Server, ServerFailed
from face_anonymizer.tools.pictures.sample_clip import write_clip

STEPS = 2


def run_graphs(python: Path, version: str) -> tuple[str, str, list[str]]:
    """How many of the pack's nodes a server knows, how many of workflows/api run ("9 of 9"), and what fails.

    python: the server's. version: of ComfyUI, what the server has to say that it is.
    """
    prompts = {path.stem: json.loads(path.read_text()) for path in sorted((PACK / "workflows" / "api").glob("*.json"))}
    nodes = {page.stem for page in (PACK / "web" / "docs").glob("FaceAnon*.md")}  # a help page a node
    try:
        with Server(python=str(python), start_timeout=900) as server:
            told = server.get("/system_stats")["system"]["comfyui_version"]
            unknown = sorted(nodes - server.object_info().keys())
            # what the prompts name: the picture that every ComfyUI has, here one with a face, and a clip
            server.upload(PACK / "assets" / "astronaut.jpg", name="example.png")
            write_clip(server.folder / "input" / "example.mp4", range(20, 22))
            failed = {name: fault for name, prompt in prompts.items() if (fault := _run(server, prompt))}
    except (ServerFailed, OSError) as error:
        return "no", "not reached", [f"server: {error}"]
    faults = [f"{name} is not in /object_info" for name in unknown]
    faults += [f"{name}: {fault}" for name, fault in failed.items()]
    faults += [f"the server says that it is {told}"] if told != version else []
    loads, ran = len(nodes) - len(unknown), len(prompts) - len(failed)
    return f"{loads} of {len(nodes)} nodes", f"{ran} of {len(prompts)}", faults


def _run(server: Server, prompt: Mapping) -> str | None:
    """Why the prompt does not do its work; None when it does: each save node wrote a file, a found face is reported."""
    for node in prompt.values():
        if isinstance(node["inputs"].get("steps"), int):
            node["inputs"]["steps"] = STEPS
    try:
        outputs = server.run(prompt, timeout=900)["outputs"]
    except (PromptFailed, TimeoutError) as failed:
        return str(failed)
    for number, node in prompt.items():
        files = outputs.get(number, {}).get("images", [])
        paths = [server.folder / file["type"] / file["subfolder"] / file["filename"] for file in files]
        if "Save" in node["class_type"] and not (paths and all(path.stat().st_size for path in paths)):
            return f"{node['class_type']} saved nothing"
    reports = [output["face_anon_report"][0] for output in outputs.values() if "face_anon_report" in output]
    return "no face was reported" if reports and not any(report["faces"] for report in reports) else None
