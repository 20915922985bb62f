"""Run Python with everything that the pack's scripts and tests need, installed on first use.

    python scripts/with_env.py scripts/anonymize.py photo.jpg --output out
    python scripts/with_env.py -m pytest

What follows with_env.py goes to an interpreter as it stands. Which interpreter: the one that FACE_ANON_PYTHON names;
this one, when it has ComfyUI's requirements, which are all that the scripts need but for training (and, for `-m pytest`
and tools/run.py, those of the tests); else the one of `.venv` in the pack's folder, made and filled on first use.

Only the standard library, as it runs before all else.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.files import sha256_of
from face_anonymizer.modules.host.location import PACK, HostMissing, find_comfyui

VENV = PACK / ".venv"
CONSTRAINTS = PACK / "tests" / "constraints.txt"
TEST_REQUIREMENTS = PACK / "tests" / "requirements.txt"


def requirement_files(host: Path) -> list[Path]:
    """ComfyUI's, and the tests', which a pack from the registry comes without. The pack itself has none."""
    files = [host / "requirements.txt", TEST_REQUIREMENTS]
    return [file for file in files if file.is_file()]


def is_installed(files: list[Path]) -> bool:
    """Whether this interpreter has every package that the files name. Versions are the owner's affair."""
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            if name is None:
                continue
            try:
                importlib.metadata.version(name[1])
            except importlib.metadata.PackageNotFoundError:
                return False
    return True


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def has_pip(python: Path) -> bool:
    """Whether an interpreter stands there, starts and has pip."""
    return python.exists() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def make_venv(files: list[Path]) -> Path:
    """The interpreter of `.venv`, which is made when missing and brought up to date when a requirement has changed."""
    python = venv_python()
    constraints = [CONSTRAINTS] if CONSTRAINTS.is_file() else []
    digest = sha256_of(*files, *constraints)
    stamp = VENV / "requirements.sha256"
    if python.exists() and stamp.is_file() and stamp.read_text() == digest:
        return python
    print(
        f"Installing what ComfyUI and the pack's tests require into {VENV}: gigabytes and minutes, once.",
        file=sys.stderr,
    )
    stamp.unlink(missing_ok=True)
    # A sound one is kept, stamp or not: an interrupted installation goes on where it was.
    if not has_pip(python):
        try:
            venv.create(VENV, clear=True, with_pip=True, symlinks=os.name != "nt")
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"Cannot make {VENV} ({error}). On Debian and Ubuntu: apt install python3-venv") from None
    named = [argument for file in files for argument in ("-r", str(file))]
    named += [argument for file in constraints for argument in ("-c", str(file))]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, *named], stdout=sys.stderr).returncode != 0:
        raise SystemExit("The installation failed; pip says above why. The same command goes on from there.")
    stamp.write_text(digest)
    return python


def choose_python(command: list[str]) -> Path:
    """The interpreter for a command; see the module's docstring."""
    files = requirement_files(find_comfyui())
    named = os.environ.get("FACE_ANON_PYTHON")
    if named:
        return Path(named).expanduser()
    for_developers = command[0] == "-m" or Path(command[0]).resolve() == PACK / "tools" / "run.py"
    needed = files if for_developers else [file for file in files if file != TEST_REQUIREMENTS]
    return Path(sys.executable) if is_installed(needed) else make_venv(files)


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036 - the Python that this runs on is not chosen by any packaging
        raise SystemExit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}.")
    command = sys.argv[1:]
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        python = choose_python(command)
    except HostMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    # Programs that the packages bring (ruff, say) are found too, as in an activated environment.
    environment = {**os.environ, "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])}
    if os.name == "nt":
        return subprocess.run([python, *command], env=environment).returncode
    sys.stdout.flush()
    os.execve(python, [str(python), *command], environment)


if __name__ == "__main__":
    sys.exit(main())
