#!/usr/bin/env python3
"""Train or evaluate a model.

Example: python tools/train_net.py --config-file configs/Toy/pointrend_rcnn_toy.yaml
"""

import argparse
import multiprocessing
import os
import signal
import sys

from detectron2.engine import default_argument_parser, launch
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException

from pointrend_ext.engine import Stopped, setup_cfg, train_or_evaluate
from pointrend_ext.engine.command_line import add_load_arguments, load_options, run_tool


def run(args: argparse.Namespace) -> None:
    """Run one process."""
    cfg = setup_cfg(args)
    options = load_options(args)
    try:
        train_or_evaluate(cfg, eval_only=args.eval_only, resume=args.resume, load_options=options)
    except Stopped as stop:
        if comm.get_world_size() == 1:
            raise
        if comm.is_main_process():
            print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)


def launch_all(args: argparse.Namespace) -> int:
    """Run as many processes as there are GPUs to use; return 130 or 143 where they were stopped."""
    if args.num_gpus * args.num_machines > 1 and hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGTERM, _pass_on)
    try:
        launch(
            run,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except ProcessExitedException as error:
        if error.exit_code not in (130, 143):
            raise
        return error.exit_code
    return 0


def _pass_on(number: int, frame: object) -> None:
    """Let the processes of a training, which end together, know of a SIGTERM to this one."""
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGUSR1)
    signal.signal(number, signal.SIG_DFL)


def main() -> int:
    """Train or evaluate; 2 after a mistake that the user can mend."""
    parser = default_argument_parser()
    add_load_arguments(parser)
    return run_tool(parser, launch_all)


if __name__ == "__main__":
    sys.exit(main())
