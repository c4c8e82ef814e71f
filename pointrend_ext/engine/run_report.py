"""Training runs compared: loss curves as a picture, final metrics as a table, both as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pointrend_ext.engine.side_by_side import last_results, read_metrics

__all__ = ["metrics_table", "summarize_run", "write_run_report"]

LOSSES = (
    "total_loss",
    "loss_mask",
    "loss_mask_point",
    "loss_box_reg",
    "loss_cls",
    "loss_sem_seg",
    "loss_sem_seg_point",
)
_CLASS_METRICS = ("IoU", "TrimapIoU1", "TrimapIoU3", "TrimapIoU5", "BoundaryIoU", "BoundaryF")
_MAX_CURVE_POINTS = 100


def write_run_report(runs: Mapping[str, Path], output_dir: Path) -> None:
    """Write ``runs.json``, ``results.md`` and ``losses.png``.

    Args:
        runs: names of runs and their ``OUTPUT_DIR``, each with a ``metrics.json``.
        output_dir: created.

    Raises:
        FileNotFoundError: a run without ``metrics.json``.
        ValueError: a run that was never evaluated.
    """
    summaries = {name: summarize_run(folder) for name, folder in runs.items()}
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "runs.json").write_text(json.dumps(summaries, indent=1) + "\n")
    (output_dir / "results.md").write_text(metrics_table(summaries))
    _plot_losses(summaries, output_dir / "losses.png")


def summarize_run(folder: Path) -> dict[str, Any]:
    """Return ``{"results": {metric: value}, "losses": {name: [[iteration, value], ...]}}``.

    A resumed run may have logged an iteration twice; the later record counts. Curves are thinned
    to 100 points.

    Args:
        folder: the run's ``OUTPUT_DIR``.

    Raises:
        FileNotFoundError: no ``metrics.json``.
        ValueError: no evaluation in it.
    """
    if not (folder / "metrics.json").is_file():
        raise FileNotFoundError(f"{folder} holds no metrics.json; is it the OUTPUT_DIR of a run?")
    records = {r["iteration"]: r for r in read_metrics(folder) if "total_loss" in r}
    iterations = sorted(records)
    thinned = iterations[:: max(1, -(-len(iterations) // _MAX_CURVE_POINTS))]
    losses = {
        name: [[i, round(records[i][name], 4)] for i in thinned if name in records[i]]
        for name in LOSSES
    }
    results = {name: round(value, 2) for name, value in last_results(folder).items()}
    return {"results": results, "losses": {k: v for k, v in losses.items() if v}}


def metrics_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table: a row per run, a column per metric that all runs have.

    Of semantic models it has a row per class, and every run in each cell: per class there are too
    many metrics for columns.

    Args:
        summaries: by name, from ``summarize_run``.
    """
    if all("sem_seg/mIoU" in summary["results"] for summary in summaries.values()):
        return _class_table(summaries)
    common = set.intersection(*(set(s["results"]) for s in summaries.values()))
    first = next(iter(summaries.values()))["results"]
    metrics = [m for m in first if m in common and not m.split("/")[1].startswith("AP-")]
    rows = [["run", *metrics], ["---"] * (len(metrics) + 1)]
    for name, summary in summaries.items():
        rows.append([name, *(f"{summary['results'][m]:.2f}" for m in metrics)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _class_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    results = [summary["results"] for summary in summaries.values()]
    metrics = [m for m in _CLASS_METRICS if all(f"sem_seg/m{m}" in r for r in results)]
    prefix = "sem_seg/IoU-"
    classes = [name.removeprefix(prefix) for name in results[0] if name.startswith(prefix)]
    lines = [[" / ".join(summaries), *metrics], ["---"] * (len(metrics) + 1)]
    for label, suffix in [("mean", None), *((name, name) for name in classes)]:
        names = [f"sem_seg/m{m}" if suffix is None else f"sem_seg/{m}-{suffix}" for m in metrics]
        lines.append([label, *(" / ".join(f"{r[n]:.1f}" for r in results) for n in names)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plot_losses(summaries: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names: Sequence[str] = [
        name for name in LOSSES if any(name in s["losses"] for s in summaries.values())
    ]
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for run, summary in summaries.items():
            points = summary["losses"].get(name, [])
            axes.plot([p[0] for p in points], [p[1] for p in points], label=run, linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.supxlabel("iteration", fontsize=8)
    figure.savefig(path, dpi=100)
