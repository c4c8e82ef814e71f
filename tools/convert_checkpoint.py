#!/usr/bin/env python3
"""Convert weights of any known format to a .pth or .safetensors file with the model's names.

Example: python tools/convert_checkpoint.py --config-file configs/Toy/pointrend_rcnn_toy.yaml \
old.pkl new.safetensors
"""

import argparse
import sys

from pointrend_ext.checkpoint.convert import convert_weights
from pointrend_ext.data.registration import register_datasets
from pointrend_ext.engine import find_class_names, load_cfg
from pointrend_ext.engine.command_line import (
    add_load_arguments,
    add_model_arguments,
    load_options,
    run_tool,
)
from pointrend_ext.modeling.unread_keys import build_checked_model


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="weights: a file, https:// or detectron2://")
    parser.add_argument("target", help="new file, .pth or .safetensors")
    parser.add_argument("--half", action="store_true", help="write weights with 16 bits a number")
    add_model_arguments(parser, weights=False)
    add_load_arguments(parser)
    return parser


def convert(args: argparse.Namespace) -> None:
    """Convert and print the report."""
    cfg = load_cfg(args.config_file, [*args.opts, "MODEL.DEVICE", "cpu"])
    names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    register_datasets(names, cfg.DATASETS.DESCRIPTIONS)
    model = build_checked_model(cfg)
    report = convert_weights(
        model,
        args.source,
        args.target,
        class_names=find_class_names(cfg, names),
        cfg=cfg,
        half=args.half,
        **vars(load_options(args)),
    )
    print(f"{report.table()}\n{report.summary()}\nWritten to {args.target}")


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), convert)


if __name__ == "__main__":
    sys.exit(main())
