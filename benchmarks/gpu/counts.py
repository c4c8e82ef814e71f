"""What one forward pass asks of the device: operators and waits, on a GPU kernels as well."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks import instances, semantic
from benchmarks.case import Forms
from benchmarks.counting import count
from benchmarks.gpu.steps import Settings, Step
from pointrend_ext.layers import forms_for

__all__ = ["counted", "kernels", "steps"]

Build = Callable[[str], Forms]


def counted(build: Build, settings: Settings) -> dict[str, Any]:
    """Count operators of the original, of ours for this device, and of ours for the other kind."""
    forms = build(settings.device)
    for run in forms.run.values():
        run()  # what is set up once does not count
    found = {"upstream": count(forms.run["upstream"]).as_dict()}
    for kind in ("cpu", "cuda"):
        with forms_for(kind):
            found[f"ours for {kind}"] = count(forms.run["ours"]).as_dict()
    return found


def kernels(build: Build, settings: Settings) -> dict[str, Any]:
    """Return the waits that the driver reports, kernels launched, and the three slowest."""
    forms = build(settings.device)
    return {name: _profiled(run) for name, run in forms.run.items()}


def _profiled(run: Callable[[], Any]) -> dict[str, Any]:
    run()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = sum("synchroniz" in str(warning.message) for warning in caught)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        run()
        torch.cuda.synchronize()
    launched = [x for x in record.key_averages() if x.device_type == DeviceType.CUDA]
    launched.sort(key=lambda x: x.self_device_time_total, reverse=True)
    slowest = {x.key[:60]: round(x.self_device_time_total / 1000, 3) for x in launched[:3]}
    return {"waits": waits, "kernels": sum(x.count for x in launched), "slowest ms": slowest}


def steps(*, tiny: bool) -> Iterator[Step]:
    """Return part (c): the instance head at few and many regions, the semantic head both ways."""
    for regions, classes in [(2, 3)] if tiny else [(10, 80), (100, 80)]:
        build = partial(
            instances.build, num_regions=regions, num_classes=classes, steps=2 if tiny else 5
        )
        yield from _both(f"head_R{regions}_C{classes}", build)
    for as_labels in (True, False):
        name = f"{'labels' if as_labels else 'logits'}_19_classes"
        size_px = (64, 96) if tiny else (1024, 2048)
        build = partial(semantic.build, draw=semantic.smooth, as_labels=as_labels, size_px=size_px)
        yield from _both(name, partial(build, num_classes=19))


def _both(name: str, build: Build) -> Iterator[Step]:
    yield Step("counts", f"operators_{name}", 10, partial(counted, build))
    yield Step("counts", f"kernels_{name}", 10, partial(kernels, build), needs_cuda=True)
