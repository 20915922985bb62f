"""Prove released ComfyUI hosts, one after the other, each with its own pins: a table, docs/hosts.md.

    python scripts/with_env.py tools/run.py hosts.prove [VERSION ...] [--history CLONE] [--cache FOLDER]

Each version is taken out of the history of a clone of ComfyUI, with an environment that shares this interpreter's
packages (torch above all) and has that version's pins on top: half a GB each. There the pack's requirements change no
package; it starts as a server, knows every node of the pack and runs the prompts of workflows/api; the method equals
the recordings; the tests of the nodes pass.
Ends with status 1 when anything fails.
"""

import argparse
import os
import platform
import re
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from face_anonymizer.modules.host.location import PACK, has_accelerator
from face_anonymizer.tools.hosts.releases import (
    Release,
    ask,
    install,
    installed,
    make_environment,
    read_pins,
    read_releases,
    write_checkout,
)
from face_anonymizer.tools.hosts.run_graphs import STEPS, run_graphs

VERSIONS = ("0.23.0", "0.29.0", "0.30.0", "0.33.0")
PARITY = ("tests/host/test_parity.py",)
TESTS = (
    "tests/host/test_nodes.py",
    "tests/host/test_layouts.py",
    "tests/host/test_saving_nodes.py",
    "tests/host/test_model_socket.py",
    "tests/host/test_one_node.py",
    "tests/host/test_anonymize_photo.py",
)
PAGE = PACK / "docs" / "hosts.md"
CHECKS = ("loads as a server", "graphs", "parity", "tests of the nodes", "seconds")
SHOWN = ("comfyui-frontend-package", "comfy-kitchen", "comfy-aimdo")


class Proof(NamedTuple):
    """What one host did. checks: what stands in the table, by its head; faults: what failed, a line each."""

    release: Release
    packages: dict[str, str]
    checks: dict[str, str]
    faults: list[str]


def prove(release: Release, clone: Path, cache: Path) -> Proof:
    """Everything of one host; what fails does not stop the rest."""
    began, host = time.monotonic(), cache / release.version / "ComfyUI"
    if not host.is_dir():
        for name in write_checkout(clone, release.commit, host):
            print(f"  left out, as {clone} has lost it: {name}")
    requirements = host / "requirements.txt"
    python = make_environment(host.with_name("venv"), [requirements])
    before = installed(python)
    install(python, [PACK / "requirements.txt"])
    changed = sorted(before ^ installed(python))
    pins = read_pins(requirements.read_text(encoding="utf-8"))
    versions = ask(python, "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))", *pins)
    packages = dict(zip(pins, versions.split(), strict=True))
    print(f"  imported: {', '.join(f'{name} {version}' for name, version in packages.items())}", flush=True)

    os.environ["COMFYUI_PATH"] = str(host)  # what the server and the tests look for
    loads, graphs, faults = run_graphs(python, release.version)
    print(f"  {loads}, graphs: {graphs}", flush=True)
    parity, output, failed = run_tests(python, PARITY)
    tests, _, more = run_tests(python, TESTS)
    told = (loads, graphs, f"{parity}; {largest_differences(output)}", tests, f"{time.monotonic() - began:.0f}")
    checks = dict(zip(CHECKS, told, strict=True))
    faults += [f"{name} is {packages[name]}, not {pin}" for name, pin in pins.items() if packages[name] != pin]
    faults += [f"the pack's requirements change {package}" for package in changed]
    faults += failed + more
    print(f"  {checks}", *faults, sep="\n  ", flush=True)
    return Proof(release, packages, checks, faults)


def run_tests(python: Path, files: tuple[str, ...]) -> tuple[str, str, list[str]]:
    """Counts as text ("18 of 18"), what the tests printed, and those that did not pass; a skipped one did not."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [str(python), "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"--junitxml={results}", *files]
        done = subprocess.run(command, cwd=PACK, capture_output=True, text=True)
        if not results.is_file():
            return "none", done.stdout, [f"pytest: {(done.stderr or done.stdout).strip()[-500:]}"]
        cases = list(ElementTree.parse(results).iter("testcase"))
    bad = [(case, part) for case in cases for part in case if part.tag in ("failure", "error", "skipped")]
    faults = [f"{case.get('name')}: {part.get('message', '')[:300]}" for case, part in bad]
    counts = f"{len(cases) - len(bad)} of {len(cases)}"
    return counts, done.stdout, faults or [f"pytest ended with status {done.returncode}"] * (done.returncode != 0)


def largest_differences(output: str) -> str:
    """Of what the parity tests print: the largest difference of sampled latents, and what is nearest to its bound."""
    found = re.findall(r"^(.+?): ([\d.e+-]+) \(bound ([\d.e+-]+)\)", output, re.MULTILINE)
    sampled = [float(value) for name, value, _ in found if name.startswith(("pipeline", "full flow"))]
    share, name = max(((float(value) / float(bound), name) for name, value, bound in found), default=(0.0, "nothing"))
    return f"latents {max(sampled, default=float('nan')):.1e}; {name}: {share:.0%} of its bound"


def page(proofs: list[Proof]) -> str:
    """docs/hosts.md: the command, a row a host, and what failed below the table."""
    names = [name.removeprefix("comfyui-").removesuffix("-package") for name in SHOWN]
    rows = [["ComfyUI", "released", *names, *CHECKS], ["---"] * (2 + len(SHOWN) + len(CHECKS))]
    faults = [f"- {proof.release.version}: {' '.join(fault.split())}" for proof in proofs for fault in proof.faults]
    for release, packages, checks, failed in proofs:
        told = [{**packages, **checks}.get(name, "not reached") for name in (*SHOWN, *CHECKS)]
        rows.append([f"{release.version} FAILS" if failed else release.version, release.date, *told])
    table = "\n".join([*(f"| {' | '.join(row)} |" for row in rows), *([""] if faults else []), *faults])
    command = " ".join(["tools/run.py", "hosts.prove", *(proof.release.version for proof in proofs)])
    return f"""# ComfyUI hosts that are proven

`python scripts/with_env.py {command}`
(Python {platform.python_version()}, torch {metadata.version("torch")}, on the {"GPU" if has_accelerator() else "CPU"})

Each host is the commit that gave the release its number, with the packages that its requirements.txt pins; those of the
pack change none of them. *Loads*: the pack's nodes in /object_info of a running server. *Graphs*:
prompts of workflows/api that ran there with the demo model
in {STEPS} steps. *Parity*: {" ".join(PARITY)} against recordings of the official code; the largest difference of
sampled latents, and the figure that comes nearest to its bound. *Tests*:
{", ".join(TESTS)}.

{table}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS, metavar="VERSION")
    parser.add_argument("--history", type=Path, default=Path("~/comfy/ComfyUI"), help="a clone of ComfyUI")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/face_anonymizer/hosts"))
    options = parser.parse_args()
    clone, cache = options.history.expanduser(), options.cache.expanduser().absolute()
    releases = read_releases(clone)
    if unknown := [version for version in options.versions if version not in releases]:
        parser.error(f"{clone} has no {', '.join(unknown)}; it has {', '.join(releases)}")
    proofs = []
    for release in (releases[version] for version in options.versions):
        print(f"{release.version} ({release.date}, {release.commit[:10]}):", flush=True)
        try:
            proofs.append(prove(release, clone, cache))
        except (SystemExit, OSError, subprocess.CalledProcessError) as failed:
            proofs.append(Proof(release, {}, {}, [str(failed)]))
        PAGE.write_text(page(proofs), encoding="utf-8")  # after each: what is done stands, whatever comes
    print(f"{PAGE} is written. {cache} may be deleted.")
    return int(any(proof.faults for proof in proofs))
