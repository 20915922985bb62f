"""get_models.py against a hub on this machine that lies, drips, redirects and never ends.

    python scripts/with_env.py tools/run.py attacks.hostile_hub [--count N] [--seed N]

A leak is a wrong file in place, a file outside of the models folder, or the token at another host. A failure is a
traceback, a message without a next step, or a run that does not end. Waiting is cut short (LIMITS), so that a case
takes a second where a user waits for a quarter of a minute.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from safetensors.numpy import save

from face_anonymizer.modules.downloads import catalogue, transport
from face_anonymizer.scripts import get_models
from face_anonymizer.tools.attacks.tally import Tally, choose, parse_arguments

LIMITS = transport.Limits(answer=0.8, silence=0.5, window=0.4, speed=20_000, document=0.8, document_bytes=1 << 17)
ENDS_WITHIN = 10.0  # seconds, for a case
TOKEN = "hf_SECRET"

WEIGHTS = save({f"l.{i}": np.full((64, 64), i, dtype=np.float32) for i in range(4)})
FILES = {"config.json": b'{"sample_size": 8}', "diffusion_pytorch_model.safetensors": WEIGHTS}
COMMIT = catalogue.REVISIONS[catalogue.VAE]

Info = Callable[[dict], object]
Send = Callable[["Handler", bytes], None]


# What the hub says of its files ----------------------------------------------------------------------------------


def published() -> dict:
    siblings = []
    for name, content in FILES.items():
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"rfilename": name, "blobId": blob, "size": len(content)}
        if name.endswith(".safetensors"):
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 1}
        siblings.append(entry)
    return {"id": catalogue.VAE, "sha": COMMIT, "siblings": siblings}


def of_weights(**lfs) -> Info:
    def change(info: dict) -> dict:
        info["siblings"][1]["lfs"] |= lfs
        return info

    return change


def of_config(**values) -> Info:
    def change(info: dict) -> dict:
        info["siblings"][0] |= values
        return info

    return change


def whole(value) -> Info:
    return lambda info: value


def more_files(info: dict) -> dict:
    names = ("../../../evil.json", "/tmp/evil.json", "unet/../../x.json")
    info["siblings"] += [{"rfilename": name, "blobId": "a" * 40, "size": 3} for name in names]
    info["siblings"] += [5, None, {"rfilename": ["x"]}, {}]
    return info


OUTSIDE = "../../../../../../../../../../../../tmp/face_anonymizer_attack"
INFO: dict[str, Info] = {
    "sha256 leads out": of_weights(sha256=OUTSIDE),
    "sha256 absolute": of_weights(sha256="/tmp/face_anonymizer_attack"),
    "sha256 empty": of_weights(sha256=""),
    "sha256 with a line's end": of_weights(sha256="a" * 64 + "\n"),
    "sha256 in capitals": of_weights(sha256="A" * 64),
    "sha256 a list": of_weights(sha256=["a" * 64]),
    "sha256 of 40 digits": of_weights(sha256="a" * 40),
    "blob id leads out": of_config(blobId=OUTSIDE),
    "blob id null": of_config(blobId=None),
    "size of an exabyte": of_weights(size=10**18),
    "size of 10^400": of_weights(size=10**400),
    "size negative": of_weights(size=-5),
    "size zero": of_weights(size=0),
    "size a text": of_weights(size="abc"),
    "size true": of_config(size=True),
    "size a fraction": of_weights(size=1.5),
    "lfs a list": lambda info: of_config(lfs=[1])(info),
    "another commit": lambda info: info | {"sha": "f" * 40},
    "commit leads out": lambda info: info | {"sha": "../../x"},
    "commit null": lambda info: info | {"sha": None},
    "files without names": more_files,
    "siblings an object": lambda info: info | {"siblings": {"a": 1}},
    "siblings null": lambda info: info | {"siblings": None},
    "no files": lambda info: info | {"siblings": []},
    "an answer of a list": whole([1, 2]),
    "an answer of a number": whole(5),
    "an answer of null": whole(None),
}


# How it sends ----------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as its server's `info` and `send` say."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_) -> None:
        pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self, length: int | str) -> None:
        self.send_response(200)
        name, value = ("Content-Length", str(length)) if length != "chunked" else ("Transfer-Encoding", "chunked")
        self.send_header(name, value)
        self.end_headers()

    def drip(self, data: bytes, seconds: float = 0.02) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(seconds)

    def do_GET(self) -> None:
        self.server.tokens.append((self.server.is_hub, self.headers.get("Authorization")))
        with contextlib.suppress(OSError):
            path = self.path.partition("?")[0]
            if not self.server.is_hub:
                return self.answer(200, WEIGHTS)
            if self.server.answer is not None:
                return self.server.answer(self, b"")
            if path.startswith("/api/"):
                body = json.dumps(self.server.info(published())).encode()
                return self.answer(200, body, Content_Type="application/json")
            name = path.rpartition("/")[2]
            if name in FILES and not (name.endswith(".safetensors") and self.server.send is not None):
                return self.answer(200, FILES[name])
            if name in FILES and self.server.send is not None:
                return self.server.send(self, FILES[name])
            return self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        return None


class Hub(http.server.ThreadingHTTPServer):
    """A hub, or another host that it redirects to."""

    daemon_threads = True

    def __init__(self, is_hub: bool):
        super().__init__(("127.0.0.1", 0), Handler)
        self.is_hub = is_hub
        self.tokens: list[tuple[bool, str | None]] = []
        self.info: Info = lambda info: info
        self.send: Send | None = None
        self.answer: Send | None = None
        self.other = ""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def silent(handler: Handler, data: bytes) -> None:
    handler.begin(len(data) or 5000)
    handler.wfile.write(data[:100])
    handler.wfile.flush()
    time.sleep(3)
    handler.close_connection = True


def dripping(handler: Handler, data: bytes) -> None:
    handler.begin(len(data) or 5000)
    handler.drip(data or b" " * 5000)


def dripping_headers(handler: Handler, data: bytes) -> None:
    handler.drip(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000)


def endless(handler: Handler, data: bytes) -> None:
    handler.begin("chunked")
    for _ in range(400):
        handler.wfile.write(b"10000\r\n" + b"\0" * 65536 + b"\r\n")
    handler.close_connection = True


def cut(handler: Handler, data: bytes) -> None:
    handler.begin(len(data))
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True


def spoiled(handler: Handler, data: bytes) -> None:
    handler.answer(200, bytes([data[0] ^ 1]) + data[1:])


def to(target: str) -> Send:
    def redirect(handler: Handler, data: bytes) -> None:
        handler.answer(302, b"", Location=target.format(hub=handler.path, other=handler.server.other))

    return redirect


SEND: dict[str, Send] = {
    "silence": silent,
    "drip": dripping,
    "headers that drip": dripping_headers,
    "endless": endless,
    "cut off": cut,
    "one bit wrong": spoiled,
    "longer": lambda handler, data: handler.answer(200, data + b"x" * 100_000),
    "shorter": lambda handler, data: handler.answer(200, data[:100]),
    "compressed": lambda handler, data: handler.answer(200, gzip.compress(data), Content_Encoding="gzip"),
    "other bytes than asked for": lambda handler, data: handler.answer(206, data, Content_Range="bytes 7-9/10"),
    "a page": lambda handler, data: handler.answer(200, b"<html>quota</html>"),
    "404": lambda handler, data: handler.answer(404, b""),
    "429": lambda handler, data: handler.answer(429, b"", Retry_After="1"),
    "500": lambda handler, data: handler.answer(500, b""),
    "redirect to itself": to("{hub}"),
    "redirect to a file": to("file:///etc/passwd"),
    "redirect to ftp": to("ftp://127.0.0.1/x"),
    "redirect to data": to("data:text/plain,x"),
    "redirect to another host": to("{other}/x"),
}
ANSWER: dict[str, Send] = {
    "api: silence": silent,
    "api: drip": dripping,
    "api: headers that drip": dripping_headers,
    "api: endless": endless,
    "api: deep JSON": lambda handler, data: handler.answer(200, b"[" * 100_000),
    "api: a login page": lambda handler, data: handler.answer(200, b"<html>log in</html>"),
    "api: no text": lambda handler, data: handler.answer(200, b"\xff\xfe\0"),
    "api: 500": lambda handler, data: handler.answer(500, b"oops"),
    "api: 503": lambda handler, data: handler.answer(503, b"<html>down</html>"),
    "api: redirect to itself": to("{hub}"),
    "api: redirect to a file": to("file:///etc/passwd"),
    "api: no HTTP": lambda handler, data: handler.wfile.write(b"\0\1\2 hello\r\n\r\n") and None,
}
GOOD = ("redirect to another host", "files without names")  # what is to end well
CASES: dict[str, tuple[str, Callable]] = {
    **{name: ("info", change) for name, change in INFO.items()},
    **{name: ("send", send) for name, send in SEND.items()},
    **{name: ("answer", send) for name, send in ANSWER.items()},
}


# The attack ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def against(hub: Hub) -> Iterator[None]:
    environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(transport, "LIMITS", LIMITS),
        mock.patch.dict(catalogue.PUBLISHED_SHA256, clear=True),
    ):
        yield


def get(folder: Path) -> tuple[int | None, str]:
    """Run get_models.py on a folder; its exit status, None where it does not end, and what it said."""
    said, status = io.StringIO(), []

    def run() -> None:
        try:
            status.append(get_models.main(["--models-dir", str(folder), "--only", "vae", "--yes"]))
        except BaseException:
            said.write(traceback.format_exc())
            status.append(-1)

    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(ENDS_WITHIN)
    return (status or [None])[0], said.getvalue()


def try_case(name: str, plant: bool = False) -> tuple[str, str]:
    """Try one case; what leaked and what failed, "" for nothing.

    Args:
        name: of CASES.
        plant: put a wrong file in place, as a download that checks nothing would.
    """
    kind, change = CASES[name]
    hub, other = Hub(True), Hub(False)
    hub.other = other.url
    setattr(hub, kind, change)
    try:
        with tempfile.TemporaryDirectory() as temporary, against(hub):
            models = Path(temporary) / "deep" / "models"
            models.mkdir(parents=True)
            status, said = get(models)
            if plant:
                place = models / "face_anon" / "face-anon-simple" / "vae" / "diffusion_pytorch_model.safetensors"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(b"anything")
            return find_leak(Path(temporary), models, other), find_failure(name, status, said)
    finally:
        for server in (hub, other):
            server.shutdown()
            server.server_close()


def find_leak(root: Path, models: Path, other: Hub) -> str:
    """A wrong file in place, a file outside, or the token at another host."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_relative_to(models):
            return f"a file outside of the models folder, {path}"
        if path.suffix == ".safetensors" and path.read_bytes() != WEIGHTS:
            return f"a wrong file in place, {path.name}"
    for place in Path("/tmp").glob("face_anonymizer_attack*.partial"):
        place.unlink()
        return "a file outside of the models folder, in /tmp"
    if any(token for _, token in other.tokens):
        return "the token at another host"
    return ""


def find_failure(name: str, status: int | None, said: str) -> str:
    """A run that does not end, crashes, or says nothing that helps."""
    if status is None:
        return f"did not end in {ENDS_WITHIN:g} s"
    if "Traceback" in said:
        return f"a traceback: {said.strip().splitlines()[-1]}"
    if name in GOOD:
        return "" if status == 0 else f"refused: {said.strip()[:200]}"
    if status not in (1, 3) or not re.search(r"Run the same|Try again|try without|Check |Free some|put copies", said):
        return f"status {status}, said: {said.strip()[:200]}"
    return ""


def main() -> int:
    options = parse_arguments(__doc__, len(CASES))
    tally = Tally("hostile hub")
    for name in choose(CASES, options.count, options.seed):
        tally.count(name, *try_case(name, options.plant))
    return tally.close()
