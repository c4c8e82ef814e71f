"""Time and memory of heads and whole models, and how equal they are to the original's."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import instances, models, semantic, training
from benchmarks.case import Forms
from benchmarks.gpu.steps import Settings, Step
from benchmarks.measure import peak_extra_mib, time_interleaved, timed
from pointrend_ext.layers import forms_for

__all__ = ["lowered_precision", "measured", "steps"]

Build = Callable[[str], Forms]


def measured(build: Build, settings: Settings) -> dict[str, Any]:
    """Time the forms in turn, compare their results, and take the peak of each on a GPU.

    Returns:
        Medians in milliseconds, ``ratio`` (original by ours, if both ran), extra MiB on a GPU
        (resident memory of one process tells nothing), and how the results compare.
    """
    forms = build(settings.device)
    results: dict[str, Any] = {}

    def clock(name: str) -> float:
        results[name] = None  # not two results of one form at a time
        forms.prepare(name)
        seconds, results[name] = timed(forms.run[name], settings.device)
        return seconds

    timings = time_interleaved({n: partial(clock, n) for n in forms.run}, settings.rounds)
    found: dict[str, Any] = {"ms": {n: round(1000 * t.median, 3) for n, t in timings.items()}}
    if "upstream" in timings:
        found["ratio"] = round(timings["upstream"].median / timings["ours"].median, 2)
    found["equality"] = forms.check(results)
    results.clear()
    if settings.device == "cuda":
        found["mib"] = {n: round(peak_extra_mib(x, "cuda"), 1) for n, x in forms.run.items()}
    return found


@torch.inference_mode()
def lowered_precision(build: Build, settings: Settings) -> dict[str, Any]:
    """Compare both under autocast with the original in 32 bits.

    The original's semantic head cannot run under autocast on a CPU: interpolation is in 32 bits
    there, and its points are not. Then ours is measured alone.

    Raises:
        AssertionError: ours is more than twice as far from it as the original is.
    """
    forms = build(settings.device)
    exact = forms.run["upstream"]().float()
    found: dict[str, Any] = {}
    for dtype in (torch.float16, torch.bfloat16):
        name, off = str(dtype).removeprefix("torch."), {}
        with torch.autocast(settings.device, dtype=dtype):
            off["ours"] = _mean_difference(forms.run["ours"](), exact)
            with suppress(RuntimeError):
                off["upstream"] = _mean_difference(forms.run["upstream"](), exact)
        found[name] = {n: float(f"{x:.2e}") for n, x in off.items()}
        if "upstream" in off or settings.device == "cuda":
            assert off["ours"] <= 2 * off["upstream"] + 1e-6, f"{name}: {found[name]}"
    return found


def _mean_difference(values: Tensor, exact: Tensor) -> float:
    return (values.float() - exact).abs().mean().item()


def steps(*, tiny: bool) -> Iterator[Step]:
    """Return (a) parity and (b) speed, in order of worth."""
    yield from _parity(tiny)
    for regions, classes in [(1, 1), (2, 3)] if tiny else _REGIONS_AND_CLASSES:
        build = partial(
            instances.build,
            num_regions=regions,
            num_classes=classes,
            steps=2 if tiny else 5,
            with_upstream=regions * classes <= _UPSTREAM_LIMIT,
        )
        yield _step("speed", f"head_R{regions}_C{classes}", 12, build)
    for classes in (3,) if tiny else (19, 150):
        for as_labels in (True, False):
            name = f"{'labels' if as_labels else 'logits'}_{classes}_classes"
            yield _step("speed", name, 12, _semantic(classes, as_labels, tiny))
    yield from _both_forms(tiny)
    build = partial(training.build, num_regions=2 if tiny else 64, num_classes=3 if tiny else 80)
    yield _step("speed", "training_step_of_head", 12, build)
    for batch in (1, 2) if tiny else (1, 8):
        edges = (64, 107) if tiny else (800, 1333)
        build = partial(
            models.build,
            image_file="",
            num_images=batch,
            edges_px=edges,
            num_objects=3 if tiny else 100,
        )
        yield _step("speed", f"model_batch_{batch}", 30, build)


_REGIONS_AND_CLASSES = [(100, 80), *((r, c) for c in (80, 1, 1203) for r in (1, 10, 300, 100))]
_REGIONS_AND_CLASSES = list(dict.fromkeys(_REGIONS_AND_CLASSES))
_UPSTREAM_LIMIT = 100 * 1203
"""Regions times classes; 300 x 1203 takes the original 90 GB."""


def _step(part: str, name: str, budget_s: float, build: Build) -> Step:
    return Step(part, name, budget_s, partial(measured, build))


def _by_form(build: Build, settings: Settings) -> dict[str, Any]:
    """Time ours with the forms for a CPU and for other devices: see ``layers.device_rule``."""
    run = build(settings.device).run["ours"]

    def clock(kind: str) -> float:
        with forms_for(kind):
            return timed(run, settings.device)[0]

    timings = time_interleaved({k: partial(clock, k) for k in ("cpu", "cuda")}, settings.rounds)
    return {"ms": {f"for {k}": round(1000 * t.median, 3) for k, t in timings.items()}}


def _both_forms(tiny: bool) -> Iterator[Step]:
    regions, classes, num_steps = (2, 3, 2) if tiny else (100, 80, 5)
    head = partial(instances.build, num_regions=regions, num_classes=classes, steps=num_steps)
    labels = _semantic(3 if tiny else 19, as_labels=True, tiny=tiny)
    for name, build in (("head", head), ("labels", labels)):
        yield Step("speed", f"forms_of_{name}", 12, partial(_by_form, build))


def _semantic(classes: int, as_labels: bool, tiny: bool) -> Build:
    size_px = (64, 96) if tiny else (1024, 2048)
    draw = semantic.smooth
    return partial(
        semantic.build, num_classes=classes, draw=draw, as_labels=as_labels, size_px=size_px
    )


def _parity(tiny: bool) -> Iterator[Step]:
    regions, classes, num_steps = (2, 3, 2) if tiny else (20, 80, 5)
    head = partial(instances.build, num_regions=regions, num_classes=classes, steps=num_steps)
    logits = _semantic(3 if tiny else 19, as_labels=False, tiny=tiny)
    for name, build in (("instances", head), ("semantics", logits)):
        yield _step("parity", f"parity_{name}_float32", 15, build)
        lowered = partial(lowered_precision, build)
        yield Step("parity", f"parity_{name}_autocast", 15, lowered)
