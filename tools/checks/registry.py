"""Let comfy-cli look at the pack as the registry will: `node validate` and `node pack` without a warning, and the size.

    python scripts/with_env.py tools/run.py checks.registry

comfy-cli is installed from PyPI into a temporary environment of its own, and works on a clone of what is committed.
Ends with status 0 where it warns of nothing and the zip has at most 75 MB.
"""

import subprocess
import tempfile
from pathlib import Path

from face_anonymizer.modules.host.location import PACK
from face_anonymizer.tools.checks.comfy_cli import Programs

_MOST = 75e6  # bytes
_WARNINGS = ("warning", "error", "Traceback")


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = Programs(folder, "comfy-cli")
        subprocess.run(["git", "clone", "--quiet", PACK, folder / "pack"], check=True)

        def comfy(*arguments: str) -> str:
            status, said = programs.run("comfy", "--skip-prompt", *arguments, cwd=folder / "pack")
            return f"error: status {status}\n{said}" if status else said

        said = comfy("node", "validate") + comfy("node", "pack")
        print(said)
        zips = list((folder / "pack").glob("*.zip"))
        size = sum(path.stat().st_size for path in zips)
        print(f"{size / 1e6:.1f} MB, {_MOST / 1e6:.0f} at most")
        is_fine = len(zips) == 1 and size <= _MOST and not any(word in said for word in _WARNINGS)
        return 0 if is_fine else 1
