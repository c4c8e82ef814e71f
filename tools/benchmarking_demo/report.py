"""The benchmark of the demo as JSON and as Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import detectron2
import matplotlib
from benchmarking.report import machine

from benchmarking_demo.models import ORIGINAL, OURS
from benchmarking_demo.pipelines import STAGES

__all__ = ["described_machine", "markdown", "summary", "write_results"]


def described_machine() -> dict[str, str]:
    """Return the processor and the versions that matter, without naming the machine."""
    return {
        **machine("cpu"),
        "detectron2": detectron2.__version__,
        "opencv": cv2.__version__,
        "matplotlib": matplotlib.__version__,
    }


def summary(rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Summarise the measured rounds of one form.

    Args:
        rounds: seconds by stage, of all pictures together.

    Returns:
        ``total`` with ``median``, ``low`` and ``high``, and ``stages`` with medians, in seconds.
    """
    totals = [sum(seconds.values()) for seconds in rounds]
    return {
        "total": {"median": median(totals), "low": min(totals), "high": max(totals)},
        "stages": {name: median(seconds[name] for seconds in rounds) for name in rounds[0]},
    }


def write_results(folder: Path, report: dict[str, Any]) -> None:
    """Write ``results.json`` and ``results.md``.

    Args:
        folder: made if it is not there.
        report: see ``tools/benchmark_demo.py``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(markdown(report), encoding="utf-8")


def markdown(report: dict[str, Any]) -> str:
    """Return the tables of a report."""
    about = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    lines = [
        f"{about}; medians of {report['rounds']} interleaved rounds in one process, fastest to "
        f"slowest in brackets. Command: `{report['command']}`.",
        "",
        f"{report['images']} pictures, objects from a score of {report['confidence']} on. "
        "Detectron2's demo is DefaultPredictor, Visualizer and VisImage.save in the order of "
        "demo/demo.py and demo/predictor.py of its repository (facebookresearch/detectron2).",
        "",
        "| model | threads | objects | Detectron2's demo, images/s | ours, images/s | ratio | "
        "Detectron2: read + predict + draw + write, s per image | ours | equality |",
        "|" + "---|" * 9,
        *(_line(row, report["images"]) for row in report["rows"]),
        *_from_theirs_to_ours(report["rows"]),
    ]
    for row in report["drawing"]:
        times = {name: _range(x["total"]) for name, x in row["forms"].items()}
        lines += [
            "",
            f"Pasting, drawing and writing {row['objects']} objects on a picture of "
            f"{row['width']} x {row['height']}, {row['threads']} threads: {times['detectron2']} s "
            f"with Detectron2, {times['ours']} s with ours, ratio **{row['ratio']:.1f}**.",
        ]
    return "\n".join(lines) + "\n"


def _from_theirs_to_ours(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what changes for who goes from the original in Detectron2's demo to ours in ours."""
    medians = {
        (row["model"], row["threads"], demo): form["total"]["median"]
        for row in rows
        for demo, form in row["forms"].items()
    }
    lines = []
    for threads in dict.fromkeys(row["threads"] for row in rows):
        ratio = medians[ORIGINAL, threads, "detectron2"] / medians[OURS, threads, "ours"]
        lines += [
            "",
            f"From the original PointRend in Detectron2's demo to ours in ours, {threads} threads: "
            f"**{ratio:.2f}** times as many images per second.",
        ]
    return lines


def _line(row: dict[str, Any], images: int) -> str:
    theirs, ours = row["forms"]["detectron2"], row["forms"]["ours"]
    cells = [
        row["model"],
        str(row["threads"]),
        str(row["objects"]),
        _rate(theirs["total"], images),
        _rate(ours["total"], images),
        f"**{row['ratio']:.2f}**",
        *(" + ".join(f"{x['stages'][s] / images:.3f}" for s in STAGES) for x in (theirs, ours)),
        row["equality"],
    ]
    return "| " + " | ".join(cells) + " |"


def _rate(total: Mapping[str, float], images: int) -> str:
    rates = {key: images / total[key] for key in ("median", "low", "high")}
    return f"{rates['median']:.3f} [{rates['low']:.3f}, {rates['high']:.3f}]"


def _range(total: Mapping[str, float]) -> str:
    values = [f"{total[key]:.2f}" for key in ("median", "low", "high")]
    return f"{values[0]} [{values[1]}, {values[2]}]"
