#!/usr/bin/env python3
"""Score saved predictions of any model, several side by side with intervals.

Examples:
python tools/evaluate.py --dataset toy_val --predictions ours=a.json theirs=b.json --output out
python tools/evaluate.py --annotations instances.json --predictions a.json --output out
python tools/evaluate.py --description my_scenes.yaml --dataset scenes_val --predictions maps/
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pointrend_ext.data import register_description
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.evaluation.offline import (
    Evaluation,
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
    find_data_set,
    name_predictions,
    write_csv,
    write_evaluation,
    written_tables,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--dataset", help="A registered data set, or one of a description.")
    data.add_argument("--annotations", help="Annotations in COCO's or LVIS's format instead.")
    parser.add_argument("--images", help="Image folder of --annotations, for pictures.")
    parser.add_argument(
        "--description", action="append", default=[], help="A data set description (YAML or JSON)."
    )
    parser.add_argument(
        "--predictions",
        nargs="+",
        action="extend",
        required=True,
        metavar="[NAME=]PATH",
        help="COCO results JSON; or a folder of label maps, or sem_seg_predictions.json. The "
        "others are compared with the first.",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        action="extend",
        help="Instances: bbox segm boundary ap_star. Label maps: boundary_iou trimap boundary_f. "
        "By default all that are possible.",
    )
    parser.add_argument("--ap-star-file", default="", help="LVIS annotations for AP*.")
    parser.add_argument("--output", type=Path, help="Folder for evaluation.json and .csv.")
    parser.add_argument("--draws", type=int, default=300, help="Draws of the images; 0: none.")
    parser.add_argument("--seed", type=int, default=0, help="Of the draws.")
    parser.add_argument("--level", type=float, default=0.95, help="Of the intervals.")
    return parser.parse_args()


def evaluate(args: argparse.Namespace) -> Evaluation:
    """Score what the command line names."""
    register_toy_datasets(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    for description in args.description:
        register_description(description)
    if args.dataset:
        data = find_data_set(args.dataset)
    else:
        data = data_set_of_annotations(args.annotations, args.images)
    options = EvaluationOptions(
        tuple(args.metrics) if args.metrics else None,
        args.ap_star_file,
        args.draws,
        args.seed,
        args.level,
    )
    return evaluate_files(data, name_predictions(args.predictions), options)


def main() -> int:
    """Score and print."""
    args = parse_args()
    try:
        evaluation = evaluate(args)
    except (ValueError, OSError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    print(written_tables(evaluation))
    if args.output:
        write_evaluation(evaluation, args.output / "evaluation.json")
        write_csv(evaluation, args.output / "evaluation.csv")
        print(f"Written to {args.output}: evaluation.json, evaluation.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
