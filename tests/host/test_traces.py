"""What a run leaves behind on a server, and who is told of it: nothing of the originals, and nobody else."""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import folder_paths
import pytest
import torch
from PIL import Image

from face_anonymizer import nodes as pack
from face_anonymizer.modules.host.pages import COMMAND_PREFIX
from face_anonymizer.modules.runs.client import Client
from face_anonymizer.modules.runs.prompts import find_report, load_prompt, with_source
from face_anonymizer.nodes import reporting

ROOT = Path(__file__).resolve().parents[2]
NOTHING = "No face found: the pictures are unchanged"


class Told(SimpleNamespace):
    """As much of ComfyUI's server as nodes see of it."""

    def __init__(self, client_id, *connected: str):
        super().__init__(client_id=client_id, sockets=dict.fromkeys(connected), texts=[])

    def send_progress_text(self, text, node_id, sid=None):
        self.texts.append((text, node_id, sid))

    def send_sync(self, event, data, sid=None):
        assert event == reporting.WARNING and sid == self.client_id, "a warning is for the page that queued, too"


def called(node, **hidden):
    clone = node.PREPARE_CLASS_CLONE(None)
    clone.hidden = SimpleNamespace(unique_id="7", prompt={"1": "Jane Doe.jpg"}, extra_pnginfo=None, **hidden)
    return clone


@pytest.mark.parametrize(
    ("client", "connected", "is_page"),
    [
        ("page", ["page", "other"], True),
        ("page", ["other"], False),  # it was closed, or never was there
        (None, ["other"], False),
        (["page"], ["page"], False),
        (f"{COMMAND_PREFIX}1", [f"{COMMAND_PREFIX}1", "other"], False),
    ],
)
def test_a_preview_and_a_text_are_for_the_page_that_queued(monkeypatch, tmp_path, client, connected, is_page):
    server = Told(client, *connected)
    monkeypatch.setattr(reporting.PromptServer, "instance", server, raising=False)
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))
    images = torch.rand(2, 64, 64, 3)
    faces = pack.FaceAnonDetectFaces.execute(images)[0]
    for file in tmp_path.iterdir():
        file.unlink()
    server.texts.clear()
    for node, inputs in ((pack.FaceAnonDetectFaces, (images,)), (pack.FaceAnonTrackFaces, (images, faces))):
        shown = called(node).execute(*inputs).ui
        assert ("images" in shown) == is_page and shown["text"] == (NOTHING,)
    files = list(tmp_path.rglob("*.png"))
    assert len(files) == (4 if is_page else 0)
    assert all(not Image.open(file).info and b"Jane Doe" not in file.read_bytes() for file in files)
    assert server.texts == ([(NOTHING, "7", client)] * 2 if is_page else [])


@contextlib.contextmanager
def new_files(server) -> Iterator[list[Path]]:
    """The files that the block leaves in the server's temp folder."""
    folder, found = server.folder / "temp", []
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    yield found
    found += [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mtime_ns != before.get(path)]


def test_a_command_leaves_an_empty_file_and_no_preview(server):
    """With and without following its steps; the own server of a run, which deletes all, is another one."""
    photo = io.BytesIO()
    Image.open(ROOT / "assets" / "astronaut.jpg").crop((120, 10, 344, 234)).resize((112, 112)).save(photo, "PNG")
    for show in (None, lambda *_: None):
        client = Client(server.url)
        with new_files(server) as left:
            name = client.upload(photo, f"{'ab' * 15}{'0' if show is None else '1'}.png", "temp")
            prompt = with_source(load_prompt(ROOT / "workflows" / "api", "redact", "photo", {}), "photo", name)
            prompt_id = client.queue(prompt)
            history = client.wait(prompt_id, show)
            assert find_report(prompt, history)["actions"] == {"redacted": 1}
            client.forget(prompt_id)
        assert [(path.name, path.stat().st_size) for path in left] == [(name.removesuffix(" [temp]"), 0)]
    assert json.loads(client.request("/history")).get(prompt_id) is None
