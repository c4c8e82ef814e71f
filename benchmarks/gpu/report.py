"""The results of a folder as a table."""

import json
from pathlib import Path
from typing import Any

from benchmarks.report import markdown_table

__all__ = ["counts_table", "markdown"]

FORMS = {"upstream": "the original", "ours for cpu": "ours on a CPU", "ours for cuda": "elsewhere"}


def markdown(folder: Path) -> str:
    """Return a line per step of a folder, in order of part and name; "" without results."""
    files = [path for path in folder.glob("*.json") if path.name != "machine.json"]
    records = [json.loads(path.read_text()) for path in files]
    if not records:
        return ""
    records.sort(key=lambda record: (record["part"], record["name"]))
    machine = json.loads((folder / "machine.json").read_text())
    about = ", ".join(f"{key} {value}" for key, value in machine.items())
    if any(record["tiny"] for record in records):
        about += "; tiny sizes: a test of the script, no measurement"
    rows = [[x["part"], x["name"], *_cells(x)] for x in records]
    titles = ["part", "step", "original ms", "ours ms", "ratio", "MiB original / ours", "more"]
    return f"{about}.\n\n{markdown_table(titles, rows)}"


def counts_table(folder: Path) -> str:
    """Return what the ``operators_*`` steps of a folder counted: operators, waits and uploads."""
    paths = sorted(folder.glob("operators_*.json"))
    rows = []
    for record in (json.loads(path.read_text()) for path in paths):
        row = [record["name"].removeprefix("operators_").replace("_", " ")]
        for form in FORMS:
            found = record["result"][form]
            row.append(f"{found['operators']} / {found['waits']['total']} / {found['uploads']}")
        rows.append(row)
    return markdown_table(["operators / waits / uploads", *FORMS.values()], rows)


def _cells(record: dict[str, Any]) -> list[str]:
    if record["status"] != "done":
        return ["-", "-", "-", "-", f"{record['status']}: {record['why']}"]
    more = dict(record["result"])
    ms, mib = more.pop("ms", {}), more.pop("mib", {})
    both = [str(ms.pop(name, "-")) for name in ("upstream", "ours")]
    ratio = more.pop("ratio", None)
    memory = " / ".join(str(mib.pop(name, "-")) for name in ("upstream", "ours"))
    if ms:
        more["other ms"] = ms
    text = "; ".join(f"{key}: {value}" for key, value in more.items())
    return [*both, "-" if ratio is None else f"**{ratio}**", memory, text.replace("|", "/")]
