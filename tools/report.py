#!/usr/bin/env python3
"""Write an evaluation of tools/evaluate.py as one HTML page that can be opened and sent anywhere.

Example: python tools/report.py --evaluation out/evaluation.json --run ours=output/ours \
--output out/report.html
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from pointrend_ext.data import register_description
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine.run_report import summarize_run
from pointrend_ext.evaluation.offline import find_data_set
from pointrend_ext.evaluation.report import write_report


def parse_run(word: str) -> tuple[str, Path]:
    """Split NAME=FOLDER."""
    name, separator, folder = word.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{word!r} is not of the form NAME=FOLDER")
    return name, Path(folder)


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="evaluation.json of tools/evaluate.py."
    )
    parser.add_argument("--output", type=Path, required=True, help="The new HTML file.")
    parser.add_argument(
        "--run",
        type=parse_run,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="OUTPUT_DIR of a training, for its losses; repeat for every run.",
    )
    parser.add_argument("--pictures", type=int, default=16, help="Examples shown; 0 for none.")
    parser.add_argument(
        "--description", action="append", default=[], help="A data set description (YAML or JSON)."
    )
    args = parser.parse_args()
    register_toy_datasets(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    for description in args.description:
        register_description(description)
    evaluation = json.loads(args.evaluation.read_text(encoding="utf-8"))
    described = evaluation["data_set"]
    write_report(
        evaluation,
        args.output,
        data=find_data_set(described["name"]) if described["kind"] == "semantic" else None,
        curves={name: summarize_run(folder)["losses"] for name, folder in args.run},
        num_pictures=args.pictures,
    )
    print(f"Written to {args.output}")


if __name__ == "__main__":
    main()
