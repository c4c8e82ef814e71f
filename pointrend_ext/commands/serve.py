"""Show a model on a page in the browser: pictures in, masks, steps and points out."""

import argparse
import sys
import threading
from pathlib import Path

from pointrend_ext._command import new_parser
from pointrend_ext.engine.command_line import add_model_arguments, load_options
from pointrend_ext.engine.loading import LoadOptions
from pointrend_ext.inference.predictor import Predictor, build_predictor
from pointrend_ext.serving.server import LOOPBACK, is_loopback, served
from pointrend_ext.serving.session import Limits, Session

EXAMPLES = (
    "--config-file Toy/pointrend_rcnn_toy.yaml --weights output/pointrend_rcnn_toy/model_final.pth",
    "--model output/mine --port 8000",
)


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    limits = Limits()
    parser = new_parser(__doc__, prog, *EXAMPLES)
    add = parser.add_argument
    add("--model", metavar="FOLDER", help="a model of save_pretrained, instead of --config-file")
    text = "address to listen at; any other than this machine's own lets others in (%(default)s)"
    add("--host", default=LOOPBACK, help=text)
    add("--port", type=int, help="port to listen at (default: the first free one from 7860 on)")
    text = "lowest score of an instance that the page can show (%(default)s)"
    add("--confidence", type=float, default=0.3, help=text)
    text = "largest picture that is taken, in millions of pixels (%(default)s)"
    add("--max-megapixels", type=float, default=limits.max_megapixels, help=text)
    text = "seconds that a request may take (%(default)s)"
    add("--timeout", type=float, default=limits.timeout, help=text)
    add_model_arguments(parser, config_file_required=False)
    return parser


def run(args: argparse.Namespace) -> None:
    """Serve until Ctrl-C."""
    limits = Limits(args.max_megapixels, args.timeout)
    session = Session(_predictor(args), limits)
    path = Path(args.model or args.config_file)
    title = f"PointRend: {path.parent.name if path.name == 'config.yaml' else path.stem}"
    options = {"host": args.host, "port": args.port, "least_score": args.confidence}
    with served(session, title, **options) as address:
        if not is_loopback(args.host):
            sys.stderr.write(
                f"--host {args.host}: whoever reaches this machine can use the page. It has no "
                "password, and what is sent is not encrypted.\n"
            )
        print(f"{title}: {address} (Ctrl-C ends it)", flush=True)
        threading.Event().wait()


def _predictor(args: argparse.Namespace) -> Predictor:
    if (args.model is None) == (args.config_file is None):
        raise ValueError("Pass either --config-file, with --weights, or --model.")
    if args.model is None:
        return build_predictor(args, confidence=args.confidence)
    if args.weights is not None or load_options(args) != LoadOptions():
        raise ValueError("--model brings its own weights: leave out what loads others.")
    return Predictor.from_pretrained(
        args.model, device=args.device, opts=args.opts, confidence=args.confidence
    )
