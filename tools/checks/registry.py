"""Let comfy-cli look at the pack as the registry will: `node validate` and `node pack` without a warning, and the size.

    python scripts/with_env.py tools/run.py checks.registry

comfy-cli is installed from PyPI into a temporary environment of its own, and works on a clone of what is committed.
Ends with status 0 where it warns of nothing and the zip has at most 75 MB.
"""

import os
import subprocess
import tempfile
import venv
from pathlib import Path

from face_anonymizer.modules.host.location import PACK

_MOST = 75e6  # bytes
_WARNINGS = ("warning", "error", "Traceback")


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        subprocess.run([scripts / "pip", "install", "--quiet", "comfy-cli"], check=True)
        subprocess.run(["git", "clone", "--quiet", PACK, folder / "pack"], check=True)
        environment = {**os.environ, "HOME": name, "USERPROFILE": name}  # its settings are not the user's

        def comfy(*arguments: str) -> str:
            command = [scripts / "comfy", "--skip-prompt", *arguments]
            done = subprocess.run(command, cwd=folder / "pack", env=environment, capture_output=True, text=True)
            said = done.stdout + done.stderr
            return f"error: status {done.returncode}\n{said}" if done.returncode else said

        comfy("tracking", "disable")
        said = comfy("node", "validate") + comfy("node", "pack")
        print(said)
        zips = list((folder / "pack").glob("*.zip"))
        size = sum(path.stat().st_size for path in zips)
        print(f"{size / 1e6:.1f} MB, {_MOST / 1e6:.0f} at most")
        is_fine = len(zips) == 1 and size <= _MOST and not any(word in said for word in _WARNINGS)
        return 0 if is_fine else 1
