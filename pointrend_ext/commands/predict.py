"""Run a model on pictures, folders, videos or a camera and write what it sees."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pointrend_ext._command import add_json_argument, at_least, new_parser
from pointrend_ext.deploy.runtime import OnnxPredictor
from pointrend_ext.deploy.runtime.sessions import RUNTIMES
from pointrend_ext.engine.command_line import add_model_arguments
from pointrend_ext.inference.demo import (
    OUTPUT_KINDS,
    CocoIds,
    DemoOptions,
    Detections,
    Input,
    OutputWriter,
    find_inputs,
    run_and_tell,
)
from pointrend_ext.inference.image_predictor import ImagePredictor
from pointrend_ext.inference.predictor import build_predictor
from pointrend_ext.inference.tiles import TiledPredictor

EXAMPLE = (
    "--config-file Toy/pointrend_rcnn_toy.yaml "
    "--weights output/pointrend_rcnn_toy/model_final.pth --input photos/*.jpg --output seen"
)


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    kinds = "; ".join(f"{name}: {text}" for name, text in OUTPUT_KINDS.items())
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    parser = new_parser(__doc__, prog, EXAMPLE)
    add = parser.add_argument
    add("--input", **several, default=[], help="pictures, videos, folders, or quoted patterns")
    text = "a camera, from 0; ends at Ctrl-C or --max-frames"
    add("--webcam", type=at_least(0), metavar="NUMBER", help=text)
    add("--output", required=True, type=Path, help="folder for the results")
    add("--save", **several, choices=OUTPUT_KINDS, help=f"{kinds}; default: overlay")
    text = "of outlines for annotation tools with the masks, at least (%(default)s)"
    add("--boundary-iou", type=float, default=0.95, help=text)
    add("--compare", metavar="CONFIG", help="a second model, drawn beside the first")
    add("--compare-weights", metavar="WEIGHTS", help="its weights")
    add("--titles", nargs=2, metavar="TITLE", help="what stands above the two")
    add("--boxes", type=Path, metavar="RESULTS", help="COCO results whose boxes get masks")
    add("--confidence", type=float, help="lowest score of an instance (0.5; with --boxes: any)")
    add("--classes", **several, help="classes to keep: names, or places from 0")
    add("--image-ids", type=Path, help="COCO annotations with the ids for json and --boxes")
    add("--color-by-class", action="store_true", help="one colour per class of instances")
    add("--show-boxes", action="store_true", help="draw boxes, too")
    add("--batch-size", type=at_least(1), default=1, help="images at a time (%(default)s)")
    add("--tile", type=at_least(1), metavar="PX", help="cut larger pictures into tiles this wide")
    add("--max-frames", type=at_least(1), help="frames of a video or camera, at most")
    add("--no-progress", action="store_true", help="show no progress bar")
    text = "torch, or a runtime for an exported file in --weights, without a configuration"
    add("--runtime", default="torch", choices=("torch", *RUNTIMES), help=f"{text} (%(default)s)")
    add("--opts", dest="more_opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs")
    add_json_argument(parser)
    add_model_arguments(parser, config_file_required=False)
    return parser


def build_predictors(args: argparse.Namespace) -> Mapping[str, ImagePredictor]:
    """Build one model, or two to compare, by title."""
    if args.tile and args.boxes:
        raise ValueError("--boxes gives the objects of whole pictures: leave out --tile.")
    if (args.compare_weights or args.titles) and not args.compare:
        raise ValueError("--compare-weights and --titles go with --compare, a second model.")
    confidence = 0.5 if args.confidence is None else args.confidence
    if args.runtime != "torch":
        return _exported(args, confidence)
    if args.config_file is None:
        raise ValueError("Pass --config-file, or an exported model with --runtime onnx.")
    models = [(args.config_file, args.weights)]
    if args.compare:
        models.append((args.compare, args.compare_weights))
    titles = args.titles or [Path(config).stem for config, _ in models]
    if len(set(titles[: len(models)])) < len(models):
        titles = [f"{number}. {title}" for number, title in enumerate(titles, 1)]
    predictors = {
        title: build_predictor(
            args,
            config_file=config,
            weights=weights,
            opts=[*args.opts, *args.more_opts],
            confidence=confidence,
            batch_size=args.batch_size,
        )
        for title, (config, weights) in zip(titles, models, strict=False)
    }
    if not args.tile:
        return predictors
    return {title: TiledPredictor(x, tile_px=args.tile) for title, x in predictors.items()}


def _exported(args: argparse.Namespace, confidence: float) -> Mapping[str, ImagePredictor]:
    """Open an exported file, and refuse options that it has no use for."""
    if args.weights is None:
        raise ValueError(f"--runtime {args.runtime} needs --weights: an exported model, .onnx.")
    for name in ("config_file", "compare", "boxes", "tile", "device", "opts", "more_opts"):
        if getattr(args, name):
            raise ValueError(
                f"--runtime {args.runtime} runs the file of --weights, which was exported with "
                f"its configuration: leave out {name.replace('more_', '').replace('_', '-')}."
            )
    predictor = OnnxPredictor(args.weights, runtime=args.runtime, confidence=confidence)
    return {Path(args.weights).stem: predictor}


def run(args: argparse.Namespace) -> int:
    """Run the demo; return 1 if an input failed."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    found = find_inputs(args.input)
    if args.webcam is not None:
        found.inputs.append(Input.of_camera(args.webcam))
    found.require()
    ids, detections = CocoIds.read(args.image_ids) if args.image_ids else None, None
    if args.boxes:
        if ids is None:
            raise ValueError(
                "--boxes needs --image-ids: the annotations in COCO's format that name the images "
                "and categories whose ids stand in the detections."
            )
        detections = Detections.read(args.boxes, ids, found.inputs, args.confidence)
    options = DemoOptions(
        predictors=build_predictors(args),
        writer=OutputWriter(
            args.output, args.save or ["overlay"], ids, found.inputs, boundary_iou=args.boundary_iou
        ),
        classes=args.classes,
        color_by_class=args.color_by_class,
        show_boxes=args.show_boxes,
        max_frames=args.max_frames,
        progress=not args.no_progress,
        detections=detections,
    )
    return run_and_tell(found, options, as_json=args.json)
