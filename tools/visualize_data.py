#!/usr/bin/env python3
"""Draw what a training reads, and summarise its data sets with the problems found.

Example: python tools/visualize_data.py --config-file configs/Toy/pointrend_rcnn_toy.yaml
    --output data_pictures
"""

import argparse
import logging
import sys
from itertools import islice
from pathlib import Path

import torch

from pointrend_ext.data import build_train_loader, fit_ignore_value
from pointrend_ext.data.registration import register_datasets
from pointrend_ext.data.summary import summarize_dataset
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.classes import find_classes
from pointrend_ext.engine.command_line import add_model_arguments, run_tool
from pointrend_ext.inspection.sample_pictures import draw_sample
from pointrend_ext.visualization import write_image


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", required=True, type=Path, help="folder for pictures and summary.txt")
    add("--pictures", "--num-images", type=int, default=8, help="pictures to draw (%(default)s)")
    add("--max-read", type=int, default=200, help="images read per data set (%(default)s)")
    add("--seed", type=int, default=0, help="of the order, the augmentation and the points")
    add_model_arguments(parser, weights=False)
    return parser


def draw(args: argparse.Namespace) -> int:
    """Summarise, then draw; return 1 if problems were found."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    cfg = load_cfg(args.config_file, [*args.opts, "SEED", args.seed, "DATALOADER.NUM_WORKERS", 0])
    register_datasets(cfg.DATASETS.TRAIN, cfg.DATASETS.DESCRIPTIONS, generate=True)
    fit_ignore_value(cfg, cfg.DATASETS.TRAIN)
    found = [summarize_dataset(cfg, n, max_read=args.max_read) for n in cfg.DATASETS.TRAIN]
    text = "\n".join(summary.text() for summary in found)
    args.output.mkdir(parents=True, exist_ok=True)
    Path(args.output, "summary.txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    classes = find_classes(cfg)
    generator = torch.Generator().manual_seed(args.seed)
    samples = (sample for batch in build_train_loader(cfg) for sample in batch)
    for number, sample in enumerate(islice(samples, args.pictures)):
        name = f"{number:03d}_{Path(sample['file_name']).stem}.png"
        write_image(args.output / name, draw_sample(sample, cfg, classes, generator=generator))
    print(f"{args.pictures} pictures and summary.txt in {args.output}")
    return int(any(summary.problems for summary in found))


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), draw)


if __name__ == "__main__":
    sys.exit(main())
