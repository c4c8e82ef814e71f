"""Convert weights of any known format to a .pth or .safetensors file with the model's names."""

import argparse
from dataclasses import asdict

from pointrend_ext._command import add_json_argument, new_parser, result_alone
from pointrend_ext.checkpoint.convert import convert_weights
from pointrend_ext.commands.printing import print_json
from pointrend_ext.data.registration import register_datasets
from pointrend_ext.engine import find_class_names, load_cfg
from pointrend_ext.engine.command_line import add_load_arguments, add_model_arguments, load_options
from pointrend_ext.modeling.unread_keys import build_checked_model

EXAMPLE = "--config-file Toy/pointrend_rcnn_toy.yaml old.pkl new.safetensors"


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, EXAMPLE)
    parser.add_argument("source", help="weights: a file, https:// or detectron2://")
    parser.add_argument("target", help="new file, .pth or .safetensors")
    parser.add_argument("--half", action="store_true", help="write weights with 16 bits a number")
    add_json_argument(parser)
    add_model_arguments(parser, weights=False)
    add_load_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Convert and print the report."""
    with result_alone(args):
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
    if args.json:
        print_json({"target": args.target, **asdict(report)})
    else:
        print(f"{report.table()}\n{report.summary()}\nWritten to {args.target}")
