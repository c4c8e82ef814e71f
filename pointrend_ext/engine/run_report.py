"""Training runs compared: loss curves as a picture, final metrics as a table, both as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pointrend_ext.engine.metrics_file import last_results, read_metrics
from pointrend_ext.engine.run_table import metrics_table

__all__ = ["read_costs", "summarize_run", "summarize_runs", "write_run_report"]

LOSSES = (
    "total_loss",
    "loss_mask",
    "loss_mask_point",
    "loss_box_reg",
    "loss_cls",
    "loss_sem_seg",
    "loss_sem_seg_point",
)
_MAX_CURVE_POINTS = 100


def write_run_report(
    runs: Mapping[str, Sequence[Path]], output_dir: Path, *, costs_file: Path | None = None
) -> None:
    """Write ``runs.json``, ``results.md`` and ``losses.png``.

    Args:
        runs: names of runs and their ``OUTPUT_DIR``, each with a ``metrics.json``; several of a
            run that was repeated with other seeds.
        output_dir: created.
        costs_file: see ``read_costs``; adds parameters and time to the table.

    Raises:
        FileNotFoundError: a run without ``metrics.json``.
        ValueError: a run that was never evaluated, or that ``costs_file`` does not have.
    """
    summaries = {name: summarize_runs(folders) for name, folders in runs.items()}
    for name, cost in (read_costs(costs_file, list(runs)) if costs_file else {}).items():
        summaries[name]["cost"] = cost
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


def summarize_runs(folders: Sequence[Path]) -> dict[str, Any]:
    """Return what ``summarize_run`` does, of repetitions the means.

    These have ``"ranges": {metric: [lowest, highest]}`` as well.

    Args:
        folders: one ``OUTPUT_DIR`` or more.

    Raises:
        FileNotFoundError: see ``summarize_run``.
        ValueError: see ``summarize_run``.
    """
    summaries = [summarize_run(folder) for folder in folders]
    if len(summaries) == 1:
        return summaries[0]
    results = [summary["results"] for summary in summaries]
    values = {m: [r[m] for r in results] for m in results[0] if all(m in r for r in results)}
    curves = [summary["losses"] for summary in summaries]
    losses = {
        name: _mean_curve([curve[name] for curve in curves])
        for name in curves[0]
        if all(name in curve for curve in curves)
    }
    return {
        "results": {m: round(sum(v) / len(v), 2) for m, v in values.items()},
        "ranges": {m: [min(v), max(v)] for m, v in values.items()},
        "losses": losses,
    }


def _mean_curve(curves: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """Average curves of [iteration, value] over the iterations that all have."""
    by_iteration = [dict(curve) for curve in curves]
    return [
        [i, round(sum(curve[i] for curve in by_iteration) / len(curves), 4)]
        for i in by_iteration[0]
        if all(i in curve for curve in by_iteration)
    ]


def read_costs(path: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read what models cost.

    Args:
        path: written by ``tools/measure_models.py``.
        names: of the models wanted.

    Returns:
        By name ``{"parameters": number, "seconds_per_image": median, "image_hw": [rows, columns],
        "threads": number, "processor": text}``.

    Raises:
        ValueError: a name is missing.
    """
    report = json.loads(path.read_text())
    absent = [name for name in names if name not in report["models"]]
    if absent:
        raise ValueError(
            f"{path} measured {list(report['models'])}, not {absent[0]!r}: give models and runs "
            "the same names."
        )
    conditions = {key: report[key] for key in ("image_hw", "threads")}
    return {
        name: {
            "parameters": report["models"][name]["parameters"],
            "seconds_per_image": round(report["models"][name]["seconds"]["median"], 4),
            **conditions,
            "processor": report["machine"]["processor"],
        }
        for name in names
    }


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
