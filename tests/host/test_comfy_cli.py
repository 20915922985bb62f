"""The prompts for servers, as ComfyUI's own command line runs them, and as a linter reads them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from face_anonymizer.tools.checks.comfy_cli import Programs

pytestmark = pytest.mark.long  # two packages are installed from PyPI, and each graph is run

ROOT = Path(__file__).resolve().parents[2]
EXPORTS = sorted((ROOT / "workflows" / "api").glob("*.json"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"), "comfy-cli", "comfy-lint")


@pytest.fixture(scope="module")
def address(server, short_clip, tmp_path_factory) -> str:
    """Where a ComfyUI answers that has what the prompts load."""
    photo = tmp_path_factory.mktemp("photo") / "example.png"
    Image.open(ROOT / "assets" / "astronaut.jpg").resize((192, 192), box=(96, 0, 352, 256)).save(photo)
    server.upload(photo)
    server.upload(short_clip, name="example.mp4")
    return server.url


def saved(server) -> set[Path]:
    """The pictures and films in the server's output folder; a report beside each is no result."""
    return {file for file in (server.folder / "output").rglob("*") if file.is_file() and file.suffix != ".json"}


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_comfy_run_runs_it(programs, server, address, path):
    host, _, port = address.removeprefix("http://").partition(":")
    before = saved(server)
    where = ("--host", host, "--port", port, "--timeout", "600")
    status, said = programs.run("comfy", "--skip-prompt", "run", "--workflow", path, "--wait", *where)
    assert status == 0, said
    assert len(saved(server) - before) == 1, said


def test_the_linter_finds_nothing(programs, address):
    status, said = programs.run("comfy-lint", "--server", address, "--json", "--strict", *EXPORTS)
    told = json.loads(said)["summary"]
    assert status == 0 and told == {"files": len(EXPORTS), "errors": 0, "warnings": 0, "unreadable": 0}, said
