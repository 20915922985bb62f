"""tools/hosts/gpu_bundle.py: what it writes is small and runs its check where only torch and the like are installed."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from face_anonymizer.modules.checking import parity, verdicts
from face_anonymizer.tools.hosts import gpu_bundle

ROOT = Path(__file__).resolve().parents[2]
# What the tool's docstring asks of the machine, and what these packages import in their turn.
ASKED = "torch torchvision numpy Pillow safetensors transformers tokenizers einops scipy psutil tqdm PyYAML requests"
ASKED += " packaging typing_extensions"
FURTHER = "annotated_doc anyio certifi charset_normalizer click filelock fsspec functorch h11 hf_xet httpcore2 httpx2"
FURTHER += " huggingface_hub idna jinja2 markupsafe mpmath networkx nvidia regex shellingham sympy torchgen triton"
FURTHER += " truststore typer urllib3 cuda"
MODULES = {"Pillow": "PIL", "PyYAML": "yaml"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "there"
    assert gpu_bundle.main(["--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """An interpreter that finds the packages above alone."""
    folder = tmp_path_factory.mktemp("bare")
    packages = folder / "packages"
    packages.mkdir()
    wanted = {MODULES.get(name, name).lower() for name in f"{ASKED} {FURTHER}".split()}
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        name = re.sub(r"[-.].*", "", entry.name).lower()  # packages, single modules, *.libs and *.dist-info
        if name in wanted or name in {one.lower() for one in ASKED.split()}:
            (packages / entry.name).symlink_to(entry)
    venv.create(folder / "venv", symlinks=True)
    site = next((folder / "venv").rglob("site-packages"))
    (site / "bare.pth").write_text(str(packages), encoding="utf-8")
    return folder / "venv" / "bin" / "python"


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": os.environ.get("HOME", "/")}
    return subprocess.run([python, *arguments], capture_output=True, text=True, env=environment)


def test_it_is_small_and_holds_nothing_of_this_machine(bundle):
    files = [path for path in bundle.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"\n{size / 2**20:.1f} MiB in {len(files)} files", end="")
    assert size <= 60 * 2**20
    assert not [path for path in files if path.suffix == ".pyc"]
    assert not [path for path in files if path.suffix == ".py" and str(ROOT).encode() in path.read_bytes()]


def test_it_runs_the_packs_other_scripts_too(bundle):
    done = run(Path(sys.executable), str(bundle / "run.py"), "scripts/get_models.py", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: get_models.py")


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="an interpreter of links")
def test_its_check_runs_where_little_is_installed(bundle, bare_python, tmp_path):
    """The whole of scripts/check_gpu.py: every line is a verdict, nothing fails, and the report names no folder."""
    missing = run(bare_python, "-c", "import av")
    assert "No module named 'av'" in missing.stderr
    report = tmp_path / "report.md"
    arguments = ["--cpu", "--tiny", "--no-tests", "--steps", "2", "--report", str(report)]
    done = run(bare_python, str(bundle / "run.py"), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    words = {line.split(": ")[1]: line.split(": ")[0] for line in lines}  # what is checked -> PASS, FAIL or TOLD
    assert set(words.values()) == {verdicts.PASS, verdicts.TOLD}
    for what in ("device", "driver", "torch", "ComfyUI", "memory mode", "memory", "speed of a guided step", "time"):
        assert words[what] == verdicts.TOLD
    for what in ("a guided step is the official one", "a face", "detection", "paste"):
        assert words[what] == verdicts.PASS
    compared = [what for what in words if what.startswith("parity, weights")]
    assert len(compared) == len(parity.WEIGHT_DTYPES) and len(words) == len(lines)
    text = report.read_text(encoding="utf-8")
    assert text.count("| PASS |") == list(words.values()).count(verdicts.PASS)
    assert not [folder for folder in (Path.home(), ROOT, bundle) if str(folder) in text]
