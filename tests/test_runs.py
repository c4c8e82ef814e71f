"""Tables in the documents equal the data they were generated from."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from pointrend_ext.engine.run_table import metrics_table

DOCS = Path(__file__).resolve().parents[1] / "docs"
README = (DOCS.parent / "README.md").read_text()
RUNS = sorted(path.parent for path in DOCS.glob("runs/*/runs.json"))


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_tables_follow_from_the_data_and_stand_in_the_documents(folder):
    summaries = json.loads((folder / "runs.json").read_text())
    table = metrics_table(summaries)
    assert (folder / "results.md").read_text() == table
    assert table in (DOCS / "reproduction.md").read_text()


def test_the_readme_quotes_the_demo():
    """The sentence with the demo's AP names the values of its data file."""
    summaries = json.loads((DOCS / "runs" / "toy_demo" / "runs.json").read_text())
    (sentence,) = re.findall(
        r"AP at IoU \.85 to \.95[^.]*\.\d[^.]*\.\d", (DOCS.parent / "README.md").read_text()
    )
    for run in ("Mask R-CNN", "PointRend"):
        assert f"{summaries[run]['results']['segm/AP85-95']:.1f}" in sentence


BENCHMARKS = [DOCS / "benchmarks" / name for name in ("cpu", "trained")]


@pytest.mark.parametrize("folder", BENCHMARKS, ids=lambda path: path.name)
def test_benchmark_tables_follow_from_the_data_and_stand_in_the_document(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS.parent / "tools"))
    markdown = importlib.import_module("benchmarking.report").markdown
    table = markdown(json.loads((folder / "results.json").read_text()))
    assert (folder / "results.md").read_text() == table
    assert table in (DOCS / "benchmarks.md").read_text()


def test_the_readme_quotes_the_benchmark():
    """The sentence on speed names the ratios of its data file."""
    rows = json.loads((DOCS / "benchmarks" / "cpu" / "results.json").read_text())["rows"]
    (sentence,) = re.findall(r"- \*\*Speed and memory\*\*: (.*?)\n- ", README, re.DOTALL)
    for words in ("R=100, C=80, 224x224", "R=20, C=1203, 224x224"):
        (row,) = (row for row in rows if row["case"] == words and row["threads"] == 1)
        assert f"{row['ratio']:.1f}" in sentence
    (row,) = (r for r in rows if r["case"] == "R=100, C=80, 224x224" and r["threads"] == 1)
    assert f"{row['peak_mib']['ours']:.0f} MiB" in sentence
    assert f"{row['peak_mib']['upstream']:.0f} MiB" in sentence
