"""How commands start: without what takes seconds to import, and their ComfyUI with threads that do not spin."""

import subprocess
import sys
from pathlib import Path

import pytest

from face_anonymizer.modules.runs.server import Server, ServerFailed

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


HELP = """
import runpy, sys
for name in sys.argv[1:]:
    sys.argv = [f"{sys.path[0]}/{name}.py", "--help"]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code
print("\\nIMPORTED", [name for name in ("torch", "scipy", "transformers", "diffusers") if name in sys.modules])
"""


def test_commands_say_what_they_are_asked_before_torch_is_imported():
    """Of a server's runs this is all: the command itself computes nothing."""
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n{HELP}"
    names = ("anonymize", "evaluate", "get_models", "check_gpu")
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "IMPORTED []"


BARE = """
import runpy, sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "numpy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lacking())
name, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = f"{sys.path[0]}/{name}.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("arguments", "status", "next_step"),
    [
        (["command", "anonymize", "x.jpg", "--output", "out"], 2, "numpy is missing: pip install '"),
        (["command", "dataset", "x", "--output", "out", "--redact"], 2, "is missing: pip install '"),
        (["anonymize", "x.jpg", "--output", "out"], 1, "with_env.py scripts/anonymize.py"),
    ],
)
def test_a_python_without_packages_is_told_what_brings_them(arguments, status, next_step):
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n{BARE}"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == status and next_step in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_help_calls_a_command_as_it_was_called():
    for called, name in ((["command", "redact"], "face-anonymizer redact"), (["get_models"], "get_models.py")):
        file, *more = called
        asked = [sys.executable, str(SCRIPTS / f"{file}.py"), *more, "--help"]
        said = subprocess.run(asked, capture_output=True, text=True).stdout
        assert said.startswith(f"usage: {name} [-h]"), said[:100]


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function that starts the stand-in; gives how its threads are told to wait."""
    (tmp_path / "comfy").mkdir()
    (tmp_path / "custom_nodes").mkdir()
    (tmp_path / "main.py").write_text(f"import os; raise SystemExit(str([os.environ.get(name) for name in {WAITING}]))")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)

    def start() -> str:
        with pytest.raises(ServerFailed) as failed, Server(cpu=True):
            pass
        return str(failed.value).splitlines()[-1]

    return start


def test_its_threads_sleep_while_they_wait(told):
    assert told() == "['PASSIVE', None, None]"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OMP_WAIT_POLICY", "ACTIVE", "['ACTIVE', None, None]"),
        ("GOMP_SPINCOUNT", "1000", "[None, '1000', None]"),
        ("KMP_BLOCKTIME", "200", "[None, None, '200']"),
    ],
)
def test_what_the_user_says_of_it_holds(told, monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    assert told() == expected
