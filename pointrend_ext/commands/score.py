"""Score saved predictions of any model, several side by side with intervals."""

import argparse
from pathlib import Path
from typing import Any

from pointrend_ext._command import add_json_argument, at_least, new_parser, result_alone
from pointrend_ext.data.registration import register_datasets
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    InstanceData,
    PanopticData,
    SemanticData,
    data_set_of_annotations,
    evaluate_files,
    evaluation_json,
    find_data_set,
    find_panoptic_data,
    name_predictions,
    write_csv,
    write_evaluation,
    written_tables,
)

EXAMPLES = (
    "--dataset toy_val --predictions ours=a.json theirs=b.json --output out",
    "--annotations instances.json --predictions a.json --json",
    "--description my_scenes.yaml --dataset scenes_val --predictions maps/",
)


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    parser = new_parser(__doc__, prog, *EXAMPLES)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--dataset", help="a registered data set, or one of a description")
    data.add_argument("--annotations", help="annotations in COCO's or LVIS's format instead")
    add = parser.add_argument
    add(
        "--panoptic",
        action="store_true",
        help="score panoptic segmentations; predictions are JSON in COCO's panoptic format, with "
        "the pictures in the folder of its name",
    )
    add("--images", help="image folder of --annotations, for pictures")
    add("--description", action="append", default=[], help="a data set description (YAML or JSON)")
    add(
        "--predictions",
        **several,
        required=True,
        metavar="[NAME=]PATH",
        help="COCO results JSON; or a folder of label maps, or sem_seg_predictions.json; the "
        "others are compared with the first",
    )
    add(
        "--metrics",
        **several,
        help="of instances: bbox segm boundary mask_quality ap_star; of label maps: boundary_iou "
        "trimap boundary_f; of panoptic segments: boundary_pq (default: all that are possible)",
    )
    add("--ap-star-file", default="", help="LVIS annotations for AP*")
    add(
        "--max-detections",
        type=at_least(1),
        metavar="N",
        help="how many predictions count: of each image and class by COCO's rules (default: 100), "
        "of each image by LVIS's (default: 300)",
    )
    add_json_argument(parser)
    add("--output", type=Path, help="folder for evaluation.json and .csv")
    add("--draws", type=at_least(0), default=300, help="of the images; 0 for none (%(default)s)")
    add("--seed", type=int, default=0, help="of the draws (%(default)s)")
    add("--level", type=float, default=0.95, help="of the intervals (%(default)s)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Score what the command line names."""
    if args.images and not args.annotations:
        raise ValueError("--images goes with --annotations: a data set knows its own images.")
    if args.panoptic and not args.dataset:
        raise ValueError("--panoptic goes with --dataset, which names the pictures of segments.")
    register_datasets([args.dataset or ""], args.description)
    data: InstanceData | SemanticData | PanopticData
    if args.panoptic:
        data = find_panoptic_data(args.dataset)
    elif args.dataset:
        data = find_data_set(args.dataset)
    else:
        data = data_set_of_annotations(args.annotations, args.images)
    options = EvaluationOptions(
        tuple(args.metrics) if args.metrics else None,
        args.ap_star_file,
        args.draws,
        args.seed,
        args.level,
        args.max_detections,
    )
    with result_alone(args):
        evaluation = evaluate_files(data, name_predictions(args.predictions), options)
    print(evaluation_json(evaluation) if args.json else written_tables(evaluation))
    if args.output:
        write_evaluation(evaluation, args.output / "evaluation.json")
        write_csv(evaluation, args.output / "evaluation.csv")
        if not args.json:
            print(f"Written to {args.output}: evaluation.json, evaluation.csv")
