"""Check the pack on this machine's GPU, in a few minutes: one verdict a line.

    python scripts/with_env.py scripts/check_gpu.py                              # under 8 minutes on a GPU
    python scripts/with_env.py scripts/check_gpu.py --model face-anon-simple --report report.md
    python scripts/with_env.py scripts/check_gpu.py --cpu --tiny --no-tests      # the command itself, without a GPU

ComfyUI runs as `python main.py` starts it, with dynamic VRAM where that has it. What is checked: the device, the
versions, the memory mode; the tests, where they and what they need are there; that the device computes what the CPU
does, in fp32, fp16, bf16 and fp8, as near as the dtype allows; a step and a face of a full-size model of random weights
(2.5 GB on disk for the time) beside the official formulation, their memory and speed; faces found and pasted.
With --model: whether a model folder reconstructs, swaps and anonymizes two sample faces.

PASS and FAIL are held to a bound, TOLD is not. Exit status: 0 nothing failed; 1 a FAIL; 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import _pack  # noqa: F401 - makes face_anonymizer importable

from face_anonymizer.modules.host.location import PACK, find_comfyui
from face_anonymizer.modules.host.process import find_model, prepare_host

_started = time.perf_counter()


def say(text: str) -> None:
    """A line of progress."""
    print(f"[{time.perf_counter() - _started:6.0f} s] {text}", file=sys.stderr, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--model", metavar="NAME", help="also check this model: a folder, or a name in models/face_anon"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a report to post there, without paths or names"
    )
    parser.add_argument("--cpu", action="store_true", help="on the CPU, even where there is a GPU")
    parser.add_argument("--tiny", action="store_true", help="a tiny random model instead of one of full size")
    parser.add_argument("--no-tests", action="store_true", help="without the tests")
    parser.add_argument("--steps", type=int, default=25, help="sampling steps of the face at full size (default: 25)")
    # what this command calls itself with, for the CPU's side of the comparison
    parser.add_argument("--record", nargs=2, type=Path, metavar=("MODEL", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.steps < 1:
        parser.error("--steps: at least 1")
    if args.model:
        try:
            args.model = find_model(args.model)
        except ValueError as unknown:
            parser.error(str(unknown))
    return args


def record_on_cpu(model: Path, file: Path) -> None:
    """Let a process of its own write there what the CPU makes of a model. RuntimeError says what went wrong."""
    command = [sys.executable, __file__, "--cpu", "--record", str(model), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    if done.returncode != 0:
        raise RuntimeError(f"the CPU's side failed: {done.stderr.strip().splitlines()[-1:]}")


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    prepare_host(args.cpu or bool(args.record), like_main=True)
    import comfy.utils

    comfy.utils.PROGRESS_BAR_ENABLED = False
    if args.record:
        import torch
        from safetensors.torch import save_file

        from face_anonymizer.modules.checking import parity

        with torch.inference_mode():
            save_file(parity.record(args.record[0]), args.record[1])
        return 0
    from face_anonymizer.modules.checking import running, verdicts

    checks = verdicts.Checks(lambda line: print(line, flush=True), [PACK, find_comfyui()])
    wanted = running.Wanted(args.model, args.tiny, not args.no_tests, args.steps)
    running.run_checks(checks, wanted, PACK, record_on_cpu, say)
    checks.tell("time", f"{time.perf_counter() - _started:.0f} s")
    if args.report:
        args.report.write_text(checks.report("Face Anonymizer: check of a machine"), encoding="utf-8")
    return int(checks.failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the random models are deleted then, too
    sys.exit(main())
