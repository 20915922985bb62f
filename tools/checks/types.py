"""Check the types of nodes/ and modules/: pyright, basic, with the ComfyUI of this machine to resolve `comfy` in.

    python scripts/with_env.py tools/run.py checks.types [pyright's options]

Rules and folders stand in pyproject.toml, [tool.basedpyright]. `stubs/` beside this file says Any for libraries whose
own types are none, or would be read for a minute to learn nothing. Ends with status 0 where there is no error.
"""

import os
import subprocess
import sys

from face_anonymizer.modules.host.location import PACK, find_comfyui


def main() -> int:
    # pyright asks this interpreter where packages lie, and so finds ComfyUI too
    environment = {**os.environ, "PYTHONPATH": str(find_comfyui())}
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, *sys.argv[1:]]
    return subprocess.run(command, cwd=PACK, env=environment).returncode
