#!/usr/bin/env python3
"""Draw how PointRend refines one object, or a class map, step by step, and where it trains.

Example: python tools/visualize_points.py --config-file configs/Toy/pointrend_rcnn_toy.yaml
    --weights output/pointrend_rcnn_toy/model_final.pth --image photo.jpg --output points
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from pointrend_ext.engine.command_line import add_load_arguments, load_options
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.point_pictures import write_refinement
from pointrend_ext.visualization import read_image_rgb


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config-file", required=True, help="configuration of a PointRend model")
    add("--weights", help="trained weights (default: MODEL.WEIGHTS)")
    add("--image", required=True, help="a picture")
    add("--output", required=True, type=Path, help="folder for steps.png, steps.gif, ...")
    add("--object", type=int, default=0, help="number of the object, the best score first (0)")
    add("--class", dest="class_name", help="count objects of this class alone: name or id")
    add("--semantic", action="store_true", help="the class map of the whole image instead")
    add("--confidence", type=float, default=0.3, help="lowest score of an object (%(default)s)")
    add("--seed", type=int, default=0, help="of the training points")
    add("--device", help="such as cpu or cuda:1 (default: the configuration's, if there is a GPU)")
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change the configuration")
    add_load_arguments(parser)
    return parser.parse_args()


def find_class_id(predictor: Predictor, name: str | None) -> int | None:
    """Return the id of an instance class."""
    if name is None or name.isdecimal():
        return None if name is None else int(name)
    if name not in predictor.classes.things:
        known = ", ".join(predictor.classes.things) or "none by name; use an id"
        raise ValueError(f"The model knows no class {name!r}. It knows: {known}.")
    return predictor.classes.things.index(name)


def main() -> int:
    """Record and draw."""
    args = parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        predictor = Predictor.from_config(
            args.config_file,
            args.weights,
            device=args.device,
            opts=args.opts,
            confidence=args.confidence,
            load_options=load_options(args),
        )
        is_semantic = args.semantic or not hasattr(predictor.model, "roi_heads")
        paths, recording = write_refinement(
            predictor,
            read_image_rgb(args.image),
            args.output,
            semantic=is_semantic,
            number=args.object,
            class_id=find_class_id(predictor, args.class_name),
            seed=args.seed,
        )
    except (ValueError, OSError) as error:
        print(f"visualize_points.py: {error}", file=sys.stderr)
        return 2
    if not is_semantic:
        name = predictor.classes.thing(recording.class_id)
        print(f"Object {args.object}: {name}, score {recording.score:.2f}")
    print("Written:", *paths)
    return 0


if __name__ == "__main__":
    sys.exit(main())
