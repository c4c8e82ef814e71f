"""Final metrics of training runs as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

__all__ = ["metrics_table"]

_CLASS_METRICS = ("IoU", "TrimapIoU1", "TrimapIoU3", "TrimapIoU5", "BoundaryIoU", "BoundaryF")
_FEW_CLASS_METRICS = ("IoU", "BoundaryIoU")
_COST_TITLES = ("parameters (M)", "s per image")


def metrics_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table: a row per run, a column per metric that all runs have.

    Of semantic models it has a row per class, and every run in each cell: per class there are too
    many metrics for columns. If all have costs, a row per run with these and the means over the
    classes comes first, in a table of its own; if some were repeated, that is the only table.

    Args:
        summaries: by name, from ``summarize_runs``, each with or without a ``"cost"`` as in
            ``read_costs``.
    """
    common = set.intersection(*(set(s["results"]) for s in summaries.values()))
    has_costs = all("cost" in summary for summary in summaries.values())
    if "sem_seg/mIoU" in common:
        means = [f"sem_seg/m{m}" for m in _CLASS_METRICS if f"sem_seg/m{m}" in common]
        if any("ranges" in summary for summary in summaries.values()):
            return _run_table(summaries, means, has_costs)
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
        row = [name, *(_cell(summary, m) for m in metrics)]
        if has_costs:
            cost = summary["cost"]
            row += [f"{cost['parameters'] / 1e6:.2f}", f"{cost['seconds_per_image']:.3f}"]
        rows.append(row)
    return _markdown(rows)


def _cell(summary: Mapping[str, Any], metric: str) -> str:
    value = f"{summary['results'][metric]:.2f}"
    if "ranges" not in summary:
        return value
    lowest, highest = summary["ranges"][metric]
    return f"{value} ({lowest:.1f} to {highest:.1f})"


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
