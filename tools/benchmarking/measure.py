"""Time and memory of several forms of one computation, in one process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["MEASURING_ENVIRONMENT", "Timing", "peak_extra_mib", "time_interleaved"]

MEASURING_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**18)}
"""For glibc, from the start of a process."""


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


def time_interleaved(
    forms: Mapping[str, Callable[[], Any]], *, rounds: int, device: str
) -> tuple[dict[str, Timing], dict[str, Any]]:
    """Run every form once per round, in turn.

    Args:
        forms: by name.
        rounds: measured rounds; one more comes first and does not count.
        device: "cpu" or "cuda"; CUDA events time the latter.

    Returns:
        The timings, and what each form returned in the last round.
    """
    clock = _time_cuda if device == "cuda" else _time_cpu
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    results: dict[str, Any] = {}
    for _ in range(rounds + 1):
        for name, form in forms.items():
            results[name] = None  # not two results of one form at a time
            elapsed, results[name] = clock(form)
            seconds[name].append(elapsed)
    timings = {
        name: Timing(statistics.median(x[1:]), min(x[1:]), max(x[1:]))
        for name, x in seconds.items()
    }
    return timings, results


def _time_cpu(form: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = form()
    return time.perf_counter() - start, result


def _time_cuda(form: Callable[[], Any]) -> tuple[float, Any]:
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
    have been started with ``MEASURING_ENVIRONMENT``: blocks of 256 KiB and more are then given back
    to the system as soon as they are free, and what the allocator keeps for later does not count.
    On a GPU it is that of PyTorch's allocator.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        form()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _status_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    result = form()
    peak = _status_kib("VmHWM")
    del result
    return (peak - before) / 1024


def _status_kib(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}.")
