"""Run an exported model on pictures, folders or videos; neither PyTorch nor a configuration."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from pointrend_ext._command import new_parser, run_tool
from pointrend_ext.deploy.runtime.predictor import OnnxPredictor
from pointrend_ext.deploy.runtime.sessions import RUNTIMES
from pointrend_ext.inference.demo.inputs import find_inputs
from pointrend_ext.inference.demo.outputs import OUTPUT_KINDS, OutputWriter
from pointrend_ext.inference.demo.run import DemoOptions
from pointrend_ext.inference.demo.telling import run_and_tell

_EXAMPLE = "model.onnx photos --output seen --save masks json"


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    kinds = "; ".join(f"{name}: {text}" for name, text in OUTPUT_KINDS.items())
    parser = new_parser(__doc__, prog, _EXAMPLE)
    add = parser.add_argument
    add("model", help="a file that tools/export_model.py has written")
    add("input", nargs="+", help="pictures, videos, folders, or quoted patterns")
    add("--output", required=True, type=Path, help="folder for the results")
    add(
        "--save",
        nargs="+",
        action="extend",
        choices=OUTPUT_KINDS,
        help=f"{kinds}; default: masks. To draw overlays needs OpenCV",
    )
    add("--confidence", type=float, help="lowest score of an instance (default: that of the file)")
    add("--classes", nargs="+", action="extend", help="classes to keep: names, or places from 0")
    add("--color-by-class", action="store_true", help="one colour per class of instances")
    add("--show-boxes", action="store_true", help="draw boxes, too")
    add("--runtime", default="onnx", choices=RUNTIMES, help="what computes (%(default)s)")
    add("--threads", type=int, help="threads of one prediction (default: what the runtime takes)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Predict; return 1 if an input failed."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    found = find_inputs(args.input)
    found.require()
    predictor = OnnxPredictor(
        args.model, runtime=args.runtime, confidence=args.confidence, threads=args.threads
    )
    options = DemoOptions(
        predictors={Path(args.model).stem: predictor},
        writer=OutputWriter(args.output, args.save or ["masks"], inputs=found.inputs),
        classes=args.classes,
        color_by_class=args.color_by_class,
        show_boxes=args.show_boxes,
        progress=False,
    )
    return run_and_tell(found, options)


def main(words: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command; ``prog`` is what it is called."""
    return run_tool(build_parser(prog), run, words)
