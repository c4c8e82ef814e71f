"""Draw points of objects from their masks, to train on them instead (INPUT.POINT_SUP)."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from pointrend_ext._command import add_json_argument, at_least, new_parser, result_alone
from pointrend_ext.commands.printing import print_json
from pointrend_ext.data.coco import CocoFile, read_coco_file
from pointrend_ext.data.coco.points import draw_points

EXAMPLES = (
    "datasets/toy/annotations/instances_train.json --output points_train.json",
    "instances_train2017.json --output points.json --points 20 --seed 1",
)


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, *EXAMPLES)
    add_json_argument(parser)
    add = parser.add_argument
    add("annotations", metavar="FILE", help="annotations in COCO's format, with masks")
    add("--output", required=True, type=Path, help="file to write, without masks")
    add("--points", type=at_least(1), default=10, help="points of an object (%(default)s)")
    add("--seed", type=int, default=0, help="that draws them (%(default)s)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the annotations with points, and say how many.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not valid, has no object with a mask, or the output is there already.
    """
    if args.output.exists():
        raise ValueError(f"--output {str(args.output)!r} exists: remove it, or name another file.")
    file = read_coco_file(args.annotations)
    annotations = list(_with_points(file, args.points, args.seed))
    counts = [sum(x.get("point_labels", ())) for x in annotations if "point_labels" in x]
    if not counts:
        raise ValueError(f"{args.annotations!r} has no object with a mask to draw points from.")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(to_json({**file.dataset, "annotations": annotations}))
    others = len(annotations) - len(counts)
    with result_alone(args):
        print(
            f"{args.points} points of each of {len(counts)} objects, "
            f"{sum(counts) / (args.points * len(counts)):.1%} of them inside, in {args.output}; "
            f"{others} crowds and objects without a mask have none"
        )
        print(*file.summary.findings.lines(), sep="\n")
    if args.json:
        result = {"objects": len(counts), "points": args.points, "inside": sum(counts)}
        print_json({**result, "others": others, "file": args.output})


def _with_points(file: CocoFile, number: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the annotations of a file, points in the place of masks; those of crowds are none."""
    for position, own in enumerate(file.annotations or ()):
        annotation = {key: value for key, value in own.items() if key != "segmentation"}
        if own.get("segmentation") and not own.get("iscrowd"):
            random = np.random.default_rng([seed, position])
            annotation |= draw_points(own, file.sizes_hw[own["image_id"]], number, random)
        yield annotation
