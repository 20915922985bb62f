"""The ComfyUI that the pack lives in: where it is, how to start it headless, how to talk to it.

Only the standard library at import: `with_env.py` needs `find_comfyui` before anything is installed. aiohttp (the
websocket) and Pillow, both of which ComfyUI brings, are imported where they are used.
"""

import asyncio
import contextlib
import json
import mimetypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

PACK = Path(__file__).resolve().parents[1]
PACK_NAME = "ComfyUI-FaceAnonymizer"
NODE_PREFIX = "FaceAnon"

_INSTALL_HINT = """\
No ComfyUI found. It is looked for in the folder that COMFYUI_PATH names, around this pack when the pack lies in
ComfyUI's custom_nodes, and in {places}. To install it:

    pip install comfy-cli
    comfy install

or set COMFYUI_PATH to the folder of an existing one (the folder with main.py)."""


class HostMissing(SystemExit):
    """No usable ComfyUI; the message says how to get one. Uncaught, it prints the message and ends with status 1."""


class ServerFailed(RuntimeError):
    """ComfyUI did not start, died, or did not load the pack; the message ends with its log."""


class PromptFailed(RuntimeError):
    """A prompt was refused, failed or was interrupted. `node_id` and `node_type` are None where no node is to blame."""

    def __init__(self, message: str, node_id: str | None = None, node_type: str | None = None):
        super().__init__(message)
        self.node_id = node_id
        self.node_type = node_type


def _is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def _default_places() -> list[Path]:
    """Where `comfy install` puts ComfyUI: ~/comfy on Linux, ~/Documents/comfy on Windows and macOS."""
    home = Path.home()
    return [home / "comfy" / "ComfyUI", home / "Documents" / "comfy" / "ComfyUI"]


def find_comfyui() -> Path:
    """The folder of ComfyUI: COMFYUI_PATH, the one around the pack, comfy-cli's default; else HostMissing."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        folder = Path(named).expanduser().absolute()
        if not _is_comfyui(folder):
            raise HostMissing(f"COMFYUI_PATH is {named}, but that folder is no ComfyUI: it has no main.py and comfy/.")
        return folder
    # Unresolved first: a pack linked into custom_nodes belongs to the ComfyUI that it is linked into.
    for script in (Path(__file__).absolute(), Path(__file__).resolve()):
        custom_nodes = script.parents[2]
        if custom_nodes.name == "custom_nodes" and _is_comfyui(custom_nodes.parent):
            return custom_nodes.parent
    for folder in _default_places():
        if _is_comfyui(folder):
            return folder
    raise HostMissing(_INSTALL_HINT.format(places=" or ".join(str(place) for place in _default_places())))


def has_accelerator(python: str = sys.executable) -> bool:
    """Whether torch, as `python` has it, sees a CUDA/ROCm, Apple or Intel device. Without one ComfyUI needs --cpu."""
    code = (
        "import torch; xpu = getattr(torch, 'xpu', None); "
        "print(torch.cuda.is_available() or torch.backends.mps.is_available() or bool(xpu and xpu.is_available()))"
    )
    # In a process of its own, so that the caller neither waits for torch to load nor opens the device.
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        raise ServerFailed(f"{python} cannot import torch, so it cannot run ComfyUI:\n{done.stderr.strip()}")
    return done.stdout.split()[-1] == "True"


class Client:
    """A running ComfyUI at `url`, for example http://127.0.0.1:8188."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self.client_id = uuid.uuid4().hex
        # A proxy for the internet is of no use, and often no way, to a server on this machine or network.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, path: str, data: bytes | None = None, content_type: str = "application/json") -> bytes:
        """GET, or POST when `data` is given; the body of the answer. urllib.error.HTTPError on a refusal."""
        headers = {} if data is None else {"Content-Type": content_type}
        with self._opener.open(urllib.request.Request(self.url + path, data, headers), timeout=120) as answer:
            return answer.read()

    def get(self, path: str):
        """The JSON that a path answers with."""
        return json.loads(self.request(path))

    def post(self, path: str, payload) -> bytes:
        """Send JSON, return the body of the answer."""
        return self.request(path, json.dumps(payload).encode())

    def object_info(self) -> dict:
        """Node id -> its inputs and outputs, for every node that the server knows."""
        return self.get("/object_info")

    def upload(self, path: Path | str, name: str | None = None) -> str:
        """Put an image file into the server's input folder, replacing one of that name; what LoadImage calls it."""
        path = Path(path)
        name = name or path.name
        boundary = uuid.uuid4().hex
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()
        body += path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = json.loads(self.request("/upload/image", body, f"multipart/form-data; boundary={boundary}"))
        return f"{answer['subfolder']}/{answer['name']}" if answer.get("subfolder") else answer["name"]

    def queue(self, prompt: Mapping) -> str:
        """Queue a prompt in API format; its id. PromptFailed with every complaint when any part of it is invalid."""
        try:
            answer = json.loads(self.post("/prompt", {"prompt": prompt, "client_id": self.client_id}))
        except urllib.error.HTTPError as error:
            body = error.read().decode(errors="replace")
            try:
                answer = json.loads(body)
            except ValueError:
                raise PromptFailed(f"ComfyUI refused the prompt ({error.code}): {body}") from None
        if answer.get("error") or answer.get("node_errors"):
            # ComfyUI runs what it can of a prompt and is silent about the invalid rest: here that is a failure.
            if "prompt_id" in answer:
                self.cancel(answer["prompt_id"])
            raise refusal(answer)
        return answer["prompt_id"]

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt off the queue, or interrupt it when it is running. Others go on."""
        self.post("/queue", {"delete": [prompt_id]})
        self.post("/interrupt", {"prompt_id": prompt_id})

    def wait(
        self,
        prompt_id: str,
        on_progress: Callable[[str, int, int], None] | None = None,
        timeout: float | None = None,
    ) -> dict:
        """Wait for a prompt; its history entry. PromptFailed when it failed, TimeoutError after `timeout` seconds.

        on_progress(node_id, value, maximum) is called in this thread as nodes report their steps, for prompts that
        this client queued. Whatever ends the wait early (Ctrl-C, the timeout) cancels the prompt on the server too.
        """
        with self._messages() if on_progress else contextlib.nullcontext() as messages:
            return self._follow(prompt_id, messages, on_progress, timeout)

    def run(
        self,
        prompt: Mapping,
        on_progress: Callable[[str, int, int], None] | None = None,
        timeout: float | None = None,
    ) -> dict:
        """Queue a prompt and wait for it, as `queue` and `wait` do, without missing its first steps."""
        with self._messages() if on_progress else contextlib.nullcontext() as messages:
            return self._follow(self.queue(prompt), messages, on_progress, timeout)

    def images(self, history: Mapping) -> list:
        """The images of a history entry, saved ones and previews, as [(node_id, PIL.Image)] in the server's order."""
        import io

        from PIL import Image

        found = []
        for node_id, output in history["outputs"].items():
            for image in output.get("images", ()):
                query = urllib.parse.urlencode({key: image[key] for key in ("filename", "subfolder", "type")})
                found.append((node_id, Image.open(io.BytesIO(self.request(f"/view?{query}")))))
        return found

    def _follow(
        self,
        prompt_id: str,
        messages: SimpleQueue | None,
        on_progress: Callable[[str, int, int], None] | None,
        timeout: float | None,
    ) -> dict:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while (entry := self._history(prompt_id)) is None:
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"The prompt was not done after {timeout:g} s.")
                if messages is None:
                    time.sleep(0.2)
                else:
                    _report(messages, prompt_id, on_progress)
            if messages is not None:
                _report(messages, prompt_id, on_progress)
        except BaseException:
            with contextlib.suppress(OSError):
                self.cancel(prompt_id)
            raise
        _raise_failure(entry)
        return entry

    def _history(self, prompt_id: str) -> dict | None:
        """The history entry of a prompt that is done."""
        try:
            return self.get(f"/history/{prompt_id}").get(prompt_id)
        except OSError:
            time.sleep(1)  # a process that is going down closes its socket first
            self._check_alive()
            raise

    def _check_alive(self) -> None:
        """Hook for `Server`: raise when there is nothing left to wait for."""

    @contextlib.contextmanager
    def _messages(self) -> Iterator[SimpleQueue]:
        """The server's websocket messages for this client, read by a thread: callers may have a loop of their own."""
        import aiohttp

        messages: SimpleQueue = SimpleQueue()
        loop = asyncio.new_event_loop()
        connected = threading.Event()

        async def listen():
            url = f"{self.url}/ws?clientId={self.client_id}"
            # Unlimited size: previews of samplers come by the same socket.
            async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as websocket:
                connected.set()
                async for message in websocket:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        messages.put(json.loads(message.data))

        def read():
            # Progress is a convenience; whether the prompt is done is asked of /history.
            with contextlib.suppress(aiohttp.ClientError, asyncio.CancelledError, OSError):
                loop.run_until_complete(task)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

        task = loop.create_task(listen())
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        connected.wait(timeout=5)
        try:
            yield messages
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed already when the server hung up
                loop.call_soon_threadsafe(task.cancel)
            thread.join(timeout=5)


def _report(messages: SimpleQueue, prompt_id: str, on_progress: Callable, seconds: float = 0.2) -> None:
    """Hand on the steps that come within `seconds`."""
    until = time.monotonic() + seconds
    while True:
        try:
            message = messages.get(timeout=max(until - time.monotonic(), 0.0))
        except Empty:
            return
        data = message.get("data", {})
        if message["type"] == "progress" and data.get("prompt_id") == prompt_id:
            on_progress(data["node"], data["value"], data["max"])


def refusal(answer: Mapping) -> PromptFailed:
    """The complaints of POST /prompt, a line each, with the first node to blame."""
    error = answer.get("error") or {}
    if isinstance(error, str):
        error = {"message": error}
    head = ": ".join(text for text in (error.get("message"), error.get("details")) if text)
    nodes = answer.get("node_errors") or {}
    lines = [head or "Parts of the prompt are invalid."]
    for node_id, blame in nodes.items():
        for complaint in blame["errors"]:
            details = f": {complaint['details']}" if complaint.get("details") else ""
            lines.append(f"  {blame['class_type']} (node {node_id}): {complaint['message']}{details}")
    first = next(iter(nodes), None)
    return PromptFailed("\n".join(lines), first, nodes[first]["class_type"] if first else None)


def _raise_failure(entry: Mapping) -> None:
    status = entry.get("status") or {}
    if status.get("status_str") != "error":
        return
    for kind, data in status.get("messages", ()):
        where = f"{data.get('node_type')} (node {data.get('node_id')})"
        if kind == "execution_error":
            text = f"{where} failed: {data['exception_type']}: {data['exception_message'].strip()}"
            raise PromptFailed(text, data["node_id"], data["node_type"])
        if kind == "execution_interrupted":
            raise PromptFailed(f"Interrupted in {where}.", data.get("node_id"), data.get("node_type"))
    raise PromptFailed("The prompt failed; the server's log says why.")


class Server(Client):
    """The ComfyUI of `find_comfyui`, run headless for the length of a `with` block, with this pack and no other.

    models: kinds of models to folders to add, for example {"face_anon": folder, "vae": folder}.
    cpu: None for the CPU where there is no other device. python: an interpreter with ComfyUI's requirements.
    require_pack: raise unless the pack's nodes are registered. arguments: more of main.py's.

    Input, output, temp and user folders and the database are temporary (`folder`), so that nothing of the user's is
    written; models come from where the user's ComfyUI has them. `log` is its log file, deleted with the folder.
    """

    def __init__(
        self,
        models: Mapping[str, Path | str] | None = None,
        *,
        cpu: bool | None = None,
        require_pack: bool = True,
        python: str = sys.executable,
        arguments: Sequence[str] = (),
        start_timeout: float = 300,
    ):
        self.host = find_comfyui()
        self.port = _free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self._models = dict(models or {})
        self._cpu = cpu
        self._require_pack = require_pack
        self._python = python
        self._arguments = list(arguments)
        self._start_timeout = start_timeout
        self._process: subprocess.Popen | None = None
        self._link: Path | None = None

    def __enter__(self) -> "Server":
        cpu = not has_accelerator(self._python) if self._cpu is None else self._cpu
        self.folder = Path(tempfile.mkdtemp(prefix="face_anonymizer_"))
        self.log = self.folder / "comfyui.log"
        try:
            command = self._command(cpu)
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    cwd=self.host,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                    # Its own group: Ctrl-C reaches it as a cancelled prompt, and its children end with it.
                    start_new_session=True,
                )
            self._wait_until_up()
            if self._require_pack:
                self._check_pack()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if self._process is not None:
            _end(self._process)
        if self._link is not None:
            # Before the tree: what the link points at is the pack itself.
            _unlink(self._link)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tail(self, lines: int = 40) -> str:
        """The end of the server's log."""
        return "\n".join(self._read_log().splitlines()[-lines:])

    def _read_log(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(encoding="utf-8", errors="replace"))  # no colours

    def _command(self, cpu: bool) -> list[str]:
        for name in ("input", "output", "temp", "user"):
            (self.folder / name).mkdir()
        name, config = self._place_pack()
        paths = self.folder / "paths.json"
        paths.write_text(json.dumps({"face_anonymizer": config}), encoding="utf-8")  # JSON is YAML too
        return [
            *(self._python, "main.py", "--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"),
            *(["--cpu"] if cpu else []),
            *("--disable-all-custom-nodes", "--whitelist-custom-nodes", name),
            # Nodes of paid services: slow to load and a reason for the page to call out.
            "--disable-api-nodes",
            *("--input-directory", str(self.folder / "input"), "--output-directory", str(self.folder / "output")),
            *("--temp-directory", str(self.folder / "temp"), "--user-directory", str(self.folder / "user")),
            *("--database-url", f"sqlite:///{(self.folder / 'comfyui.db').as_posix()}"),
            *("--extra-model-paths-config", str(paths)),
            *self._arguments,
        ]

    def _place_pack(self) -> tuple[str, dict[str, str]]:
        """The name to whitelist, and the extra paths: given model folders and, if need be, one with the pack alone.

        ComfyUI whitelists by folder name wherever the folder is found, and lists templates and translations of
        every neighbour, whitelisted or not. So a pack outside of custom_nodes is linked into an empty folder
        under a name that no folder in ComfyUI's custom_nodes has.
        """
        config = {kind: str(Path(folder).absolute()) for kind, folder in self._models.items()}
        custom_nodes = self.host / "custom_nodes"
        taken = {entry.name: entry.resolve() for entry in custom_nodes.iterdir()} if custom_nodes.is_dir() else {}
        for name, folder in taken.items():
            if folder == PACK:
                return name, config
        name = PACK_NAME
        while name in taken:
            name += "-checkout"
        self._link = self.folder / "custom_nodes" / name
        self._link.parent.mkdir()
        _make_link(self._link, PACK)
        return name, {"custom_nodes": str(self._link.parent), **config}

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + self._start_timeout
        while True:
            self._check_alive()
            with contextlib.suppress(OSError):
                self.get("/system_stats")
                return
            if time.monotonic() > deadline:
                raise ServerFailed(f"ComfyUI did not answer within {self._start_timeout:g} s:\n{self.tail()}")
            time.sleep(0.2)

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise ServerFailed(f"ComfyUI ended with status {self._process.returncode}:\n{self.tail()}")

    def _check_pack(self) -> None:
        log = self._read_log()
        found = any(name.startswith(NODE_PREFIX) for name in self.object_info())
        # A fault in one node loses that node and those after it, so that some ids alone prove nothing.
        if not found or "(IMPORT FAILED)" in log:
            cause = re.search(r"^.*(Traceback|Error while calling|Cannot import|Skip )", log, re.MULTILINE)
            text = "\n".join(log[cause.start() if cause else 0 :].splitlines()[:60])
            raise ServerFailed(f"ComfyUI did not load the nodes of {PACK} (IMPORT FAILED):\n{text}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _make_link(link: Path, target: Path) -> None:
    if os.name == "nt":
        import _winapi  # a junction, as a symbolic link needs administrator's rights there

        _winapi.CreateJunction(str(target), str(link))
    else:
        link.symlink_to(target, target_is_directory=True)


def _unlink(link: Path) -> None:
    with contextlib.suppress(OSError):
        link.rmdir() if os.name == "nt" else link.unlink()


def _end(process: subprocess.Popen) -> None:
    """End a process and its group: politely, then after ten seconds for certain."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
        process.wait()
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
