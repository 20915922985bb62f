"""A ComfyUI that paints every picture black, for runs over folders that are attacked: no server, no model, no time."""

from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path
from unittest import mock

from PIL import Image

from face_anonymizer.modules.runs import anonymize_folder as runs
from face_anonymizer.modules.runs.client import PromptFailed
from face_anonymizer.modules.runs.folder_options import FolderOptions
from face_anonymizer.modules.runs.jobs import PlanRefused
from face_anonymizer.modules.runs.journal import JournalRefused

FACE = {"box": [1.0, 2.0, 30.0, 40.0], "size": 30.0, "score": 0.9, "action": "redacted", "seed": None, "reason": ""}
REPORT = {"images": 1, "width": 48, "height": 48, "actions": {"redacted": 1}, "faces": [FACE]}
REFUSALS = (JournalRefused, PlanRefused, runs.OutputUnwritable)


class StandIn:
    """A ComfyUI whose results are black."""

    def __init__(self, url: str = "http://stand-in"):
        self.url, self.stop = url, threading.Event()

    def get(self, path: str):
        return {}

    def upload(self, source, name: str, kind: str, digest=None) -> str:
        if digest is not None:
            digest.update(source.read_bytes())
        return f"{name} [temp]"

    def queue(self, prompt: dict) -> str:
        self.prompt = prompt
        return "1"

    def wait(self, prompt_id: str, on_progress) -> dict:
        outputs = {}
        for number, node in self.prompt.items():
            if node["class_type"] == "LoadVideo":
                raise PromptFailed("FaceAnonTrackVideo failed: this stand-in sees no videos.")
            if node["class_type"] == "FaceAnonRedactFaces":
                outputs[number] = {"face_anon_report": [REPORT]}
            if node["class_type"] == "FaceAnonSaveImage":
                outputs[number] = {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}
        return {"outputs": outputs}

    def download(self, file: dict, target: Path) -> None:
        black = io.BytesIO()
        Image.new("RGB", (48, 48)).save(black, "PNG")
        target.write_bytes(black.getvalue())

    def forget(self, prompt_id: str | None) -> None:
        pass


def run(photos: Path, output: Path) -> dict | None:
    """Redact a folder with the stand-in; the report as it is shown. Raises what a run raises."""
    made: list = []
    options = FolderOptions(paths=[photos], output=output, redact=True, servers=["http://stand-in"])
    with mock.patch.object(runs, "use_servers", _stand_in), mock.patch.object(runs, "check_server", lambda *_: None):
        runs.anonymize_folder(options, made.append, lambda text: None)
    return made[0] if made else None


def _stand_in(urls, say):
    return contextlib.nullcontext([StandIn()])
