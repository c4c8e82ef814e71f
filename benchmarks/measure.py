"""Time of several forms of one computation in turn, and memory of one."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "MEMORY_ENVIRONMENT",
    "Timing",
    "peak_extra_mib",
    "status_kib",
    "time_interleaved",
    "timed",
]

MEMORY_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**18)}
"""For glibc, from the start of a process whose memory is measured."""


@dataclass(frozen=True)
class Timing:
    """Wall-clock time of one form, in seconds.

    Attributes:
        median: of all rounds but the first.
        low: the fastest of them.
        high: the slowest of them.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def time_interleaved(clocks: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Timing]:
    """Run every form once per round, in turn.

    Args:
        clocks: by name; each runs its form once and returns the seconds that it took.
        rounds: measured rounds; one more comes first and does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(rounds + 1):
        for name, clock in clocks.items():
            seconds[name].append(clock())
    return {
        name: Timing(statistics.median(x[1:]), min(x[1:]), max(x[1:]))
        for name, x in seconds.items()
    }


def timed(form: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Return the seconds that one call took, and its result; CUDA events time a GPU."""
    if device == "cpu":
        begin = time.perf_counter()
        result = form()
        return time.perf_counter() - begin, result
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    result = form()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop) / 1000, result


def peak_extra_mib(form: Callable[[], Any], device: str) -> float:
    """Return by how much memory rises above its level before a call, in MiB, the result included.

    On a CPU that is the high-water mark of resident memory, reset before the call. The process must
    have been started with ``MEMORY_ENVIRONMENT``: blocks of 256 KiB and more are then given back to
    the system as soon as they are free, and what the allocator keeps for later does not count. On a
    GPU it is that of PyTorch's allocator.
    """
    gc.collect()
    if device == "cpu":
        before = status_kib("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        result = form()
        peak = status_kib("VmHWM")
        del result
        return (peak - before) / 1024
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    form()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def status_kib(key: str) -> int:
    """Return a size of this process, such as "VmHWM"."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
