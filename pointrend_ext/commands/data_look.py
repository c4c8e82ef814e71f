"""Draw what a training reads, and summarise its data sets with the problems found."""

import argparse
from itertools import islice
from pathlib import Path

import torch

from pointrend_ext._command import at_least, new_parser, result_alone
from pointrend_ext.commands.data_check import add_arguments, summarize, tell
from pointrend_ext.data import build_train_loader
from pointrend_ext.engine.classes import find_classes
from pointrend_ext.inspection.sample_pictures import draw_sample
from pointrend_ext.visualization import write_image

EXAMPLE = "--config-file Toy/pointrend_rcnn_toy.yaml --output data_pictures"


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, EXAMPLE)
    add = parser.add_argument
    add("--output", required=True, type=Path, help="folder for pictures and summary.txt")
    add("--pictures", "--num-images", type=at_least(0), default=8, help="to draw (%(default)s)")
    add("--seed", type=int, default=0, help="of the order, the augmentation and the points")
    add_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Summarise, then draw; return 1 if problems were found."""
    args.output.mkdir(parents=True, exist_ok=True)
    cfg, found = summarize(args, "SEED", args.seed, "DATALOADER.NUM_WORKERS", 0)
    text = "\n".join(summary.text() for summary in found)
    Path(args.output, "summary.txt").write_text(text + "\n", encoding="utf-8")
    code = tell(found, args)  # before what is wrong ends the loader
    classes = find_classes(cfg)
    generator = torch.Generator().manual_seed(args.seed)
    samples = (sample for batch in build_train_loader(cfg) for sample in batch)
    for number, sample in enumerate(islice(samples, args.pictures)):
        name = f"{number:03d}_{Path(sample['file_name']).stem}.png"
        write_image(args.output / name, draw_sample(sample, cfg, classes, generator=generator))
    with result_alone(args):
        print(f"{args.pictures} pictures and summary.txt in {args.output}")
    return code
