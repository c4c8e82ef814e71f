"""Write a trained model as ONNX or for torch.export, checked against the model."""

import argparse
from pathlib import Path

from pointrend_ext._command import add_json_argument, at_least, new_parser, result_alone
from pointrend_ext.commands.printing import print_json
from pointrend_ext.deploy.export import export_onnx, export_program
from pointrend_ext.deploy.precision import PRECISIONS
from pointrend_ext.engine.command_line import add_model_arguments
from pointrend_ext.inference.predictor import build_predictor

EXAMPLE = "--config-file my.yaml --weights model_final.pth --output model.onnx"


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, EXAMPLE)
    add = parser.add_argument
    add("--output", required=True, metavar="FILE", help="new file, .onnx or .pt2")
    add(
        "--part",
        default="model",
        choices=("model", "mask_head"),
        help="mask_head: from feature maps, boxes and classes to masks (default: %(default)s)",
    )
    add("--logits", action="store_true", help="logits of pixels instead of their labels")
    add("--batch-size", type=at_least(1), default=1, help="of a semantic model (%(default)s)")
    add(
        "--confidence",
        type=float,
        help="least score of instances in the file (default: as in an evaluation)",
    )
    add(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="weights of 16 bits, or products of 8, in a smaller .onnx; the report tells what is "
        "lost on the pictures of --check-images (default: %(default)s)",
    )
    add(
        "--together",
        action="store_true",
        help="refine the masks of all objects at once, without a loop: for GPUs, and for "
        "runtimes that know no loops; .pt2 files always do",
    )
    add(
        "--check-images",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="pictures to compare the file and the model on (default: drawn scenes)",
    )
    add_json_argument(parser)
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Export and print the report."""
    with result_alone(args):
        predictor = build_predictor(args, confidence=args.confidence)
        write = export_program if Path(args.output).suffix == ".pt2" else export_onnx
        report = write(
            predictor.model,
            predictor.cfg,
            args.output,
            part=args.part,
            output="logits" if args.logits else "labels",
            batch_size=args.batch_size,
            check_images=args.check_images,
            classes=predictor.classes,
            precision=args.precision,
            together=args.together,
        )
    if args.json:
        print_json(report)
    else:
        print(f"{report.table()}\nWritten to {report.path}, {report.megabytes:.1f} MB")
