"""The losses of a training on its test sets."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn

from pointrend_ext.data import build_validation_loader, seed_process
from pointrend_ext.data.seeding import seeded
from pointrend_ext.engine.parallel import share_buffers

_SEED = 7  # of what losses draw: proposals and points, the same ones in each evaluation


def validation_losses(cfg: CfgNode, model: nn.Module) -> Callable[[], dict[str, Any]]:
    """Return what measures the losses of a model on ``DATASETS.TEST``, whose labels are read now.

    Its results are ``{"validation": {loss: value}}``, of several test sets by their names; empty on
    other processes than the first.

    Raises:
        ValueError: a test set has no labels, or they do not fit the model.
    """
    loaders = {name: build_validation_loader(cfg, name) for name in cfg.DATASETS.TEST}

    def measure() -> dict[str, Any]:
        share_buffers(model)
        found = {name: measure_losses(model, loader) for name, loader in loaders.items()}
        if not comm.is_main_process():
            return {}
        return {"validation": found if len(found) > 1 else next(iter(found.values()))}

    return measure


def measure_losses(model: nn.Module, batches: Iterable[list[dict[str, Any]]]) -> dict[str, float]:
    """Return the mean losses over batches, and ``total_loss``, their sum; call it everywhere.

    They are those of the training, but that layers are as in an evaluation: normalisation by the
    running statistics, which do not change, and no dropout. Model, random states and the log of
    the training are as before.

    Args:
        model: in any mode; may be wrapped for distributed training.
        batches: with labels; on several processes each has its own.
    """
    totals: dict[str, float] = {}
    count = 0
    with torch.no_grad(), EventStorage(), _measuring(getattr(model, "module", model)) as measured:
        for number, batch in enumerate(batches):
            seed_process(_SEED, comm.get_rank(), number)
            for name, loss in measured(batch).items():
                totals[name] = totals.get(name, 0.0) + float(loss)
            count += 1
    everywhere = comm.all_gather((totals, count))
    count = sum(number for _, number in everywhere)
    means = {
        name: sum(sums.get(name, 0.0) for sums, _ in everywhere) / count
        for name in dict.fromkeys(name for sums, _ in everywhere for name in sums)
    }
    return {**means, "total_loss": sum(means.values())}


@contextmanager
def _measuring(model: nn.Module) -> Iterator[nn.Module]:
    """Let a model give losses without a change of its state, and of what is drawn after it."""
    modes = [(module, module.training) for module in model.modules()]
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        model.train()
        for module, _ in modes:
            if not any(module.children()):  # a layer; heads tell by their mode what is asked for
                module.training = False
        with torch.random.fork_rng(gpus), seeded(_SEED):
            yield model
    finally:
        for module, was_training in modes:
            module.training = was_training
