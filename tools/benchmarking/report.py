"""Benchmark results as JSON, as a Markdown table and as a plot."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["machine", "write_report"]


def machine(device: str) -> dict[str, str]:
    """Describe what the numbers were measured on, without naming the machine."""
    if device == "cuda":
        processor = torch.cuda.get_device_name()
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else platform.processor()
    return {"processor": processor, "torch": torch.__version__, "python": platform.python_version()}


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write ``results.json``, ``results.md`` and ``speed.png`` into a folder.

    Args:
        folder: made if it is not there.
        report: ``machine``, ``command``, ``rounds`` and ``rows``, see ``tools/benchmark.py``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "results.md").write_text(markdown(report))
    _plot(folder / "speed.png", report["rows"])


def markdown(report: dict[str, Any]) -> str:
    """Return the tables of a report."""
    about = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    lines = [
        f"{about}, float32; medians of {report['rounds']} interleaved rounds, fastest to slowest "
        f"in brackets. Command: `{report['command']}`.",
    ]
    rows = report["rows"]
    for group in dict.fromkeys(row["group"] for row in rows):
        lines += ["", f"**{group}**", ""]
        lines += ["| case | threads | upstream s | ours s | ratio | MiB upstream/ours | equality |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_line(row) for row in rows if row["group"] == group]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    seconds, mib = row["seconds"], row["peak_mib"]
    others = [f"{name} {_time(x)}" for name, x in seconds.items() if name not in _BOTH]
    ratio = "-" if row["ratio"] is None else f"**{row['ratio']:.1f}**"
    wanted = [f">= {row['min_ratio']}"] if row["min_ratio"] else []
    if wanted and row["ratio"] is not None:
        ratio += f" ({wanted[0]})"
    memory = " / ".join(f"{mib[name]:.0f}" if name in mib else "-" for name in _BOTH)
    if row["max_mib"]:
        memory += f" (<= {row['max_mib']})"
    cells = [
        row["case"] + ("; " + ", ".join(others) if others else ""),
        str(row["threads"]),
        *(_time(seconds[name]) if name in seconds else "-" for name in _BOTH),
        ratio,
        memory,
        row["equality"],
    ]
    return "| " + " | ".join(cells) + " |"


_BOTH = ("upstream", "ours")


def _time(x: dict[str, float]) -> str:
    return f"{x['median']:.3f} [{x['low']:.3f}, {x['high']:.3f}]"


def _plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    rows = [row for row in rows if row["ratio"] is not None][::-1]
    figure = Figure(figsize=(9, 0.3 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['group']}: {row['case']}, {row['threads']} thr." for row in rows]
    bars = axes.barh(names, [row["ratio"] for row in rows], color="#3a7ca5")
    axes.bar_label(bars, fmt="%.1fx", padding=3, fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("times faster than upstream")
    axes.tick_params(axis="y", labelsize=7)
    figure.savefig(path, dpi=110)
