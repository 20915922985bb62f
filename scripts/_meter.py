"""What a piece of work costs: FLOPs, seconds and the highest memory in use."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field

import torch
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Cost:
    """Of one piece of work: seconds of each repeat, FLOPs of one, the highest memory in use during any, in bytes."""

    seconds: list[float] = field(default_factory=list)
    flops: int = 0
    peak: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Meter:
    """Adds what its `with` block costs to a Cost: FLOPs when `counting`, else seconds; peak memory always.

    Memory is what torch holds on a CUDA device, else the resident memory of the process, sampled.
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
        peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else self._memory.stop()
        self.cost.peak = max(self.cost.peak, peak)

    def _synchronize(self) -> None:
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()


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
