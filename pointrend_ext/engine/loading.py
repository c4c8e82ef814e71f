"""How a run loads its weights."""

from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.engine.classes import find_class_names


@dataclass(frozen=True)
class LoadOptions:
    """What a user may ask of the checkpointer: see ``PointRendCheckpointer``."""

    allow_code: bool = False
    allow_missing: bool = False
    map_classes: bool = False
    weights_key: str = ""


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
        cfg: ``OUTPUT_DIR`` and ``DATASETS`` are read, and what its weights need is compared.
        model: may be wrapped for distributed training.
        options: what the user asked for.
        for_training: see ``PointRendCheckpointer``.
        **checkpointables: objects with a state.
    """
    names = cfg.DATASETS.TRAIN if for_training else cfg.DATASETS.TEST
    return PointRendCheckpointer(
        model,
        cfg.OUTPUT_DIR,
        for_training=for_training,
        class_names=find_class_names(cfg, names),
        keep=cfg.SOLVER.CHECKPOINT_KEEP,
        cfg=cfg,
        **vars(options or LoadOptions()),
        **checkpointables,
    )
