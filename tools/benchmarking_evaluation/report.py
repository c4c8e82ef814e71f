"""The benchmark of evaluation as JSON and as a Markdown table."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import detectron2
from benchmarking.report import machine

__all__ = ["described_machine", "markdown", "write_results"]

_PACKAGES = ("pycocotools", "faster-coco-eval", "numpy")
_TITLES = (
    "case", "images", "objects", "predictions", "Detectron2 s", "ours s", "ratio",
    "MiB Detectron2 / ours", "with Boundary AP s", "MiB", "equality",
)  # fmt: skip


def described_machine() -> dict[str, str]:
    """Return the processor and the versions that matter, without naming the machine."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {**machine("cpu"), "detectron2": detectron2.__version__, **versions}


def write_results(folder: Path, report: dict[str, Any]) -> None:
    """Write ``results.json`` and ``results.md``.

    Args:
        folder: made if it is not there.
        report: ``machine``, ``command``, ``threads``, ``rounds``, ``backend`` and ``rows``, see
            ``tools/benchmark_evaluation.py``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(markdown(report), encoding="utf-8")


def markdown(report: dict[str, Any]) -> str:
    """Return the table of a report."""
    about = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    cores = "1 core" if report["threads"] == 1 else f"{report['threads']} cores"
    lines = [
        f"{about}; {cores}; medians of {report['rounds']} interleaved rounds, fastest to slowest "
        f"in brackets. Detectron2's evaluator computes with {report['backend']}. Command: "
        f"`{report['command']}`.",
        "",
        "| " + " | ".join(_TITLES) + " |",
        "|" + "---|" * len(_TITLES),
        *(_line(row) for row in report["rows"]),
    ]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    seconds, mib = row["seconds"], row["peak_mib"]
    cells = [
        row["case"],
        *(str(row["counts"][key]) for key in ("images", "objects", "predictions")),
        _time(seconds["detectron2"]),
        _time(seconds["ours"]),
        f"**{row['ratio']:.1f}**",
        f"{mib['detectron2']:.0f} / {mib['ours']:.0f}",
        _time(seconds["ours_boundary"]),
        f"{mib['ours_boundary']:.0f}",
        row["equality"],
    ]
    return "| " + " | ".join(cells) + " |"


def _time(x: dict[str, float]) -> str:
    return f"{x['median']:.2f} [{x['low']:.2f}, {x['high']:.2f}]"
