#!/usr/bin/env python3
"""Compare training runs: their losses in one picture, their final metrics in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from pointrend_ext.engine.command_line import named_path
from pointrend_ext.engine.run_report import write_run_report


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run",
        type=named_path,
        action="append",
        required=True,
        metavar="NAME=FOLDER",
        help="A run's name and its OUTPUT_DIR; repeat for every run. Runs of one name, trained "
        "with other seeds, become one row of means, with the lowest and highest value.",
    )
    parser.add_argument("--output", type=Path, required=True, help="Folder for the report.")
    parser.add_argument(
        "--costs",
        type=Path,
        metavar="FILE",
        help="What tools/measure_models.py wrote for models of the same names: adds parameters "
        "and time per image to the table.",
    )
    args = parser.parse_args()
    folders: dict[str, list[Path]] = {}
    for name, folder in args.run:
        folders.setdefault(name, []).append(folder)
    write_run_report(folders, args.output, costs_file=args.costs)
    print((args.output / "results.md").read_text(), end="")


if __name__ == "__main__":
    main()
