#!/usr/bin/env python3
"""Train or evaluate a model.

Example: python tools/train_net.py --config-file configs/Toy/pointrend_rcnn_toy.yaml
"""

from __future__ import annotations

import argparse
from typing import Any

from detectron2.engine import launch

from pointrend_ext.engine import LoadOptions, argument_parser, setup_cfg, train_or_evaluate


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run one process."""
    cfg = setup_cfg(args)
    return train_or_evaluate(
        cfg,
        eval_only=args.eval_only,
        resume=args.resume,
        load_options=LoadOptions.from_args(args),
    )


if __name__ == "__main__":
    arguments = argument_parser().parse_args()
    launch(
        main,
        arguments.num_gpus,
        num_machines=arguments.num_machines,
        machine_rank=arguments.machine_rank,
        dist_url=arguments.dist_url,
        args=(arguments,),
    )
