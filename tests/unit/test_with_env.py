"""Which interpreter scripts/with_env.py takes: this one wherever it has what the command needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from face_anonymizer.scripts import with_env


@pytest.fixture
def files(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Requirements of a ComfyUI that are installed here, and tests' of which one is not."""
    host, tests = tmp_path / "requirements.txt", tmp_path / "tests.txt"
    host.write_text("# nothing else\n\nnumpy>=1.25.0\n  torch  # of any version\n")
    tests.write_text("pytest\nno-such-package>=1\n")
    monkeypatch.setattr(with_env, "find_comfyui", lambda: tmp_path)
    monkeypatch.setattr(with_env, "TEST_REQUIREMENTS", tests)
    monkeypatch.setattr(with_env, "make_venv", lambda files: ("made", *files))
    monkeypatch.delenv("FACE_ANON_PYTHON", raising=False)
    return host, tests


def test_commands_need_what_comfyui_brings_and_developers_more(files):
    here, made = Path(sys.executable), ("made", *files)
    assert with_env.choose_python(["scripts/anonymize.py", "photo.jpg"]) == here
    assert with_env.choose_python(["-m", "pytest"]) == made
    assert with_env.choose_python([str(with_env.PACK / "tools" / "run.py"), "hosts.prove"]) == made
    files[1].write_text("pytest\n")
    assert with_env.choose_python(["-m", "pytest"]) == here
    files[0].write_text("no-such-package\n")
    assert with_env.choose_python(["scripts/anonymize.py"]) == made


def test_an_interpreter_that_is_named_is_taken(files, monkeypatch):
    monkeypatch.setenv("FACE_ANON_PYTHON", "~/python")
    assert with_env.choose_python(["-m", "pytest"]) == Path.home() / "python"


def test_a_pack_of_the_registry_comes_without_tests(files):
    files[1].unlink()
    assert with_env.choose_python(["-m", "pytest"]) == Path(sys.executable)


@pytest.mark.skipif(os.name == "nt", reason="links need administrator's rights there")
def test_a_pack_that_is_linked_into_custom_nodes_finds_the_comfyui_around_the_link(tmp_path):
    comfyui = tmp_path / "Comfy UI"
    (comfyui / "comfy").mkdir(parents=True)
    (comfyui / "custom_nodes").mkdir()
    for name in ("main.py", "requirements.txt"):
        (comfyui / name).touch()
    link = comfyui / "custom_nodes" / "Face Anon"
    link.symlink_to(with_env.PACK)
    command = [sys.executable, str(link / "scripts" / "with_env.py"), "-c", "print('ran')"]
    environment = {**os.environ, "HOME": str(tmp_path), "FACE_ANON_PYTHON": sys.executable}
    environment.pop("COMFYUI_PATH", None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "ran"), done.stderr
