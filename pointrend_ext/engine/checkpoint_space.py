"""How much disk the checkpoints of a training will take, known before the first is written."""

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm
from torch import nn

from pointrend_ext.checkpoint.full_disk import FullDiskError

_LOGGER = logging.getLogger(__name__)


def checkpoint_bytes(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, averaged: bool = False
) -> int:
    """Return about how large a checkpoint is, that of a new optimizer once it has its state.

    Args:
        model: that is trained.
        optimizer: keeps one number for each trained one (SGD with momentum), or two (Adam).
        averaged: whether the file holds a second, averaged model.
    """
    weights = sum(value.nbytes for value in model.state_dict().values())
    is_adam = "Adam" in type(optimizer).__name__
    of_optimizer = sum(
        parameter.nbytes * (2 if is_adam else int(group.get("momentum", 1) > 0))
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
    return weights * (1 + averaged) + of_optimizer


def number_of_checkpoints(cfg: Any, start: int = 0) -> int:
    """Return how many checkpoints are on the disk at most, from now on: new ones alone.

    Args:
        cfg: the configuration.
        start: iterations that are done.
    """
    solver = cfg.SOLVER
    numbered = solver.MAX_ITER // solver.CHECKPOINT_PERIOD - start // solver.CHECKPOINT_PERIOD
    if solver.CHECKPOINT_KEEP:  # one is removed once the next is complete
        numbered = min(numbered, solver.CHECKPOINT_KEEP + 1)
    return numbered + 1 + bool(solver.BEST.METRIC)  # model_final.pth


def note_space(trainer: Any) -> None:
    """Say how much the checkpoints of a training will take, and whether the disk has that.

    Raises:
        FullDiskError: not even one has room.
    """
    if not comm.is_main_process():  # it writes them
        return
    cfg = trainer.cfg
    size = checkpoint_bytes(trainer.model, trainer.optimizer, averaged=cfg.SOLVER.EMA.ENABLED)
    number = number_of_checkpoints(cfg, trainer.start_iter)
    free = shutil.disk_usage(Path(cfg.OUTPUT_DIR)).free
    text = (
        f"Checkpoints: up to {number} of {size / 1e6:.0f} MB each, {number * size / 1e9:.1f} GB, "
        f"in {cfg.OUTPUT_DIR}, whose disk has {free / 1e9:.1f} GB free."
    )
    if free < size:
        raise FullDiskError(f"{text} Not one has room: free some space, or set OUTPUT_DIR.")
    if free < number * size:
        _LOGGER.warning(
            "%s They will not all have room: free some space, set OUTPUT_DIR, or let fewer stay "
            "with SOLVER.CHECKPOINT_KEEP (now %d, 0 for all) or a longer CHECKPOINT_PERIOD.",
            text,
            cfg.SOLVER.CHECKPOINT_KEEP,
        )
    else:
        _LOGGER.info(text)
