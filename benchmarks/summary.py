"""The results in README.md, from the data under ``docs``: ``python -m benchmarks.summary``.

``--write`` puts it between the two markers in README.md, too.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Report, markdown_table
from benchmarks.runs import shown_value

__all__ = ["main", "replaced", "summary"]

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- begin: python -m benchmarks.summary -->\n", "<!-- end -->"
PHOTO = "Whole model: R50-FPN, C=80, 800x1333, 100 detections on a photograph"
POINT_LOSS = "Training, point loss forward and backward: R=32, C=1203"
SPEED = {
    "Instance head: R=100, C=80, 224x224": "masks of 100 objects, 80 classes",
    "Instance head: R=20, C=1203, 224x224": "masks of 20 objects, 1203 classes",
    PHOTO: "whole R50-FPN model, 100 objects",
    "Semantic head, label map: 19 x 1024x2048, smooth": "label map, 19 classes, 1024 x 2048",
    POINT_LOSS: "training, loss at points, 1203 classes",
}
QUALITY = {
    ("toy_mask_heads", "Mask R-CNN", "PointRend"): {
        "segm/AP": "mask AP",
        "segm/AP75": "AP75",
        "boundary/AP": "Boundary AP",
    },
    ("toy_alignment", "Semantic FPN", "+PointRend"): {
        "sem_seg/mIoU": "mIoU, three seeds",
        "sem_seg/mBoundaryIoU": "boundary IoU, three seeds",
    },
}


def summary() -> str:
    """Return a table of time and memory on one thread, and one of the quality of masks."""
    report = Report.read(ROOT / "docs/benchmarks/cpu")
    found = {f"{row.group}: {row.case}": row for row in report.rows if row.threads == 1}
    speed = []
    for case, title in SPEED.items():
        seconds = [f"{found[case].seconds[name].median:.2f}" for name in ("upstream", "ours")]
        mib = [f"{found[case].peak_mib[name]:.0f}" for name in ("upstream", "ours")]
        speed.append([title, *seconds, f"**{found[case].ratio:.1f}x**", *mib])
    quality = []
    for (folder, *names), metrics in QUALITY.items():
        runs = json.loads((ROOT / "docs/runs" / folder / "runs.json").read_text())
        for metric, title in metrics.items():
            values = [shown_value(runs[name], metric) for name in names]
            quality.append([f"{names[0]}: {title}", *values])
    titles = ["one CPU thread", "original s", "ours s", "faster", "original MiB", "ours MiB"]
    compared = ["toy data, trained alike", "without PointRend", "with PointRend"]
    return f"{markdown_table(titles, speed)}\n{markdown_table(compared, quality)}"


def replaced(readme: str) -> str:
    """Return the text with the table of today between its markers."""
    before, _, rest = readme.partition(BEGIN)
    return before + BEGIN + summary() + END + rest.partition(END)[2]


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.summary", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into README.md, too")
    if parser.parse_args(words).write:
        (ROOT / "README.md").write_text(replaced((ROOT / "README.md").read_text()))
    print(summary(), end="")


if __name__ == "__main__":
    main()
