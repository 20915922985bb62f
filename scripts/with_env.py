"""Run Python with everything that the pack's scripts and tests need, installed on first use.

    python scripts/with_env.py scripts/anonymize.py photo.jpg --output out
    python scripts/with_env.py -m pytest
    python scripts/with_env.py --torch-index https://download.pytorch.org/whl/cpu scripts/anonymize.py ...
    python scripts/with_env.py --install-comfyui

What follows goes to an interpreter as it stands. Which interpreter: the one that FACE_ANON_PYTHON names; this one, when
it has what is needed; else the one of `.venv` in the pack's folder, made and filled on first use. Needed are ComfyUI's
requirements, or, where there is no ComfyUI, what diffusers' networks take (docs/python.md); and, for `-m pytest` and
tools/run.py, those of the tests. FACE_ANON_REQUIRE_HOST=1 makes a missing ComfyUI an error.

    --torch-index URL   where torch is installed from, for smaller builds, or such for another GPU
    --install-comfyui   first install ComfyUI, by comfy-cli; with or without a command behind it

Only the standard library, as it runs before all else.
"""

import os
import subprocess
import sys

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.host.environment import choose_python, install_comfyui
from face_anonymizer.modules.host.location import HostMissing


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036 - the Python that this runs on is not chosen by any packaging
        raise SystemExit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}.")
    command, torch_index, with_comfyui = sys.argv[1:], None, False
    while command and command[0].startswith("-"):
        name, is_joined, value = command[0].partition("=")
        if name == "--install-comfyui":
            with_comfyui, command = True, command[1:]
        elif name == "--torch-index":
            torch_index, command = (value, command[1:]) if is_joined else ("".join(command[1:2]), command[2:])
        elif name in ("-h", "--help"):
            print(__doc__)
            return 0
        elif name.startswith("--"):  # before gigabytes are installed for it
            print(f"{name} is no option of with_env.py.\n\n{__doc__}", file=sys.stderr)
            return 2
        else:
            break  # an option of Python, such as -m
    if torch_index == "" or not (command or with_comfyui):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if with_comfyui:
            install_comfyui()
        if not command:
            return 0
        python = choose_python(command, torch_index)
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
