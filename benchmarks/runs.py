"""Training runs side by side: their final metrics in one table, their losses in one picture.

It reads the ``metrics.json`` that Detectron2 writes to the ``OUTPUT_DIR`` of a run, and writes
``runs.json`` (what the table shows), ``results.md`` (the table) and ``losses.png``.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, dumps, markdown_table
from pointrend_ext.engine.command_line import named_path
from pointrend_ext.engine.metrics_file import last_results, loss_curves

__all__ = ["main", "shown_value", "summarize", "table"]

CLASS_METRICS = ("IoU", "TrimapIoU1", "TrimapIoU3", "TrimapIoU5", "BoundaryIoU", "BoundaryF")
PANOPTIC_METRICS = ("PQ", "PQ_th", "PQ_st", "BoundaryPQ", "BoundaryPQ_th", "BoundaryPQ_st")
FEW_CLASS_METRICS = ("IoU", "BoundaryIoU")
_MOST_IN_A_CELL = 4

Summary = Mapping[str, Any]
"""``{"results": {metric: value}}``, of repeated runs with ``"ranges": {metric: [lowest, highest]}``
as well, and with ``"cost"``, see ``costs``, if that was measured."""


def summarize(folders: Sequence[Path]) -> dict[str, Any]:
    """Summarize the last evaluation of a run, or of repetitions of one with other seeds."""
    runs = [
        {name: round(value, 2) for name, value in last_results(folder).items() if _is_shown(name)}
        for folder in folders
    ]
    if len(runs) == 1:
        return {"results": runs[0]}
    values = {m: [run[m] for run in runs] for m in runs[0] if all(m in run for run in runs)}
    return {
        "results": {m: round(sum(v) / len(v), 2) for m, v in values.items()},
        "ranges": {m: [min(v), max(v)] for m, v in values.items()},
    }


def _is_shown(name: str) -> bool:
    """Whether a table may show a metric: AP and PQ but for single classes, and of semantics."""
    task, _, metric = name.partition("/")
    if task == "panoptic_seg":
        return metric in PANOPTIC_METRICS
    if task == "sem_seg":
        return metric.partition("-")[0].removeprefix("m") in CLASS_METRICS
    return metric.startswith("AP") and not metric.startswith("AP-")


def costs(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the parameters and the time per image of models, from ``benchmarks.models``.

    Raises:
        ValueError: one was not measured.
    """
    report = Report.read(folder)
    row = report.rows[0]
    absent = [name for name in names if name not in row.parameters]
    if absent:
        known = list(row.parameters)
        raise ValueError(f"{folder} has {known}, not {absent[0]!r}: models and runs need one name.")
    how = {"image": row.case, "threads": row.threads, "processor": report.machine["processor"]}
    return {
        name: {
            "parameters": row.parameters[name],
            "seconds_per_image": round(row.seconds[name].median, 4),
            **how,
        }
        for name in names
    }


def table(summaries: Mapping[str, Summary]) -> str:
    """Return a Markdown table: a row per run, a column per metric that all runs have.

    Of panoptic models there is PQ and no other column. Of semantic models it has a row per class,
    and every run in each cell: per class there are too many metrics for columns. If all have costs,
    a row per run with these and the means over the classes comes first, in a table of its own; so
    it does if some were repeated, and of more than four runs it is then the only table.
    """
    results = [summary["results"] for summary in summaries.values()]
    common = [m for m in results[0] if all(m in run for run in results)]
    if "panoptic_seg/PQ" in common:
        names = [f"panoptic_seg/{m}" for m in PANOPTIC_METRICS]
        return _run_table(summaries, [m for m in names if m in common])
    if "sem_seg/mIoU" not in common:
        return _run_table(summaries, common)
    means = [f"sem_seg/m{m}" for m in CLASS_METRICS if f"sem_seg/m{m}" in common]
    is_repeated = any("ranges" in summary for summary in summaries.values())
    if is_repeated and len(results) > _MOST_IN_A_CELL:
        return _run_table(summaries, means)
    has_costs = all("cost" in summary for summary in summaries.values())
    first = f"{_run_table(summaries, means)}\n" if has_costs or is_repeated else ""
    return first + _class_table(summaries)


def _run_table(summaries: Mapping[str, Summary], metrics: Sequence[str]) -> str:
    has_costs = all("cost" in summary for summary in summaries.values())
    tasks = ("sem_seg", "panoptic_seg")  # which their metrics tell by themselves
    short = [m.partition("/")[2] if m.partition("/")[0] in tasks else m for m in metrics]
    titles = ["run", *short]
    rows = []
    for name, summary in summaries.items():
        row = [name, *(shown_value(summary, metric) for metric in metrics)]
        if has_costs:
            cost = summary["cost"]
            row += [f"{cost['parameters'] / 1e6:.2f}", f"{cost['seconds_per_image']:.3f}"]
        rows.append(row)
    return markdown_table([*titles, *(["parameters (M)", "s per image"] * has_costs)], rows)


def shown_value(summary: Summary, metric: str) -> str:
    """Return a value in words: of repeated runs the mean, with the lowest and highest."""
    return _in_words(summary, metric, digits=2)


def _in_words(summary: Summary, metric: str, digits: int) -> str:
    value = f"{summary['results'][metric]:.{digits}f}"
    if "ranges" not in summary:
        return value
    lowest, highest = summary["ranges"][metric]
    return f"{value} ({lowest:.1f} to {highest:.1f})"


def _class_table(summaries: Mapping[str, Summary]) -> str:
    results = [summary["results"] for summary in summaries.values()]
    is_repeated = any("ranges" in summary for summary in summaries.values())
    # a cell has every run
    wanted = CLASS_METRICS if len(results) <= 2 and not is_repeated else FEW_CLASS_METRICS
    metrics = [m for m in wanted if all(f"sem_seg/m{m}" in run for run in results)]
    prefix = "sem_seg/IoU-"
    endings = {n.removeprefix(prefix): n[len(prefix) - 1 :] for n in results[0] if prefix in n}
    rows = []
    for label, ending in {"mean": "", **endings}.items():
        names = [f"sem_seg/{m}{ending}" if ending else f"sem_seg/m{m}" for m in metrics]
        cells = [[_in_words(run, name, digits=1) for run in summaries.values()] for name in names]
        rows.append([label, *map(" / ".join, cells)])
    return markdown_table([" / ".join(summaries), *metrics], rows)


def plot_losses(runs: Mapping[str, Sequence[Path]], path: Path) -> None:
    """Draw a curve per folder, those of one name in one colour, a panel per loss."""
    from matplotlib.figure import Figure

    curves = [
        (f"C{number}", loss_curves(folder))
        for number, folders in enumerate(runs.values())
        for folder in folders
    ]
    names = list(dict.fromkeys(name for _, losses in curves for name in losses))
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for color, losses in curves:
            axes.plot(*np.reshape(losses.get(name, []), (-1, 2)).T, color, linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    for number, name in enumerate(runs):
        axes.plot([], [], f"C{number}", label=name)
    figure.legend(fontsize=7, loc="outside lower center", ncols=len(runs))
    figure.savefig(path, dpi=100)


def main(words: Sequence[str] | None = None) -> None:
    """Write the report, and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs", description=__doc__)
    parser.add_argument(
        "--run",
        type=named_path,
        action="append",
        required=True,
        metavar="NAME=FOLDER",
        help="a run's name and its OUTPUT_DIR; repeat for every run. Runs of one name, trained "
        "with other seeds, become one row of means, with the lowest and highest value",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the report")
    help_ = "--output of benchmarks.models for models of the same names: adds what they cost"
    parser.add_argument("--costs", type=Path, metavar="FOLDER", help=help_)
    args = parser.parse_args(words)
    folders: dict[str, list[Path]] = {}
    for name, folder in args.run:
        folders.setdefault(name, []).append(folder)
    summaries = {name: summarize(own) for name, own in folders.items()}
    if args.costs:
        for name, cost in costs(args.costs, list(summaries)).items():
            summaries[name]["cost"] = cost
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "runs.json").write_text(dumps(summaries))
    (args.output / "results.md").write_text(table(summaries))
    plot_losses(folders, args.output / "losses.png")
    print(table(summaries), end="")


if __name__ == "__main__":
    main()
