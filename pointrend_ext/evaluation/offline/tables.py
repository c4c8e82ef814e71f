"""Evaluations as text and CSV."""

import csv
from dataclasses import astuple
from pathlib import Path

from tabulate import tabulate

from pointrend_ext.evaluation.offline.record import Evaluation, Score

TASK_TITLES = {
    "bbox": "Box AP",
    "segm": "Mask AP",
    "boundary": "Boundary AP",
    "mask_quality": "Masks of given boxes",
    "ap_star": "AP*",
    "sem_seg": "Label maps",
    "panoptic_seg": "Panoptic segments",
}
_ALSO_LISTED = ("AP50", "AP75", "AP85", "AP90", "AP95", "AP85-95")
_COLUMNS = ("task", "metric", "model", "value", "low", "high", "against", "difference",
            "difference_low", "difference_high")  # fmt: skip
_NOTHING = Score(None)


def score_rows(evaluation: Evaluation, task: str) -> list[tuple[str, list[Score], list[Score]]]:
    """Return what a table of a task shows; single classes and most IoU thresholds are left out.

    Returns:
        Per metric its name, the score of each model, and the difference of each model but the
        first.
    """
    return [
        (
            metric,
            [model.scores[task][metric] for model in evaluation.models],
            [d.scores[task].get(metric, _NOTHING) for d in evaluation.differences],
        )
        for metric in evaluation.models[0].scores[task]
        if task == "mask_quality" or metric in _ALSO_LISTED or not _is_detail(metric)
    ]


def written_tables(evaluation: Evaluation) -> str:
    """Write the scores as tables for a terminal, one per task, below what is to be noticed.

    Models stand side by side, behind them each difference from the first, with a star if its
    interval excludes 0.
    """
    titles = ["", *(model.name for model in evaluation.models)]
    titles += [f"{d.model} - {d.against}" for d in evaluation.differences]
    notices = "".join(f"Notice: {notice}\n" for notice in evaluation.notices)
    parts = [notices] if notices else []
    for task in evaluation.models[0].scores:
        rows = [
            [metric, *map(_cell, scores), *(_cell(d, signed=True) for d in differences)]
            for metric, scores, differences in score_rows(evaluation, task)
        ]
        table = tabulate(rows, headers=titles, tablefmt="simple", disable_numparse=True)
        parts.append(f"{TASK_TITLES[task]} on {evaluation.data_set.name}\n{table}\n")
    intervals = evaluation.intervals
    if intervals.draws:
        parts.append(
            f"[{100 * intervals.level:g} % intervals from {intervals.draws} draws of the "
            f"{evaluation.data_set.num_images} images; * the difference excludes 0]\n"
        )
    return "\n".join(parts)


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write all scores, one row per task, metric and model."""
    differences = {entry.model: entry for entry in evaluation.differences}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for model in evaluation.models:
            entry = differences.get(model.name)
            for task, scores in model.scores.items():
                for metric, score in scores.items():
                    row = [task, metric, model.name, *astuple(score), entry and entry.against]
                    gain = entry.scores[task].get(metric, _NOTHING) if entry else _NOTHING
                    writer.writerow([*row, *astuple(gain)])


def _is_detail(name: str) -> bool:
    return "-" in name or (name.startswith("AP") and name[2:].isdigit())


def _cell(score: Score, *, signed: bool = False) -> str:
    star = "*" if signed and score.side_of_zero else ""
    words = (score.text(signed=signed), score.interval_text(signed=signed), star)
    return " ".join(filter(None, words))
