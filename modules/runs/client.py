"""Talk to a running ComfyUI: queue prompts, follow them, fetch their pictures.

Plain requests go by urllib, as they are made from threads: aiohttp would need an event loop in each of them, around
every request, and is taken for the websocket alone. It and Pillow, which ComfyUI brings, are imported where they are
used, so that this module needs only the standard library.
"""

import asyncio
import contextlib
import io
import json
import mimetypes
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

from ..host.pages import ASKS_MAKERS, COMMAND_PREFIX

_BLOCK_BYTES = 1 << 20  # of a file that is sent or fetched, in memory at a time


class PromptFailed(RuntimeError):
    """A prompt was refused, failed or was interrupted. `node_id` and `node_type` are None where no node is to blame."""

    def __init__(self, message: str, node_id: str | None = None, node_type: str | None = None):
        super().__init__(message)
        self.node_id = node_id
        self.node_type = node_type


class Cancelled(RuntimeError):
    """`Client.stop` was set while a prompt was waited for; the prompt is cancelled on the server."""


class Client:
    """A running ComfyUI at `url`, for example http://127.0.0.1:8188.

    stop: set by another thread, it ends this client's waits with Cancelled.
    asks_makers: prompts ask the server's pack for its version and for what its models are (prompts.find_makers).
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self.client_id = f"{COMMAND_PREFIX}{uuid.uuid4().hex}"
        self._uploads: list[str] = []  # names in the server's temp folder, until they are erased
        self.stop = threading.Event()
        self.asks_makers = False
        # A proxy for the internet is of no use, and often no way, to a server on this machine or network.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, path: str, data: bytes | None = None, content_type: str = "application/json") -> bytes:
        """Send a GET, or a POST when there is data.

        Args:
            path: of the route, from the slash on.
            data: the body of a POST; None for a GET.
            content_type: of the data.

        Returns:
            The body of the answer.

        Raises:
            urllib.error.HTTPError: the server refuses.
            OSError: it does not answer.
        """
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

    def upload(
        self, source: Path | str | BinaryIO, name: str | None = None, kind: str = "input", digest: Any = None
    ) -> str:
        """Put a file into a folder of the server, replacing one of that name; what LoadImage and LoadVideo call it.

        Files of any size, a megabyte in memory at a time.

        Args:
            source: a path, or an open file, which needs a name.
            name: of the file there; None for the source's own.
            kind: "input", or "temp", which ComfyUI empties when it starts and ends.
            digest: a hashlib object that is updated with the bytes that are sent.

        Raises:
            ValueError: an open file without a name.
            PromptFailed: the server takes only smaller files.
            OSError: the server cannot be reached, or the file became shorter meanwhile.
        """
        if isinstance(source, (Path, str)):
            with open(source, "rb") as file:
                return self.upload(file, name or Path(source).name, kind, digest)
        if name is None:
            raise ValueError("An open file needs a name: give one.")
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        self._check_upload_size(size)
        boundary = uuid.uuid4().hex
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in (("overwrite", "true"), ("type", kind))
        )
        head = (
            f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            f"Content-Type: {mime}\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            left = size
            while left and (block := source.read(min(_BLOCK_BYTES, left))):
                left -= len(block)
                if digest is not None:
                    digest.update(block)
                yield block
            if left:
                raise OSError(f"{name} became shorter while it was sent.")
            yield tail

        length = str(len(head) + size + len(tail))
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": length}
        request = urllib.request.Request(self.url + "/upload/image", body(), headers)
        self._uploads += [name] if kind == "temp" else []
        with self._opener.open(request, timeout=120) as reply:
            answer = json.loads(reply.read())
        stored = f"{answer['subfolder']}/{answer['name']}" if answer.get("subfolder") else answer["name"]
        return stored if kind == "input" else f"{stored} [{kind}]"

    def _check_upload_size(self, size: int) -> None:
        """A server that gets too much hangs up in the middle, which would say nothing."""
        limit = self.get("/features").get("max_upload_size")
        if limit is not None and size > limit - 4096:
            raise PromptFailed(
                f"It has {size / 2**20:.0f} MB, but {self.url} takes uploads of {limit / 2**20:.0f} MB at most: start "
                "that ComfyUI with a larger --max-upload-size."
            )

    def download(self, file: Mapping[str, str], target: Path) -> None:
        """Fetch the bytes of a saved file, as the outputs of a history entry name it, into `target`.

        OSError when the connection ends before the file does.
        """
        with self._opener.open(self.url + _view_of(file), timeout=120) as answer, target.open("wb") as written:
            while block := answer.read(_BLOCK_BYTES):
                written.write(block)
            expected = answer.headers.get("Content-Length")
            if expected is not None and written.tell() != int(expected):
                raise OSError(f"{self.url} sent {written.tell()} of {expected} bytes of {file['filename']}.")

    def forget(self, prompt_id: str | None) -> None:
        """Take a prompt that is done out of the server's history, and erase what was uploaded to its temp folder.

        ComfyUI deletes no file on request, but replaces one of the same name: each upload becomes an empty file.

        Args:
            prompt_id: None where an upload was never queued.

        Raises:
            OSError: the server does not answer; then its files stay until it starts again.
        """
        if prompt_id is not None:
            self.post("/history", {"delete": [prompt_id]})
        self._erase_uploads()

    def _erase_uploads(self) -> None:
        uploads, self._uploads = self._uploads, []
        for name in uploads:
            self.upload(io.BytesIO(), name, "temp")
        self._uploads = []

    def queue(self, prompt: Mapping) -> str:
        """Queue a prompt in API format.

        Returns:
            Its id.

        Raises:
            PromptFailed: the server refuses it, or any part of it is invalid; the message has every complaint.
        """
        more = {"extra_data": {"extra_pnginfo": {ASKS_MAKERS: True}}} if self.asks_makers else {}
        try:
            answer = json.loads(self.post("/prompt", {"prompt": prompt, "client_id": self.client_id} | more))
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
        """Wait for a prompt. Whatever ends the wait early (Ctrl-C, the timeout) cancels the prompt on the server too.

        Args:
            prompt_id: of a prompt that was queued.
            on_progress: called with (node id, value, maximum) in this thread as nodes report their steps, for prompts
                that this client queued.
            timeout: in seconds; None: no limit.

        Returns:
            Its history entry.

        Raises:
            PromptFailed: it failed or was interrupted.
            TimeoutError: it was not done in time.
            Cancelled: `stop` was set.
            OSError: the server does not answer.
        """
        with self._messages() if on_progress else contextlib.nullcontext() as messages:
            return self._follow(prompt_id, messages, on_progress, timeout)

    def run(
        self,
        prompt: Mapping,
        on_progress: Callable[[str, int, int], None] | None = None,
        timeout: float | None = None,
    ) -> dict:
        """Queue a prompt and wait for it, as `queue` and `wait` do, without missing its first steps.

        Args:
            prompt: in API format.
            on_progress: see `wait`.
            timeout: in seconds; None: no limit.

        Returns:
            Its history entry.

        Raises:
            PromptFailed: it was refused, failed or was interrupted; and as `wait` does.
        """
        with self._messages() if on_progress else contextlib.nullcontext() as messages:
            return self._follow(self.queue(prompt), messages, on_progress, timeout)

    def images(self, history: Mapping) -> list:
        """The images of a history entry, saved ones and previews, as [(node_id, PIL.Image)] in the server's order."""
        from PIL import Image

        found = []
        for node_id, output in history["outputs"].items():
            for image in output.get("images", ()):
                found.append((node_id, Image.open(io.BytesIO(self.request(_view_of(image))))))
        return found

    def _follow(
        self,
        prompt_id: str,
        messages: SimpleQueue | None,
        on_progress: Callable[[str, int, int], None] | None,
        timeout: float | None,
    ) -> dict:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.01  # a prompt that is soon done is not waited for longer than it takes
        try:
            while (entry := self._history(prompt_id)) is None:
                if self.stop.is_set():
                    raise Cancelled("Cancelled.")
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"The prompt was not done after {timeout:g} s.")
                if messages is None or on_progress is None:
                    time.sleep(pause)
                    pause = min(1.5 * pause, 0.2)
                else:
                    _report(messages, prompt_id, on_progress)
            if messages is not None and on_progress is not None:
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


def _view_of(file: Mapping[str, str]) -> str:
    return f"/view?{urllib.parse.urlencode({key: file[key] for key in ('filename', 'subfolder', 'type')})}"


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
    error = {"message": error} if isinstance(error, str) else error
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
