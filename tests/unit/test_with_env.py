"""Which interpreter scripts/with_env.py takes, what it installs, and how it gets a ComfyUI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from face_anonymizer.modules.host import environment
from face_anonymizer.modules.host.location import HostMissing
from face_anonymizer.scripts import with_env

DEVELOPERS = ["-m", "pytest"]


@pytest.fixture
def files(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Requirements of a ComfyUI that are installed here, and tests' of which one is not."""
    host, tests = tmp_path / "requirements.txt", tmp_path / "tests.txt"
    host.write_text("# nothing else\n\nnumpy>=1.25.0\n  torch  # of any version\n")
    tests.write_text("pytest\nno-such-package>=1\n")
    monkeypatch.setattr(environment, "find_comfyui", lambda: tmp_path)
    monkeypatch.setattr(environment, "TEST_REQUIREMENTS", tests)
    monkeypatch.setattr(environment, "make_venv", lambda needs, index: ("made", *needs.packages, index))
    for name in ("FACE_ANON_PYTHON", "COMFYUI_PATH", environment.REQUIRE_HOST):
        monkeypatch.delenv(name, raising=False)
    return host, tests


@pytest.fixture
def no_host(files, monkeypatch):
    def missing():
        raise HostMissing("none")

    monkeypatch.setattr(environment, "find_comfyui", missing)
    monkeypatch.setattr(environment, "of_extra", {"headless": ["torch>=2.4", "no-such-engine"]}.get)


def test_commands_need_what_comfyui_brings_and_developers_more(files):
    here, choose = Path(sys.executable), environment.choose_python
    made = ("made", "numpy>=1.25.0", "torch", "pytest", "no-such-package>=1", None)
    assert choose(["scripts/anonymize.py", "photo.jpg"]) == here
    assert choose(DEVELOPERS) == made
    assert choose([str(environment.PACK / "tools" / "run.py"), "hosts.prove"]) == made
    files[1].write_text("pytest\n")
    assert choose(DEVELOPERS) == here
    files[0].write_text("no-such-package\n")
    assert choose(["scripts/anonymize.py"], "https://torch") == ("made", "no-such-package", "https://torch")


def test_an_interpreter_that_is_named_is_taken(files, monkeypatch):
    monkeypatch.setenv("FACE_ANON_PYTHON", "~/python")
    assert environment.choose_python(DEVELOPERS) == Path.home() / "python"


def test_a_pack_of_the_registry_comes_without_tests(files):
    files[1].unlink()
    assert environment.choose_python(DEVELOPERS) == Path(sys.executable)


def test_without_a_comfyui_diffusers_networks_are_installed(no_host, monkeypatch):
    choose, engine = environment.choose_python, ("torch>=2.4", "no-such-engine")
    assert choose(["scripts/anonymize.py"]) == ("made", *engine, None)
    assert choose(DEVELOPERS) == ("made", *engine, "pytest", "no-such-package>=1", None)
    for name in (environment.REQUIRE_HOST, "COMFYUI_PATH"):
        with monkeypatch.context() as patched, pytest.raises(HostMissing):
            patched.setenv(name, "1")
            choose(["scripts/anonymize.py"])


@pytest.fixture
def ran(tmp_path, monkeypatch) -> list[list[str]]:
    """What was run, in place of pip and comfy-cli, for an environment that is made as a folder."""
    commands: list[list[str]] = []

    def run(command, **_):
        commands.append([str(part) for part in command])
        return subprocess.CompletedProcess(command, int("broken" in commands[-1]))

    def create(folder, **_):
        python = environment.venv_python()
        python.parent.mkdir(parents=True)
        python.touch()

    monkeypatch.setattr(environment, "VENV", tmp_path / "venv")
    monkeypatch.setattr(environment.subprocess, "run", run)
    monkeypatch.setattr(environment.venv, "create", create)
    return commands


def test_the_size_is_said_and_what_is_installed_is_not_installed_again(ran, capsys, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    small = environment.Needs(("torch", "diffusers"), "painting without ComfyUI")
    python = environment.make_venv(small)
    said = capsys.readouterr().err
    assert f"painting without ComfyUI needs into {environment.VENV}, once. torch for Linux brings CUDA" in said
    assert "GB" in said and f"--torch-index {environment.CPU_INDEX}" in said
    pip, limits = (
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"],
        ["-c", str(environment.CONSTRAINTS)],
    )
    assert ran == [[*pip, *limits, "torch", "diffusers"]]
    assert environment.make_venv(small) == python and len(ran) == 1
    large = environment.Needs((*small.packages, "pytest"), "the tests")
    environment.make_venv(large, "https://small")
    installed = [command for command in ran if "install" in command][1:]
    assert installed == [
        [*pip, "--index-url", "https://small", *limits, "torch", "torchvision"],
        [*pip, *limits, *large.packages],
    ]
    count = len(ran)
    assert environment.make_venv(small) == environment.make_venv(large) == python and len(ran) == count
    with pytest.raises(SystemExit, match="The installation failed"):
        environment.make_venv(environment.Needs(("broken",), "nothing"))


def test_comfyui_is_installed_by_comfy_cli(ran, monkeypatch, capsys, tmp_path):
    there = []

    def find():
        if not there:
            there.append(tmp_path)
            raise HostMissing("none")
        return tmp_path

    monkeypatch.setattr(environment, "find_comfyui", find)
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    environment.install_comfyui()
    assert ran[0][-1] == "comfy-cli" and ran[1][1:] == ["-m", "comfy_cli", "--skip-prompt", "install", "--cpu"]
    assert "clones a repository" in capsys.readouterr().err
    environment.install_comfyui()
    assert len(ran) == 2 and "ComfyUI is there" in capsys.readouterr().err
    monkeypatch.setattr(environment.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert environment._accelerator() == "--nvidia"


def test_its_own_options_come_before_the_command(monkeypatch, capsys):
    told = []
    monkeypatch.setattr(with_env, "install_comfyui", lambda: told.append("comfyui"))
    monkeypatch.setattr(with_env, "choose_python", lambda *given: told.append(given) or Path(sys.executable))
    monkeypatch.setattr(with_env.os, "execve", lambda python, command, environment: told.append(command[1:]))
    for arguments in (
        ["--install-comfyui"],
        ["--torch-index", "https://a", "x.py", "--torch-index"],
        ["--torch-index=https://b", "-m", "x"],
        ["--torch-index"],
        ["--torch-index="],
        ["--help"],
        ["--install-comfy", "x.py"],
        [],
    ):
        monkeypatch.setattr(sys, "argv", ["with_env.py", *arguments])
        if os.name != "nt":
            told.append(with_env.main())
    command = ["x.py", "--torch-index"]
    assert told == [
        "comfyui",
        0,
        (command, "https://a"),
        command,
        None,
        (["-m", "x"], "https://b"),
        ["-m", "x"],
        None,
        2,
        2,
        0,
        2,
        2,
    ]
    assert "--install-comfy is no option of with_env.py" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="links need administrator's rights there")
def test_a_pack_that_is_linked_into_custom_nodes_finds_the_comfyui_around_the_link(tmp_path):
    comfyui = tmp_path / "Comfy UI"
    (comfyui / "comfy").mkdir(parents=True)
    (comfyui / "custom_nodes").mkdir()
    for name in ("main.py", "requirements.txt"):
        (comfyui / name).touch()
    link = comfyui / "custom_nodes" / "Face Anon"
    link.symlink_to(environment.PACK)
    command = [sys.executable, str(link / "scripts" / "with_env.py"), "-c", "print('ran')"]
    variables = {**os.environ, "HOME": str(tmp_path), "FACE_ANON_PYTHON": sys.executable, environment.REQUIRE_HOST: "1"}
    variables.pop("COMFYUI_PATH", None)
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "ran"), done.stderr
