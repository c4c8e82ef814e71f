"""Evaluations as text, JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

__all__ = ["TASK_TITLES", "shown_metrics", "write_csv", "write_json", "written_tables"]

TASK_TITLES = {
    "bbox": "Box AP",
    "segm": "Mask AP",
    "boundary": "Boundary AP",
    "ap_star": "AP*",
    "sem_seg": "Label maps",
}
_ALSO_LISTED = ("AP50", "AP75", "AP85", "AP90", "AP95", "AP85-95")
_COLUMNS = ("task", "metric", "model", "value", "low", "high", "against", "difference",
            "difference_low", "difference_high")  # fmt: skip


def shown_metrics(scores: Mapping[str, Any]) -> list[str]:
    """Leave out single classes and most single IoU thresholds.

    Args:
        scores: by metric.
    """
    return [name for name in scores if name in _ALSO_LISTED or not _is_detail(name)]


def written_tables(evaluation: Mapping[str, Any]) -> str:
    """Write the scores as tables for a terminal, one per task.

    Args:
        evaluation: from ``evaluate_files``.

    Returns:
        Models side by side, each difference from the first behind them; a difference whose interval
        excludes 0 has a star.
    """
    names = [model["name"] for model in evaluation["models"]]
    others = [entry["model"] for entry in evaluation["differences"]]
    titles = ["", *names, *(f"{other} - {names[0]}" for other in others)]
    parts = []
    for task, first in evaluation["models"][0]["scores"].items():
        rows = []
        for metric in shown_metrics(first):
            cells = [_cell(model["scores"][task][metric]) for model in evaluation["models"]]
            for entry in evaluation["differences"]:
                cells.append(_cell(entry["scores"][task].get(metric), signed=True))
            rows.append([metric, *cells])
        table = tabulate(rows, headers=titles, tablefmt="simple", disable_numparse=True)
        parts.append(f"{TASK_TITLES[task]} on {evaluation['data_set']['name']}\n{table}\n")
    intervals = evaluation["intervals"]
    if intervals["draws"]:
        parts.append(
            f"[{100 * intervals['level']:g} % intervals from {intervals['draws']} draws of the "
            f"{evaluation['data_set']['num_images']} images; * the difference excludes 0]\n"
        )
    return "\n".join(parts)


def write_json(evaluation: Mapping[str, Any], path: Path) -> None:
    """Write everything; what there is not is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evaluation, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(evaluation: Mapping[str, Any], path: Path) -> None:
    """Write all scores, one row per task, metric and model."""
    differences = {entry["model"]: entry for entry in evaluation["differences"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for model in evaluation["models"]:
            entry = differences.get(model["name"])
            for task, scores in model["scores"].items():
                for metric, found in scores.items():
                    other = entry["scores"][task].get(metric, {}) if entry else {}
                    row = [task, metric, model["name"], *_numbers(found)]
                    writer.writerow([*row, entry["against"] if entry else "", *_numbers(other)])


def _is_detail(name: str) -> bool:
    return "-" in name or (name.startswith("AP") and name[2:].isdigit())


def _cell(found: Mapping[str, float | None] | None, *, signed: bool = False) -> str:
    if not found or found["value"] is None:
        return "-"
    sign = "+" if signed else ""
    text = f"{found['value']:{sign}.2f}"
    if found["low"] is None:
        return text
    star = " *" if signed and (found["low"] > 0 or found["high"] < 0) else ""
    return f"{text} [{found['low']:{sign}.2f}, {found['high']:{sign}.2f}]{star}"


def _numbers(found: Mapping[str, float | None]) -> list[float | str]:
    values = (found.get(key) for key in ("value", "low", "high"))
    return ["" if value is None else value for value in values]
