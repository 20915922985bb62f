"""A verified run in a real server leaves nothing of people behind but its results: no descriptor, name or pixels."""

import asyncio
import contextlib
import io
import json
import threading
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import torch
from PIL import Image

from face_anonymizer.modules.faces.detect.detection import detect_faces, load_face_networks
from face_anonymizer.modules.faces.settings import DetectSettings
from face_anonymizer.modules.host.pages import COMMAND_PREFIX
from face_anonymizer.modules.recognition.reader import FaceReader

ROOT = Path(__file__).resolve().parents[2]
NAME, SAVED = "Karin_Unverwechselbar_4711", "nothing_stays"
CLIENT = f"{COMMAND_PREFIX}nothing-stays"  # behind which no page stands: a page would be shown the result
WINDOW = 16  # bytes
TELLING = 6  # different ones in a window, below which others have it too


class Traces:
    """What would tell of people in any bytes.

    Args:
        photo: bytes of its file.
        pictures: float [1, H, W, 3], 0..1: the original, and the result, of which pixels may stay in it alone.
    """

    def __init__(self, photo: bytes, *pictures: torch.Tensor):
        levels = (pictures[0][0].numpy() * 255).round().astype(np.uint8)
        kinds = (photo, levels.tobytes(), levels.transpose(2, 0, 1).tobytes(), pictures[0].numpy().tobytes())
        self._windows = {
            window
            for data in kinds
            for i in range(len(data) - WINDOW + 1)
            if len(set(window := data[i : i + WINDOW])) >= TELLING
        }
        faces = detect_faces(load_face_networks(), pictures[0], DetectSettings())
        reader = FaceReader()
        read = [one for picture in pictures for one in reader.read(picture, faces)]
        self.descriptors = [np.asarray(values, np.float32) for one in read for values in (one.dlib, one.faceres)]
        self._values = {f"{value:.6f}".encode() for values in self.descriptors for value in values if abs(value) > 0.01}
        pairs = (values[i : i + 2] for values in self.descriptors for i in range(len(values) - 1))
        self._raw = {pair.tobytes() for pair in pairs if pair.all()}

    def found_in(self, data: bytes) -> list[str]:
        pieces = (data[i : i + WINDOW] for i in range(len(data) - WINDOW + 1))
        return [
            *(["pixels or bytes of the photo"] if any(piece in self._windows for piece in pieces) else []),
            *(["a descriptor"] if any(value in data for value in (*self._values, *self._raw)) else []),
            *(["its name"] if any(word.encode() in data for word in NAME.split("_")) else []),
        ]


@contextlib.contextmanager
def heard(url: str):
    """All that the server tells a stranger, and the client itself, while a block runs."""
    messages, stop, threads = [], threading.Event(), []

    def listen(client: str, ready: threading.Event) -> None:
        async def follow():
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws?clientId={client}") as socket:
                ready.set()
                while not stop.is_set():
                    with contextlib.suppress(asyncio.TimeoutError):
                        data = (await socket.receive(0.2)).data
                        messages.append(data.encode() if isinstance(data, str) else bytes(data or b""))

        asyncio.run(follow())

    for client in ("a stranger", CLIENT):
        ready = threading.Event()
        threads.append(threading.Thread(target=listen, args=(client, ready)))
        threads[-1].start()
        assert ready.wait(20)
    try:
        yield messages
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255


@pytest.fixture
def prompt():
    graph = json.loads((ROOT / "workflows" / "api" / "anonymize_and_verify.json").read_text())
    settings = {
        "LoadImage": {"image": f"{NAME}.png"},
        "FaceAnonLoadModel": {"model": "demo"},
        "FaceAnonAnonymizeCrops": {"verify": "on", "steps": 4, "attempts": 2},
        "FaceAnonPasteFaces": {"verify": "on"},
        "FaceAnonSaveImage": {"report_page": True, "filename_prefix": SAVED},
    }
    for node in graph.values():
        node["inputs"] |= settings.get(node["class_type"], {})
    return graph


def test_only_the_results_tell_of_a_verified_run(server, prompt, monkeypatch):
    photo, file = Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB").crop((120, 10, 344, 234)), io.BytesIO()
    photo.save(file, "PNG")
    (server.folder / "input" / f"{NAME}.png").write_bytes(file.getvalue())
    files = {path for name in ("output", "temp", "user") for path in (server.folder / name).rglob("*")}
    log = server.log.stat().st_size
    monkeypatch.setattr(server, "client_id", CLIENT)
    with heard(server.url) as messages:
        history = server.run(prompt, timeout=300)
    new = {path for name in ("output", "temp", "user") for path in (server.folder / name).rglob("*")} - files
    (result,) = (path for path in new if path.suffix == ".png")
    traces = Traces(file.getvalue(), to_tensor(photo), to_tensor(Image.open(result)))
    told = {path.name: path.read_bytes() for path in new if path.is_file() and path != result}
    assert {Path(name).suffix for name in told} == {".json", ".html"}
    told |= {"history": json.dumps(history["outputs"]).encode(), "log": server.log.read_bytes()[log:]}
    told |= {"database": (server.folder / "comfyui.db").read_bytes(), "messages": b"\n".join(messages)}
    assert len(messages) > 20 and b"recognisers say" in told["messages"] and b"stranger" in told["history"]
    assert {name: found for name, data in told.items() if (found := traces.found_in(data))} == {}
    for leak in (
        np.asarray(photo)[100, 100:110].tobytes(),
        json.dumps([round(float(value), 8) for value in traces.descriptors[0]]).encode(),
        traces.descriptors[1].tobytes(),
        f"{NAME}.png".encode(),
    ):
        assert len(traces.found_in(b"before" + leak + b"after")) == 1, "each would be seen"
