"""Tables in the documents equal the data they were generated from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.report import Report
from benchmarks.runs import table

DOCS = Path(__file__).resolve().parents[1] / "docs"
README = (DOCS.parent / "README.md").read_text()
RUNS = sorted(path.parent for path in DOCS.glob("runs/*/runs.json"))
PAGES = {
    "cpu": "benchmarks.md",
    "trained": "benchmarks.md",
    "demo": "gallery.md",
    "evaluation": "evaluation.md",
}


def test_all_data_are_looked_at():
    assert len(RUNS) >= 6
    assert {path.parent.name for path in DOCS.glob("benchmarks/*/results.json")} == set(PAGES)


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_tables_follow_from_the_data_and_stand_in_the_documents(folder):
    written = table(json.loads((folder / "runs.json").read_text()))
    assert (folder / "results.md").read_text() == written
    assert written in (DOCS / "reproduction.md").read_text()


@pytest.mark.parametrize(("name", "page"), PAGES.items())
def test_benchmark_tables_follow_from_the_data_and_stand_in_the_document(name, page):
    folder = DOCS / "benchmarks" / name
    written = Report.read(folder).markdown()
    assert (folder / "results.md").read_text() == written
    assert written in (DOCS / page).read_text()


def test_the_readme_quotes_the_demo():
    """The sentence with the demo's AP names the values of its data file."""
    summaries = json.loads((DOCS / "runs" / "toy_demo" / "runs.json").read_text())
    (sentence,) = re.findall(r"AP at IoU \.85 to \.95[^.]*\.\d[^.]*\.\d", README)
    for run in ("Mask R-CNN", "PointRend"):
        assert f"{summaries[run]['results']['segm/AP85-95']:.1f}" in sentence


def test_the_readme_quotes_the_benchmark():
    """The sentence on speed names the ratios of its data file."""
    rows = {r.case: r for r in Report.read(DOCS / "benchmarks" / "cpu").rows if r.threads == 1}
    (sentence,) = re.findall(r"- \*\*Speed and memory\*\*: (.*?)\n- ", README, re.DOTALL)
    usual = rows["R=100, C=80, 224x224"]
    for row in (usual, rows["R=20, C=1203, 224x224"]):
        assert f"{row.ratio:.1f}" in sentence
    for form in ("ours", "upstream"):
        assert f"{usual.peak_mib[form]:.0f} MiB" in sentence
