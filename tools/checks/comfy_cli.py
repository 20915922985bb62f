"""ComfyUI's own command line, and programs beside it, from PyPI into an environment of their own."""

import os
import subprocess
import venv
from pathlib import Path


class Programs:
    """Programs of packages, installed for a while.

    Args:
        folder: where they are put, with their settings: the user's own are not touched.
        packages: names on PyPI.
    """

    def __init__(self, folder: Path, *packages: str):
        venv.create(folder / "venv", with_pip=True)
        self._scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        subprocess.run([self._scripts / "pip", "install", "--quiet", *packages], check=True)
        self._environment = {**os.environ, "HOME": str(folder), "USERPROFILE": str(folder)}
        if "comfy-cli" in packages:
            self.run("comfy", "--skip-prompt", "tracking", "disable")

    def run(self, program: str, *arguments: str | Path, cwd: Path | None = None) -> tuple[int, str]:
        """Its status, and what it says.

        Args:
            program: its name.
            arguments: of it.
            cwd: the folder that it works in.
        """
        done = subprocess.run(
            [self._scripts / program, *arguments], cwd=cwd, env=self._environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr
