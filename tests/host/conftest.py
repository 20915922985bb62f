"""Tests in a real ComfyUI: in this process (`import comfy` works), by a server (`server`), by its page (`frontend`).

Without a ComfyUI there is nothing to test here, and a skipped test would look like a passed one: the run ends.
"""

import atexit
import contextlib
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser

from face_anonymizer.modules.host import location as host
from face_anonymizer.modules.runs import server as comfy_server
from face_anonymizer.tools.busy import busy
from face_anonymizer.tools.pictures import sample_clip
from face_anonymizer.tools.pictures.synthetic_clip import render
from face_anonymizer.tools.workflows.frontend import Frontend, open_browser


def _find_comfyui() -> Path:
    try:
        return host.find_comfyui()
    except host.HostMissing as missing:
        pytest.exit(str(missing), returncode=2)


def import_from_host(name: str) -> ModuleType:
    """A module of ComfyUI by its name, whatever else has that name: `nodes` and `utils` are no rare ones."""
    module = importlib.import_module(name)
    file = Path(module.__file__ or next(iter(module.__path__))).resolve()
    if not file.is_relative_to(COMFYUI.resolve()):
        raise ImportError(f"{name} should be ComfyUI's, but is {file}")
    return module


def _prepare_process() -> None:
    """Make `import comfy` work here as in a server started for tests: no arguments, a device that exists, no traces."""
    sys.path.insert(0, str(COMFYUI))
    # As main.py does: `nodes` of ComfyUI 0.23 to 0.25 puts comfy/ first on the path, where utils.py has that name too.
    import_from_host("utils")
    import_from_host("comfy.options").enable_args_parsing(False)  # the command line is pytest's
    arguments = import_from_host("comfy.cli_args").args
    import torch

    xpu = getattr(torch, "xpu", None)
    # Before comfy.model_management is imported, as it chooses its device then.
    arguments.cpu = not (
        torch.cuda.is_available() or torch.backends.mps.is_available() or bool(xpu and xpu.is_available())
    )
    folder = Path(tempfile.mkdtemp(prefix="face_anonymizer_tests_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    arguments.base_directory = str(folder)  # so that no test sees the user's models; read as folder_paths is imported
    folder_paths = import_from_host("folder_paths")
    for kind in ("input", "output", "temp", "user"):
        (folder / kind).mkdir(exist_ok=True)
        getattr(folder_paths, f"set_{kind}_directory")(str(folder / kind))


def _ask_the_kernel_less() -> None:
    """What is free is asked for ten times a second at most: the host asks before each attention, a millisecond each."""
    import psutil

    ask, last = psutil.virtual_memory, [0.0, None]

    def virtual_memory():
        now = time.monotonic()
        if now - last[0] > 0.1:
            last[:] = now, ask()
        return last[1]

    psutil.virtual_memory = virtual_memory


COMFYUI = _find_comfyui()
_prepare_process()
_ask_the_kernel_less()


@pytest.fixture(scope="session", autouse=True)
def _nothing_trains_meanwhile() -> Iterator[None]:
    with busy():
        yield


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The folder of ComfyUI."""
    return COMFYUI


@pytest.fixture(scope="session")
def host_nodes() -> ModuleType:
    """ComfyUI's `nodes` module, in this process."""
    return import_from_host("nodes")


@pytest.fixture(scope="session")
def least():
    """The smallest model that the nodes take, loaded once for all tests that leave it as it is."""
    from pipeline import load_least

    return load_least()


@pytest.fixture(scope="session")
def pictures():
    """Three crops of a photo, uint8 [3, 64, 64, 3], as large as that model paints them."""
    from pipeline import LEAST_SIZE, face_images

    from face_anonymizer.modules.evaluation.synthetic_set import to_levels

    return to_levels(face_images(3, LEAST_SIZE))


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory) -> Path:
    """A film of two frames of 320x180 at 29.97 a second with sound: three moving faces of 30 to 50 pixels."""
    import torch

    path = tmp_path_factory.mktemp("short") / "Jane Doe at home.mp4"
    frames = torch.nn.functional.avg_pool2d(render(range(20, 22)).movedim(-1, 1), 2).movedim(1, -1)
    sample_clip.write_video(path, frames, metadata={"title": "Jane Doe", "location": "+48.1+11.5/"})
    return path


@pytest.fixture(scope="session")
def server(fixtures: Path) -> "Iterator[comfy_server.Server]":
    """A ComfyUI with the pack, and so its demo model, and the tiny model as the user's; shared by all tests.

    It remembers its looks at pictures (in_server/sitecustomize.py); the servers that commands start do not.
    """
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(Path(__file__).with_name("in_server")), prepend=os.pathsep)
            models = {"face_anon": fixtures / "face_anon"}
            running = stack.enter_context(comfy_server.Server(models=models, own_models=True))
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; shared by all tests, as playwright refuses a second one beside it in one process."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def _frontend(browser, server) -> Iterator[Frontend]:
    page = Frontend(browser, server, patience_ms=100)
    yield page
    page.close()


@pytest.fixture
def frontend(_frontend: Frontend) -> Frontend:
    """The page of `server`, with an empty graph and no errors yet; opened once for all tests."""
    _frontend.clear()
    return _frontend


@pytest.fixture(autouse=True)
def inference_mode() -> Iterator[None]:
    """As ComfyUI runs every node (execution.py)."""
    import torch

    with torch.inference_mode():
        yield
