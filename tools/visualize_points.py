#!/usr/bin/env python3
"""Draw how PointRend refines one object, or a class map, step by step, and where it trains.

Example: python tools/visualize_points.py --config-file configs/Toy/pointrend_rcnn_toy.yaml
    --weights output/pointrend_rcnn_toy/model_final.pth --input photo.jpg --output points
"""

import argparse
import logging
import sys
from pathlib import Path

from pointrend_ext.engine.command_line import add_model_arguments, run_tool
from pointrend_ext.inference.predictor import build_predictor
from pointrend_ext.inspection.point_pictures import write_refinement


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--input", required=True, metavar="FILE", help="a picture")
    add("--output", required=True, type=Path, help="folder for steps.png, steps.gif, ...")
    add("--object", type=int, default=0, help="number of the object, the best score first (0)")
    add("--class", dest="class_name", help="count objects of this class alone: name or id")
    add("--semantic", action="store_true", help="the class map of the whole image instead")
    add("--confidence", type=float, default=0.3, help="lowest score of an object (%(default)s)")
    add("--seed", type=int, default=0, help="of the training points")
    add_model_arguments(parser)
    return parser


def draw(args: argparse.Namespace) -> None:
    """Record and draw."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    predictor = build_predictor(args, confidence=args.confidence)
    paths, recording = write_refinement(
        predictor,
        predictor.read_image(args.input),
        args.output,
        semantic=args.semantic or not hasattr(predictor.model, "roi_heads"),
        number=args.object,
        class_name=args.class_name,
        seed=args.seed,
    )
    if recording.class_id is not None:
        name = predictor.classes.thing(recording.class_id)
        print(f"Object {args.object}: {name}, score {recording.score:.2f}")
    print("Written:", *paths)


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), draw)


if __name__ == "__main__":
    sys.exit(main())
