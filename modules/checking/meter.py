"""What a piece of work costs: FLOPs, seconds and the highest memory in use. Pure: no ComfyUI here."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.utils.flop_counter import FlopCounterMode

OURS, OFFICIAL = "ours", "official"  # the formulations that are compared, see work.py


@dataclass
class Cost:
    """What one piece of work costs.

    Args:
        seconds: of each repeat.
        flops: floating-point operations of one run.
        peak: the highest memory in use during any run, in bytes.
    """

    seconds: list[float] = field(default_factory=list)
    flops: int = 0
    peak: int = 0

    @property
    def median(self) -> float:
        """The median of the repeats, in seconds."""
        return statistics.median(self.seconds)


class Meter:
    """Adds what its `with` block costs to a Cost.

    Memory is what torch holds on a CUDA device, with the weights that ComfyUI's dynamic VRAM holds beside it; else the
    resident memory of the process, sampled.

    Args:
        cost: to add to.
        device: that the block computes on.
        counting: count FLOPs instead of seconds; the highest memory is noted either way.
    """

    def __init__(self, cost: Cost, device: torch.device, counting: bool):
        self.cost, self.device = cost, device
        # torch knows the FLOPs of its fused attention on GPUs, not on the CPU
        fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
        self.counter = FlopCounterMode(display=False, custom_mapping=fused) if counting else None

    def __enter__(self) -> Meter:
        self._synchronize()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._memory = _ResidentMemory()
        if self.counter:
            self.counter.__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *error) -> None:
        self._synchronize()
        seconds = time.perf_counter() - self._start
        if self.counter:
            self.counter.__exit__(*error)
            self.cost.flops = self.counter.get_total_flops()
        else:
            self.cost.seconds.append(seconds)
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) + _dynamic_memory()
        else:
            peak = self._memory.stop()
        self.cost.peak = max(self.cost.peak, peak)

    def _synchronize(self) -> None:
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()


def measure(
    name: str, works: dict[str, Callable], device: torch.device, repeats: int, say: Callable[[str], None]
) -> tuple[dict, dict]:
    """Run each work once to count, then all of them in turn to time.

    Args:
        name: of the work, for the lines of progress.
        works: formulation -> the work, a function of a Meter, which it enters where the measuring begins.
        device: that the work runs on.
        repeats: timed runs of each.
        say: takes lines of progress.

    Returns:
        Formulation -> Cost, and formulation -> result of its first run.
    """
    costs, results = {what: Cost() for what in works}, {}
    for what, work in works.items():
        results[what] = work(Meter(costs[what], device, counting=True))
        say(f"{name}, {what}: warm-up, {costs[what].flops / 1e12:.3f} TFLOP")
    for repeat in range(repeats):
        for what, work in works.items():
            work(Meter(costs[what], device, counting=False))
            say(f"{name}, {what}: {costs[what].seconds[-1]:.3f} s ({repeat + 1} of {repeats})")
    return costs, results


def _dynamic_memory() -> int:
    """Bytes of weights that comfy-aimdo, where a process runs with it, holds on the device past torch's allocator."""
    control = sys.modules.get("comfy_aimdo.control")
    return control.get_total_vram_usage() if control else 0


def _attention_flops(query, key, value, *_, out_shape=None, **__) -> int:
    """Both products of an attention, from the shapes [batch, heads, tokens, width] of its inputs."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])


class _ResidentMemory:
    """The peak of this process' resident memory from now until `stop`."""

    def __init__(self):
        import psutil  # of ComfyUI's requirements

        self._process = psutil.Process()
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, self._process.memory_info().rss)
            if self._done.wait(0.02):
                return

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak
