"""Run all attacks of this folder, each a share of its cases, chosen by the seed.

    python scripts/with_env.py tools/run.py attacks.run --share 0.1 --seed 7

Every other file here with a main() is an attack, run in a process of its own with --count and --seed. Each prints what
it tried, what survived and what leaked. The exit status is 1 where anything leaked or failed.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path

from face_anonymizer.modules.host.location import PACK

HERE = Path(__file__).parent


def attacks() -> list[str]:
    """The names of the attacks: those files that have a main()."""
    found = []
    for file in sorted(HERE.glob("*.py")):
        names = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
        if file.name != Path(__file__).name and "main" in names:
            found.append(file.stem)
    return found


def whole_count(name: str) -> int:
    """How many cases an attack has by default, as its --help says."""
    said = subprocess.run(command(name, "--help"), capture_output=True, text=True, check=True).stdout
    return int(said.partition("cases to try (")[2].partition(")")[0] or 100)


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(PACK / "tools" / "run.py"), f"attacks.{name}", *arguments]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of each, 0..1 (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (%(default)s)")
    parser.add_argument("--only", nargs="*", choices=attacks(), help="some attacks")
    parser.add_argument("--plant", choices=attacks(), help="plant a leak in one, to see that it is found")
    options = parser.parse_args()
    failed = []
    for name in options.only or attacks():
        began = time.monotonic()
        count = max(1, round(whole_count(name) * options.share))
        plant = ["--plant"] if name == options.plant else []
        status = subprocess.run(command(name, "--count", str(count), "--seed", str(options.seed), *plant)).returncode
        print(f"    {time.monotonic() - began:.0f} s, status {status}", flush=True)
        if status:
            failed.append(name)
    print(f"attacks with seed {options.seed}: {', '.join(failed) + ' FAILED' if failed else 'nothing got through'}")
    return int(bool(failed))
