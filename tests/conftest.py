"""Import the pack as one package, `face_anonymizer`, whatever its folder is called.

The pack's root never goes on sys.path: its `nodes` and `modules` would shadow ComfyUI's own.
"""

import functools
import gc
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROCESSES = 2
ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
HOST_TESTS = ROOT / "tests" / "host"
REQUIRE_HOST = "FACE_ANON_REQUIRE_HOST"  # set to 1, a missing ComfyUI fails the run
_LEFT_OUT = pytest.StashKey[list[str]]()


# Ignored where the tests were started in a shell's background or under nohup, and then by all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What is compiled stays, whatever the shell says: else each process that the tests start, dozens of them, compiles the
# pack and its part of ComfyUI anew, and pytest rewrites all of the tests in both processes.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Before torch is imported. On few cores its threads wait for each other, all the more in two processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# oneDNN compiles each convolution for each size of picture, in some milliseconds, and keeps a thousand of them: the
# tests have so many sizes that a fourth was compiled again (ONEDNN_VERBOSE=profile_create says so).
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")


def _without_the_disk(descriptor) -> None:
    """What os.fsync asks of its argument. That a file has reached the disk shows only where the power goes.

    The tests call it two or three thousand times, for 5 to 10 milliseconds each, in which their process waits.
    """
    os.fstat(descriptor if isinstance(descriptor, int) else descriptor.fileno())


os.fsync = _without_the_disk


def _make_importable() -> None:
    """As `import _pack` does in a command; known by that name, so that commands can be imported too."""
    spec = importlib.util.spec_from_file_location("_pack", ROOT / "scripts" / "_pack.py")
    sys.modules["_pack"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


_make_importable()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run whole folders in two processes, unless `-n` gives another number, where pytest-xdist is installed.

    Files and tests that are named run in this process, where `-s` and `--pdb` work.
    """
    option = config.option
    if hasattr(config, "workerinput"):  # one of the processes already
        return
    whole = all(Path(name).is_dir() for name in config.args)
    if whole and not option.usepdb and getattr(option, "numprocesses", 0) is None:
        option.numprocesses = PROCESSES
    if getattr(option, "numprocesses", 0) and option.dist == "no":
        # In the order of the folders: the long files of tests/host come first, the short ones of tests/unit fill up.
        option.dist, option.loadscopereorder = "loadfile", False
        if _missing_host() and _needs_host():
            raise pytest.UsageError(_missing_host())


def _needs_host() -> bool:
    return bool(os.environ.get("COMFYUI_PATH")) or os.environ.get(REQUIRE_HOST, "0") not in ("", "0")


@functools.cache
def _missing_host() -> str:
    """Why there is no ComfyUI, with the next step; "" where there is one."""
    from face_anonymizer.modules.host import location

    try:
        location.find_comfyui()
    except location.HostMissing as missing:
        return str(missing)
    return ""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without a ComfyUI tests/host is left out, which is told at the end; it is an error where one is asked for."""
    if collection_path != HOST_TESTS or not _missing_host():
        return None
    if _needs_host():
        raise pytest.UsageError(_missing_host())
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """With `loadfile`, the files whose tests need the server or its page go to one process too: it starts them once."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "server" if needs_server(config.rootpath / file) else file

    return Scheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run all tests, those too whose length is their point")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: its length is its point; left out without --long, and told at the end")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.long:
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        config.stash[_LEFT_OUT] = [item.nodeid for item in left_out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Each of several processes collects all tests; the one that asks for them hears what was left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", [])


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported by then stays: let no collection of garbage go through it, of which there are thousands.

    And let there be fewer: with the usual thresholds they are a twentieth of the time of tests that make many objects.
    """
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """No garbage goes over to the next file: a video that was read holds the threads of its decoder until then.

    Collections are too rare for that here, see above. A process of a thousand threads, most of them such, came no
    further in an encoder.
    """
    yield
    gc.collect()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was left out; and what the run cost, whatever else the machine did: docs/measured.md counts by it."""
    if left_out := config.stash.get(_LEFT_OUT, []):
        count = "1 long test was" if len(left_out) == 1 else f"{len(left_out)} long tests were"
        terminalreporter.write_line(f"{count} left out: add --long to run them too, as .ci/run does", yellow=True)
    names = [Path(name.partition("::")[0]).resolve() for name in config.args]
    if any(HOST_TESTS.is_relative_to(name) for name in names) and _missing_host():
        told = f"tests/host was left out for want of a ComfyUI ({REQUIRE_HOST}=1 makes that an error)"
        terminalreporter.write_line(f"{told}. {_missing_host()}", yellow=True)
    times = os.times()
    own, others = times.user + times.system, times.children_user + times.children_system
    terminalreporter.write_line(f"CPU seconds of all processes that have ended: {own + others:.0f}")


@functools.cache
def needs_server(file: Path) -> bool:
    return re.search(r"^def \w+\(.*\b(server|frontend)\b", file.read_text(encoding="utf-8"), re.MULTILINE) is not None


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return FIXTURES


@pytest.fixture(scope="module")
def remembered_looks() -> Iterator[None]:
    """See remembered_looks.py. A module of tests asks for it with pytest.mark.usefixtures."""
    from remembered_looks import remembered

    with remembered():
        yield
