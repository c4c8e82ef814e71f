"""Tables in the documents equal the data they were generated from."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import agreement, photograph_report, summary
from benchmarks.gpu.report import counts_table
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
    "deploy": "export.md",
}


def test_all_data_are_looked_at():
    assert len(RUNS) >= 6
    assert {path.parent.name for path in DOCS.glob("benchmarks/*/results.json")} == set(PAGES)


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_tables_follow_from_the_data_and_stand_in_the_documents(folder):
    written = table(json.loads((folder / "runs.json").read_text()))
    assert (folder / "results.md").read_text() == written
    assert written in (DOCS / "reproduction.md").read_text()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("models", photograph_report.tables),
        ("inference", photograph_report.overview),
        ("training", photograph_report.overview),
        ("against_Mask_R-CNN_56x56", photograph_report.overview),
    ],
)
def test_tables_of_photographs_follow_from_the_data_and_stand_in_the_document(name, write):
    folder = DOCS / "runs/photographs"
    written = write(json.loads((folder / f"{name}.json").read_text()))
    assert (folder / f"{name}.md").read_text() == written
    assert written in (DOCS / "photographs.md").read_text()


def test_counts_without_a_gpu_follow_from_the_data_and_hold_what_is_said():
    table = counts_table(DOCS / "benchmarks/operators")
    assert table in (DOCS / "benchmarks.md").read_text()
    elsewhere = [line.split("|")[-2].split("/") for line in table.splitlines()[2:]]
    assert [int(waits) for _, waits, _ in elsewhere] == [0, 0, 0, 0]


@pytest.mark.parametrize(("name", "page"), PAGES.items())
def test_benchmark_tables_follow_from_the_data_and_stand_in_the_document(name, page):
    folder = DOCS / "benchmarks" / name
    written = Report.read(folder).markdown()
    assert (folder / "results.md").read_text() == written
    assert written in (DOCS / page).read_text()


def test_agreement_of_exported_files_follows_from_the_data_and_stands_in_the_document():
    folder = DOCS / "benchmarks/agreement"
    written = agreement.table(json.loads((folder / "agreement.json").read_text())["rows"])
    assert (folder / "agreement.md").read_text() == written
    assert written in (DOCS / "runtime.md").read_text()


def test_the_readme_shows_the_table_of_the_data():
    """``python -m benchmarks.summary --write`` mends it."""
    (shown,) = re.findall(f"{summary.BEGIN}(.*?){summary.END}", README, re.DOTALL)
    assert shown == summary.summary()
    assert summary.replaced(README) == README
