"""Tables in the documents equal the data they were generated from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pointrend_ext.engine.run_report import metrics_table

DOCS = Path(__file__).resolve().parents[1] / "docs"
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
