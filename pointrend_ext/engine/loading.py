"""How a run loads its weights: options of the command line, class names of its data sets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.engine import default_argument_parser
from torch import nn

from pointrend_ext.checkpoint import INSTANCE, SEMANTIC, PointRendCheckpointer
from pointrend_ext.data import class_names_of
from pointrend_ext.data.checks import ROI_ARCHITECTURES
from pointrend_ext.data.mapper import SEMANTIC_ARCHITECTURES

__all__ = [
    "LoadOptions",
    "add_load_options",
    "argument_parser",
    "build_checkpointer",
    "find_class_names",
]


@dataclass(frozen=True)
class LoadOptions:
    """What a user may ask of the checkpointer; see ``PointRendCheckpointer``.

    Attributes:
        allow_code: read files that may run code.
        allow_missing: load what there is, whatever is missing.
        map_classes: find classes by name.
    """

    allow_code: bool = False
    allow_missing: bool = False
    map_classes: bool = False

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> LoadOptions:
        """Read the options of ``argument_parser``; those that are not there are off."""
        return cls(**{name: getattr(args, name, False) for name in cls.__dataclass_fields__})


def argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """Build Detectron2's parser, with the options for loading weights.

    Args:
        epilog: text below the options; by default Detectron2's examples.
    """
    parser = default_argument_parser(epilog)
    add_load_options(parser)
    return parser


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``LoadOptions`` to a parser."""
    group = parser.add_argument_group("loading weights")
    group.add_argument(
        "--map-classes",
        action="store_true",
        help="find the classes of the data set by name among those of the weights",
    )
    group.add_argument(
        "--allow-missing", action="store_true", help="accept weights that do not fill the model"
    )
    group.add_argument(
        "--allow-code",
        action="store_true",
        help="read files that may run code; only from authors you trust",
    )


def build_checkpointer(
    cfg: CfgNode,
    model: nn.Module,
    options: LoadOptions | None = None,
    *,
    for_training: bool = False,
    **checkpointables: Any,
) -> PointRendCheckpointer:
    """Build the checkpointer of a run.

    Args:
        cfg: ``OUTPUT_DIR`` and ``DATASETS`` are read.
        model: may be wrapped for distributed training.
        options: what the user asked for.
        for_training: see ``PointRendCheckpointer``.
        **checkpointables: objects with a state.
    """
    return PointRendCheckpointer(
        model,
        cfg.OUTPUT_DIR,
        for_training=for_training,
        class_names=find_class_names(
            cfg, cfg.DATASETS.TRAIN if for_training else cfg.DATASETS.TEST
        ),
        **vars(options or LoadOptions()),
        **checkpointables,
    )


def find_class_names(cfg: CfgNode, dataset_names: Sequence[str]) -> dict[str, list[str]]:
    """Return the class names of the first data set that states any.

    Args:
        cfg: ``MODEL.META_ARCHITECTURE`` decides which kinds of classes count.
        dataset_names: sets that are not registered are passed over.

    Returns:
        Names by ``INSTANCE`` and ``SEMANTIC``.
    """
    keys = {}
    if cfg.MODEL.META_ARCHITECTURE in ROI_ARCHITECTURES:
        keys[INSTANCE] = "thing_classes"
    if cfg.MODEL.META_ARCHITECTURE in SEMANTIC_ARCHITECTURES:
        keys[SEMANTIC] = "stuff_classes"
    for name in dataset_names:
        if name in DatasetCatalog.list():
            found = {kind: class_names_of(name, key) for kind, key in keys.items()}
            if any(found.values()):
                return {kind: names for kind, names in found.items() if names}
    return {}
