"""What the ComfyUI of a command is started with, seen by a stand-in that tells it and ends."""

import pytest

from face_anonymizer.modules.runs.server import Server, ServerFailed

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


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
