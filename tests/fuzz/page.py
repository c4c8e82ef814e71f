"""The table of counts in docs/reliability.md, from docs/data/fuzz.json."""

import json
from collections import Counter
from collections.abc import Iterable

from benchmarks.report import markdown_table
from tests.fuzz.base import ROOT
from tests.fuzz.outcome import BAD, GOOD, Outcome

DATA, PAGE = ROOT / "docs/data/fuzz.json", ROOT / "docs/reliability.md"
BEGIN, END = "<!-- begin: python -m tests.fuzz --write -->\n", "<!-- end -->"
Counts = dict[str, dict[str, int]]
"""Kind -> verdict -> number."""


def counted(outcomes: Iterable[Outcome]) -> Counts:
    counts: dict[str, Counter] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.kind, Counter())[outcome.verdict] += 1
    return {kind: {v: n[v] for v in (*GOOD, *BAD)} for kind, n in counts.items()}


def table(counts: Counts) -> str:
    verdicts = (*GOOD, *BAD)
    rows = [[kind, sum(n.values()), *(n[v] for v in verdicts)] for kind, n in counts.items()]
    sums = [sum(row[i] for row in rows) for i in range(1, len(verdicts) + 2)]
    titles = ["what is changed", "changes", *verdicts]
    return markdown_table(titles, [[str(cell) for cell in row] for row in (*rows, ["all", *sums])])


def replaced(page: str, counts: Counts) -> str:
    """Return the text with the table between its markers."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table(counts) + END + rest.partition(END)[2]


def write(counts: Counts) -> None:
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), counts), encoding="utf-8")
