#!/usr/bin/env python3
"""Convert weights of any known format to a .pth or .safetensors file with the model's names.

Example: python tools/convert_checkpoint.py --config-file configs/Toy/pointrend_rcnn_toy.yaml \
old.pkl new.safetensors
"""

from __future__ import annotations

import argparse
import os

from pointrend_ext.checkpoint.convert import convert_weights
from pointrend_ext.data import register_description
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine import LoadOptions, add_load_options, find_class_names, load_cfg
from pointrend_ext.modeling.unread_keys import build_checked_model


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True, help="Configuration of the model.")
    parser.add_argument("source", help="Weights: a file, https:// or detectron2://.")
    parser.add_argument("target", help="New file, .pth or .safetensors.")
    parser.add_argument(
        "opts",
        nargs="*",
        metavar="KEY VALUE",
        help="Changes of the configuration, such as MODEL.ROI_HEADS.NUM_CLASSES 3.",
    )
    add_load_options(parser)
    return parser.parse_args()


def main() -> None:
    """Convert and print the report."""
    args = parse_args()
    cfg = load_cfg(args.config_file, [*args.opts, "MODEL.DEVICE", "cpu"])
    register_toy_datasets(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    for description in cfg.DATASETS.DESCRIPTIONS:
        register_description(description)
    model = build_checked_model(cfg)
    report = convert_weights(
        model,
        args.source,
        args.target,
        class_names=find_class_names(cfg, (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)),
        config=cfg.dump(),
        **vars(LoadOptions.from_args(args)),
    )
    print(f"{report.table()}\n{report.summary()}\nWritten to {args.target}")


if __name__ == "__main__":
    main()
