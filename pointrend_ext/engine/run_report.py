"""Training runs compared: loss curves as a picture, final metrics as a table, both as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pointrend_ext.engine.side_by_side import last_results, read_metrics

__all__ = ["metrics_table", "read_costs", "summarize_run", "write_run_report"]

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
_FEW_CLASS_METRICS = ("IoU", "BoundaryIoU")
_COST_TITLES = ("parameters (M)", "s per image")
_MAX_CURVE_POINTS = 100


def write_run_report(
    runs: Mapping[str, Path], output_dir: Path, *, costs_file: Path | None = None
) -> None:
    """Write ``runs.json``, ``results.md`` and ``losses.png``.

    Args:
        runs: names of runs and their ``OUTPUT_DIR``, each with a ``metrics.json``.
        output_dir: created.
        costs_file: see ``read_costs``; adds parameters and time to the table.

    Raises:
        FileNotFoundError: a run without ``metrics.json``.
        ValueError: a run that was never evaluated, or that ``costs_file`` does not have.
    """
    summaries = {name: summarize_run(folder) for name, folder in runs.items()}
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


def metrics_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table: a row per run, a column per metric that all runs have.

    Of semantic models it has a row per class, and every run in each cell: per class there are too
    many metrics for columns. If all have costs, a row per run with these and the means over the
    classes comes first, in a table of its own.

    Args:
        summaries: by name, from ``summarize_run``, each with or without a ``"cost"`` as in
            ``read_costs``.
    """
    common = set.intersection(*(set(s["results"]) for s in summaries.values()))
    has_costs = all("cost" in summary for summary in summaries.values())
    if "sem_seg/mIoU" in common:
        means = [f"sem_seg/m{m}" for m in _CLASS_METRICS if f"sem_seg/m{m}" in common]
        overview = f"{_run_table(summaries, means, has_costs)}\n" if has_costs else ""
        return overview + _class_table(summaries, common)
    first = next(iter(summaries.values()))["results"]
    metrics = [m for m in first if m in common and not m.split("/")[1].startswith("AP-")]
    return _run_table(summaries, metrics, has_costs)


def _run_table(
    summaries: Mapping[str, Mapping[str, Any]], metrics: Sequence[str], has_costs: bool
) -> str:
    titles = [metric.removeprefix("sem_seg/") for metric in metrics]
    rows = [["run", *titles, *(_COST_TITLES if has_costs else ())]]
    rows.append(["---"] * len(rows[0]))
    for name, summary in summaries.items():
        row = [name, *(f"{summary['results'][m]:.2f}" for m in metrics)]
        if has_costs:
            cost = summary["cost"]
            row += [f"{cost['parameters'] / 1e6:.2f}", f"{cost['seconds_per_image']:.3f}"]
        rows.append(row)
    return _markdown(rows)


def _class_table(summaries: Mapping[str, Mapping[str, Any]], common: Set[str]) -> str:
    results = [summary["results"] for summary in summaries.values()]
    wanted = _CLASS_METRICS if len(results) <= 2 else _FEW_CLASS_METRICS  # a cell has every run
    metrics = [m for m in wanted if f"sem_seg/m{m}" in common]
    prefix = "sem_seg/IoU-"
    classes = [name.removeprefix(prefix) for name in results[0] if name.startswith(prefix)]
    lines = [[" / ".join(summaries), *metrics], ["---"] * (len(metrics) + 1)]
    for label, suffix in [("mean", None), *((name, name) for name in classes)]:
        names = [f"sem_seg/m{m}" if suffix is None else f"sem_seg/{m}-{suffix}" for m in metrics]
        lines.append([label, *(" / ".join(f"{r[n]:.1f}" for r in results) for n in names)])
    return _markdown(lines)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


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
