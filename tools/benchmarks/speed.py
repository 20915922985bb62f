"""Measure what one face costs on this machine: FLOPs, seconds and memory, beside the official formulation.

    python scripts/with_env.py tools/run.py benchmarks.speed                    # a full-size model of random weights
    python scripts/with_env.py tools/run.py benchmarks.speed --device cpu --weight-dtype fp32 --step-only --check
    python scripts/with_env.py tools/run.py benchmarks.speed --model NAME --measure-face --json costs.json

What is compared: see modules/checking/work.py.

Per face, before the steps, the official code runs each ReferenceNet once, as ours, but always on two images: the
source's null and conditional half, and the driving image twice. Ours runs the driving image once. To anonymize, the
official code also encodes the one picture twice with the VAE; a graph does that once. CLIP runs twice in both.

A guided step is one of those after the first: the first also projects the references' keys and values, which the
others find kept. Sums of medians leave that out; --measure-face does not.

The official attention is torch's scaled_dot_product_attention ("pytorch" here). ComfyUI takes the same on NVIDIA
GPUs, and a sub-quadratic one of its own on the CPU ("sub_quad"). The default kernel of this host and "pytorch" are
both measured. Every repeat runs both formulations in turn, after a warm-up that counts FLOPs.

Exit status: 0 done; 1 outputs differ or a bound is broken (that of time only with --check); 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from face_anonymizer.modules.checking import meter, random_model
from face_anonymizer.modules.host.location import PACK
from face_anonymizer.modules.host.process import find_model, prepare_host
from face_anonymizer.tools.busy import busy

Cost, Meter, OURS, OFFICIAL = meter.Cost, meter.Meter, meter.OURS, meter.OFFICIAL

TINY = PACK / "tests" / "fixtures" / "face_anon" / "tiny"

# A guided step of the full-size model at 64x64 latents, as a share of the official one. Counted: 0.5545, the same as
# by hand. The first step of a run, which projects the references too, is 0.58168.
FLOPS_BOUND = 0.555
TIME_BOUND = 0.45  # the same, in float32 on the CPU with ComfyUI's default attention there
DIFFERENCE_BOUND = 1e-4  # of the outputs, in float32

SEED = 0
ENCODE, REFERENCES, DECODE = "encode, VAE and CLIP", "ReferenceNets", "decode"

_started = time.perf_counter()


def say(text: str) -> None:
    """A line of progress."""
    print(f"[{time.perf_counter() - _started:6.0f} s] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def model_folder(name: str | None, dtype: torch.dtype) -> Iterator[Path]:
    """The folder to load: the named one (a path, or a name in ComfyUI's models/face_anon), else a random model."""
    if name is None:
        with tempfile.TemporaryDirectory(prefix="face_anonymizer_benchmark_") as folder:
            random_model.write_random_model(Path(folder), random_model.FULL_SIZE, dtype, SEED, say)
            yield Path(folder)
        return
    try:
        folder = find_model(name)
    except ValueError as unknown:
        raise SystemExit(str(unknown)) from None
    yield folder


def step_name(kernel: str) -> str:
    return f"guided step, {kernel} attention"


@dataclass
class Report:
    """rows: name -> formulation -> Cost. differences: kernel -> of the outputs, as a share of the largest value.

    A kernel is an attention function of the host, by name; default_kernel is the host's choice on this machine.
    """

    machine: str
    model: str
    full_size: bool  # the published architecture at 64x64 latents, for which the bounds are
    exact: bool  # computed in float32
    rows: dict[str, dict[str, Cost]] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    default_kernel: str = ""

    def add_computed_face(self, steps: int, kernel: str) -> None:
        """A row of the sum of the parts' medians."""
        parts = {ENCODE: 1, REFERENCES: 1, step_name(kernel): steps, DECODE: 1}
        row = self.rows[f"face, {steps} steps, {kernel} attention (sum of the medians)"] = {}
        for what in (OURS, OFFICIAL):
            costs = [(self.rows[part].get(what, self.rows[part][OURS]), times) for part, times in parts.items()]
            seconds = sum(cost.median * times for cost, times in costs)
            flops = sum(cost.flops * times for cost, times in costs)
            row[what] = Cost([seconds], flops, max(cost.peak for cost, _ in costs))

    def table(self) -> str:
        lines = [f"{self.machine}; {self.model}", ""]
        lines.append("| | TFLOP ours | official | ratio | s ours | official | ratio | GiB ours | official |")
        lines.append("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for name, costs in self.rows.items():
            ours, official = costs[OURS], costs.get(OFFICIAL)
            cells = [name]
            for read in (lambda cost: cost.flops / 1e12, lambda cost: cost.median):
                a, b = read(ours), read(official) if official else 0
                cells += [f"{x:.{2 if x >= 1 else 4}f}" if x else "-" for x in (a, b)]
                cells.append(f"{a / b:.3f}" if b else "-")
            cells += [f"{cost.peak / 2**30:.2f}" if cost else "-" for cost in (ours, official)]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)

    def verdicts(self, check_time: bool) -> Iterator[tuple[bool, str]]:
        """(whether it is a failure, the line to print) for each bound of each attention kernel."""
        for kernel, difference in self.differences.items():
            ours, official = (self.rows[step_name(kernel)][what] for what in (OURS, OFFICIAL))
            timed = self.full_size and self.exact and self.machine.startswith("cpu") and kernel == self.default_kernel
            for what, value, bound, applies, enforced in (
                ("difference", difference, DIFFERENCE_BOUND, self.exact, True),
                ("FLOPs", ours.flops / official.flops, FLOPS_BOUND, self.full_size, True),
                ("time", ours.median / official.median, TIME_BOUND, timed, check_time),
            ):
                word = ("PASS" if value <= bound else "FAIL") if applies else "bound does not apply"
                yield word == "FAIL" and enforced, f"{word}: {step_name(kernel)}: {what} {value:.3g}, bound {bound:g}"


def run(folder: Path, args: argparse.Namespace) -> Report:
    """Load the model in `folder` and measure everything that `args` asks for."""
    import comfy.model_management

    from face_anonymizer.modules.checking import work
    from face_anonymizer.modules.model import loading, sampling

    if args.weight_dtype not in loading.WEIGHT_DTYPES:
        raise SystemExit(f"--weight-dtype {args.weight_dtype}: one of {', '.join(loading.WEIGHT_DTYPES)} is needed.")
    device = comfy.model_management.get_torch_device()
    say("loading the model")
    with Meter(Cost(), device, counting=False) as load:
        model = loading.load_model_folder(folder, weight_dtype=args.weight_dtype)
    unet = model.unet.model
    parameters = sum(parameter.numel() for parameter in unet.diffusion_model.parameters())
    dtypes = f"weights {unet.get_dtype()}, computed in {unet.get_dtype_inference()}".replace("torch.", "")
    report = Report(
        machine=_machine(device),
        model=f"{parameters / 1e6:.0f} M parameters, {dtypes}, latents {args.latent}x{args.latent}",
        full_size=parameters > 800e6 and args.latent == 64,
        exact=unet.get_dtype_inference() == torch.float32,
        rows={"load": {OURS: load.cost}},
        default_kernel=next(iter(work.attention_kernels("default"))),
    )

    def phase(name: str, piece: Callable, formulations=(OURS, OFFICIAL)) -> dict:
        works = {what: (lambda meter, what=what: piece(what, meter)) for what in formulations}
        report.rows[name], results = meter.measure(name, works, device, args.repeats, say)
        return results

    size = args.latent * model.vae.downscale_ratio
    pixels = torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(SEED))
    if args.step_only:
        encoded = work.encode(model, pixels, OURS)
        references = work.references(model, encoded, OURS)
    else:
        encoded = phase(ENCODE, lambda what, meter: work.encode(model, pixels, what, meter))[OURS]
        references = phase(REFERENCES, lambda what, meter: work.references(model, encoded, what, meter))[OURS]
    applied = sampling.apply_references(model.unet, references)
    kernels = work.attention_kernels(args.attention)
    for name, kernel in kernels.items() if args.measure_face else ():
        piece = lambda what, meter, k=kernel: work.whole_face(model, pixels, args.steps, what, kernel=k, meter=meter)  # noqa: E731
        phase(f"face, {args.steps} steps, {name} attention", piece)
    # their states are taken: the host, too, lets go of them when memory is short
    model = model._replace(source_reference_net=None, driving_reference_net=None)
    gc.collect()
    for name, kernel in kernels.items():
        piece = lambda what, meter, k=kernel: work.guided_step(work.variant(applied, what, k), meter)  # noqa: E731
        outputs = phase(step_name(name), piece)
        report.differences[name] = work.relative(outputs[OURS], outputs[OFFICIAL])
    if args.step_only:
        return report
    phase(DECODE, lambda what, meter: work.decode(model, encoded.latents, meter), formulations=(OURS,))
    for name in kernels if not args.measure_face else ():
        report.add_computed_face(args.steps, name)
    return report


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", help="a model folder, or its name in ComfyUI's models/face_anon (default: random)")
    which.add_argument("--tiny", action="store_true", help="the tiny model of the tests")
    parser.add_argument("--latent", type=int, default=64, help="height and width in latent pixels (default: 64)")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each piece of work (default: 3)")
    parser.add_argument("--steps", type=int, default=25, help="sampling steps of the whole face (default: 25)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--measure-face", action="store_true", help="run whole faces rather than add up their parts")
    how.add_argument("--step-only", action="store_true", help="measure the guided step and nothing else")
    parser.add_argument("--device", choices=("default", "cpu"), default="default", help="default: what ComfyUI takes")
    parser.add_argument("--weight-dtype", default="default", help="as the node's: default, fp32, fp16, bf16, ...")
    parser.add_argument("--file-dtype", choices=("fp16", "fp32"), default="fp16", help="of the random model on disk")
    parser.add_argument("--attention", choices=("default", "pytorch", "both"), default="both", help="what to measure")
    parser.add_argument("--check", action="store_true", help="fail when the bound of time is broken, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    return parser.parse_args(arguments)


@busy()
def main(arguments: list[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the random model is deleted then, too
    args = parse(arguments)
    prepare_host(cpu=args.device == "cpu")
    file_dtype = {"fp16": torch.float16, "fp32": torch.float32}[args.file_dtype]
    with model_folder(str(TINY) if args.tiny else args.model, file_dtype) as folder, torch.inference_mode():
        report = run(folder, args)
    verdicts = list(report.verdicts(args.check))
    print(report.table(), "", *(line for _, line in verdicts), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")
    return int(any(failure for failure, _ in verdicts))
