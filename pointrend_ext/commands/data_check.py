"""Count what data sets hold, and read them as a training would to find what is wrong."""

import argparse
from typing import Any

import numpy as np
from detectron2.config import CfgNode

from pointrend_ext._command import add_json_argument, at_least, new_parser, result_alone
from pointrend_ext.commands.printing import print_json
from pointrend_ext.data import class_names_of, fit_ignore_value, register_description
from pointrend_ext.data.registration import register_datasets
from pointrend_ext.data.summary import DatasetSummary, summarize_dataset
from pointrend_ext.engine import load_cfg

EXAMPLES = (
    "--config-file Toy/pointrend_rcnn_toy.yaml",
    "--description my.yaml --max-read 1000 --json",
)
# Any model that reads instances, and any that reads label maps of any size.
_INSTANCES = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml"
_LABELS = "Toy/pointrend_semantic_toy.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what data sets are meant, and ``--json``; ``KEY VALUE`` pairs take all words left."""
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--config-file", metavar="FILE", help="configuration: its DATASETS.TRAIN")
    data.add_argument("--description", metavar="FILE", help="a description: all its splits")
    add_json_argument(parser)
    add = parser.add_argument
    add("--max-read", type=at_least(0), default=200, help="images read per data set (%(default)s)")
    add("opts", nargs="*", metavar="KEY VALUE", help="pairs that change the configuration")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, *EXAMPLES)
    add_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Summarise; return 1 if problems were found."""
    _, found = summarize(args)
    return tell(found, args)


def summarize(args: argparse.Namespace, *opts: Any) -> tuple[CfgNode, list[DatasetSummary]]:
    """Read the configuration, with more ``KEY VALUE`` pairs, and summarise what it trains on."""
    with result_alone(args):
        cfg = read_cfg_of_data(args, *opts)
        names = cfg.DATASETS.TRAIN
        return cfg, [summarize_dataset(cfg, name, max_read=args.max_read) for name in names]


def tell(found: list[DatasetSummary], args: argparse.Namespace) -> int:
    """Print summaries; return 1 if problems were found."""
    if args.json:
        print_json([as_record(summary) for summary in found])
    else:
        print(*(summary.text() for summary in found), sep="\n")
    return int(any(summary.problems for summary in found))


def read_cfg_of_data(args: argparse.Namespace, *opts: Any) -> CfgNode:
    """Read the configuration, or take one that fits the description; its data are registered.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the description or the configuration is wrong, or its splits have other classes
            than one another.
    """
    own = (*args.opts, *opts)
    if args.config_file:
        cfg = load_cfg(args.config_file, own)
    else:
        names = register_description(args.description)
        fitting = ("DATASETS.DESCRIPTIONS", (args.description,), "DATASETS.TRAIN", tuple(names))
        things, stuff = (class_names_of(names[0], f"{kind}_classes") for kind in ("thing", "stuff"))
        if things is not None:
            cfg = load_cfg(_INSTANCES, [*fitting, "MODEL.ROI_HEADS.NUM_CLASSES", len(things), *own])
        else:
            number = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", len(stuff or ()))
            cfg = load_cfg(_LABELS, [*fitting, *number, *own])
    register_datasets(cfg.DATASETS.TRAIN, cfg.DATASETS.DESCRIPTIONS, generate=True)
    fit_ignore_value(cfg, cfg.DATASETS.TRAIN)
    return cfg


def as_record(summary: DatasetSummary) -> dict[str, Any]:
    """Return what JSON holds of a summary: sizes in pixels, least, median and largest."""
    sizes = summary.sizes_hw.reshape(-1, 2)  # of semantic data they are not known
    steps = np.min, np.median, np.max
    sides = zip(("height", "width"), sizes.T, strict=True)
    labels = summary.labels.classes if summary.labels else ()
    return {
        "name": summary.name,
        "images": summary.num_images,
        "images_without_annotations": summary.num_empty,
        **{side: [float(f(values)) for f in steps] for side, values in sides if len(values)},
        "objects": summary.objects,
        "object_sizes": dict(zip(("small", "medium", "large"), summary.object_sizes, strict=True)),
        "pixels": {row.name: int(row.found.pixels) for row in labels},
        "images_read": summary.num_read,
        "problems": summary.problems,
    }
