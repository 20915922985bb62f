"""Run the found ComfyUI headless, with this pack and no other, in folders of its own."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..host.location import PACK, find_comfyui, has_accelerator
from .client import Client

PACK_NAME = "ComfyUI-FaceAnonymizer"
NODE_PREFIX = "FaceAnon"
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # by which the user says how threads wait
_GUARD = Path(__file__).with_name("guard.py")
# Ctrl-C in the terminal ends no ComfyUI of its own group: this process cancels its prompt and ends it in order.
_OWN_GROUP: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {"start_new_session": True}
)


class ServerFailed(RuntimeError):
    """ComfyUI did not start, died, or did not load the pack; the message ends with its log."""


class Server(Client):
    """The ComfyUI of `find_comfyui`, run headless for the length of a `with` block, with this pack and no other.

    Args:
        models: kinds of models to folders to add, for example {"face_anon": folder, "vae": folder}.
        own_models: there are no others, whatever the user's ComfyUI has.
        cpu: None for the CPU where there is no other device.
        require_pack: raise unless the pack's nodes are registered.
        python: an interpreter with ComfyUI's requirements.
        arguments: more of main.py's.
        start_timeout: seconds in which it must answer.

    Raises:
        HostMissing: there is no ComfyUI.
        ServerFailed: it does not start, ends, or does not load the pack; on entering the block.

    Input, output, temp and user folders and the database are temporary (`folder`), so that nothing of the user's is
    written; models come from where the user's ComfyUI has them, unless own_models. `log` is its log file, deleted with
    the folder. A kill of this process ends ComfyUI and deletes the folder too (guard.py).
    """

    def __init__(
        self,
        models: Mapping[str, Path | str] | None = None,
        *,
        own_models: bool = False,
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
        self._own_models = own_models
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
                    [sys.executable, str(_GUARD), str(self.folder), *command],
                    cwd=self.host,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    **_OWN_GROUP,
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
            # Its input closed, the guard ends ComfyUI now, as it would if this process had been killed.
            self._process.communicate()
        if self._link is not None:
            # Before the tree: what the link points at is the pack itself.
            _unlink(self._link)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _erase_uploads(self) -> None:
        """Delete what all prompts so far have left in the temp and output folders."""
        self._uploads = []
        for name in ("temp", "output"):
            for entry in (self.folder / name).iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)

    def tail(self, lines: int = 40) -> str:
        """The end of the server's log."""
        return "\n".join(self._read_log().splitlines()[-lines:])

    def _read_log(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(encoding="utf-8", errors="replace"))  # no colours

    def _command(self, cpu: bool) -> list[str]:
        for name in ("input", "output", "temp", "user"):
            (self.folder / name).mkdir()
        base = self.host
        if self._own_models:
            base = self.folder / "base"
            (base / "custom_nodes").mkdir(parents=True)  # main.py lists it
        name, config = self._place_pack(base / "custom_nodes")
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
            *(["--base-directory", str(base)] if self._own_models else []),
            *self._arguments,
        ]

    def _place_pack(self, custom_nodes: Path) -> tuple[str, dict[str, str]]:
        """The name to whitelist, and the extra paths: given model folders and, if need be, one with the pack alone.

        ComfyUI whitelists by folder name wherever the folder is found, and lists templates and translations of
        every neighbour, whitelisted or not. So a pack outside of `custom_nodes`, ComfyUI's, is linked into an empty
        folder under a name that no folder there has.
        """
        config = {kind: str(Path(folder).absolute()) for kind, folder in self._models.items()}
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


def _environment() -> dict[str, str]:
    """What ComfyUI is started with: this process's environment, and threads that sleep while they wait for each other.

    By default they turn in a loop instead, one for each core. Where others use the cores too, the loops take what the
    threads wait for: beside a few busy processes a search for faces takes five times as long. No sum changes by it.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    if not any(name in environment for name in _WAITING):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # GNU's, LLVM's and Intel's OpenMP read it when torch is imported
    return environment


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
