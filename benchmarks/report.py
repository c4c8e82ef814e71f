"""Benchmark results as JSON, as Markdown tables and as a plot."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Timing

__all__ = ["Report", "Row", "dumps", "machine", "markdown_table"]

_PACKAGES = ("numpy", "opencv-python", "pycocotools", "faster-coco-eval", "matplotlib")


def machine(device: str) -> dict[str, str]:
    """Describe what the numbers were measured on, without naming the machine."""
    if device == "cuda":
        processor = torch.cuda.get_device_name()
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else platform.processor()
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    versions = {"torch": torch.__version__, "python": platform.python_version(), **packages}
    return {"processor": processor, **versions}


@dataclass(frozen=True)
class Row:
    """What was measured of one case.

    Attributes:
        group, case: of the ``Case``; also ``min_ratio`` and ``max_mib``.
        threads: of the processor.
        seconds: by form: "ours", that which it is measured against, and others.
        peak_mib: extra memory by form, in MiB.
        equality: how the results compare.
        parameters: by form, where they were counted.
    """

    group: str
    case: str
    threads: int
    seconds: dict[str, Timing]
    peak_mib: dict[str, float]
    equality: str
    parameters: dict[str, int] = field(default_factory=dict)
    min_ratio: float | None = None
    max_mib: float | None = None

    @property
    def baseline(self) -> str:
        """Form that ours is measured against."""
        return next((name for name in ("before", "eager") if name in self.seconds), "upstream")

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is than the baseline; None if that could not run."""
        if self.baseline not in self.seconds:
            return None
        return self.seconds[self.baseline].median / self.seconds["ours"].median

    @property
    def is_met(self) -> bool:
        """Whether what is demanded of the case holds."""
        is_fast = not self.min_ratio or (self.ratio or 0) >= self.min_ratio
        return is_fast and (not self.max_mib or self.peak_mib["ours"] <= self.max_mib)

    def line(self) -> str:
        """Return the row of the Markdown table."""
        both = (self.baseline, "ours")
        mib = {name: f"{value:.0f}" for name, value in self.peak_mib.items()}
        others = [
            f"{name} {time}" + (f" s, {mib[name]} MiB" if name in mib else "")
            for name, time in self.seconds.items()
            if name not in both
        ]
        digits = 1 if self.baseline == "upstream" else 2
        ratio = "-" if self.ratio is None else f"**{self.ratio:.{digits}f}**"
        memory = " / ".join(mib.get(name, "-") for name in both)
        cells = [
            "; ".join([self.case, *others]),
            str(self.threads),
            *(str(self.seconds.get(name, "-")) for name in both),
            ratio + (f" (>= {self.min_ratio})" if self.min_ratio else ""),
            memory + (f" (<= {self.max_mib})" if self.max_mib else ""),
            self.equality,
        ]
        return _line(cells)


@dataclass(frozen=True)
class Report:
    """What one command measured on a ``machine``, in so many rounds."""

    machine: Mapping[str, str]
    command: str
    rounds: int
    rows: Sequence[Row]

    @classmethod
    def read(cls, folder: Path) -> "Report":
        """Read ``results.json``."""
        data = json.loads((folder / "results.json").read_text())
        rows = [
            Row(**{**row, "seconds": {n: Timing(**x) for n, x in row["seconds"].items()}})
            for row in data.pop("rows")
        ]
        return cls(**data, rows=rows)

    def write(self, folder: Path) -> None:
        """Write ``results.json``, ``results.md`` and ``speed.png``; the folder is made."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(dumps(asdict(self)))
        (folder / "results.md").write_text(self.markdown())
        self._plot(folder / "speed.png")

    def markdown(self) -> str:
        """Return a table per group of cases."""
        about = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        text = (
            f"{about}; medians of {self.rounds} interleaved rounds, fastest to slowest in "
            f"brackets. Command: `{self.command}`.\n"
        )
        for group in dict.fromkeys(row.group for row in self.rows):
            rows = [row for row in self.rows if row.group == group]
            name = rows[0].baseline
            titles = ["case", "threads", f"{name} s", "ours s", "ratio", f"MiB {name}/ours"]
            text += f"\n**{group}**\n\n{markdown_table([*titles, 'equality'], [])}"
            text += "".join(f"{row.line()}\n" for row in rows)
        return text

    def _plot(self, path: Path) -> None:
        from matplotlib.figure import Figure

        rows = [row for row in self.rows if row.ratio is not None][::-1]
        figure = Figure(figsize=(9, 0.3 * len(rows) + 1), layout="constrained")
        axes = figure.subplots()
        names = [f"{row.group}: {row.case}, {row.threads} thr." for row in rows]
        bars = axes.barh(names, [row.ratio or 0 for row in rows], color="#3a7ca5")
        axes.bar_label(bars, fmt="%.1fx", padding=3, fontsize=7)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlabel("times faster")
        axes.tick_params(axis="y", labelsize=7)
        figure.savefig(path, dpi=110)


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, each line ended."""
    return "".join(f"{_line(cells)}\n" for cells in (titles, ["---"] * len(titles), *rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def dumps(data: Any, depth: int = 2, indent: str = "") -> str:
    """Return JSON that is one line per value below a depth, so that a row or a run is a line."""
    if depth == 0 or not isinstance(data, (dict, list, tuple)) or not data:
        return json.dumps(data)
    deeper = indent + " "
    if isinstance(data, dict):
        ends = "{}"
        lines = [f"{json.dumps(k)}: {dumps(v, depth - 1, deeper)}" for k, v in data.items()]
    else:
        ends = "[]"
        lines = [dumps(value, depth - 1, deeper) for value in data]
    body = ",\n".join(deeper + line for line in lines)
    return f"{ends[0]}\n{body}\n{indent}{ends[1]}" + ("" if indent else "\n")
