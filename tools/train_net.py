#!/usr/bin/env python3
"""Train or evaluate a model.

Example: python tools/train_net.py --config-file configs/Toy/pointrend_rcnn_toy.yaml
"""

import argparse
import sys
from functools import partial

from detectron2.engine import default_argument_parser

from pointrend_ext.engine import setup_cfg, train_or_evaluate
from pointrend_ext.engine.command_line import add_load_arguments, load_options, run_tool
from pointrend_ext.engine.launching import add_process_arguments, run_processes


def run(args: argparse.Namespace) -> None:
    """Run one process."""
    cfg = setup_cfg(args)
    options = load_options(args)
    train_or_evaluate(cfg, eval_only=args.eval_only, resume=args.resume, load_options=options)


def main() -> int:
    """Train or evaluate; 2 after a mistake that the user can mend."""
    parser = default_argument_parser()
    add_load_arguments(parser)
    add_process_arguments(parser)
    return run_tool(parser, partial(run_processes, parser.prog, run))


if __name__ == "__main__":
    sys.exit(main())
