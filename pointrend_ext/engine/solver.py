"""The optimizer, with a learning rate of its own for the semantic head."""

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_detectron2_optimizer
from torch import nn

_SEMANTIC_HEAD = "sem_seg_head."


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build Detectron2's optimizer, with the semantic head at its own learning rate.

    Parameters below ``sem_seg_head.`` learn at ``SOLVER.SEM_SEG_HEAD_LR_FACTOR`` times the rate
    that they would have without it; groups that hold parameters of both kinds are split in two.

    Raises:
        ValueError: the factor is not above 0, or there is no semantic head to apply it to.
    """
    factor = cfg.SOLVER.SEM_SEG_HEAD_LR_FACTOR
    if not factor > 0:
        raise ValueError(
            f"SOLVER.SEM_SEG_HEAD_LR_FACTOR is {factor}; it must be above 0 (1 trains the "
            "semantic head like the rest)."
        )
    optimizer = build_detectron2_optimizer(cfg, model)
    if factor != 1:
        _scale_head(optimizer, model, factor)
    return optimizer


def _scale_head(optimizer: torch.optim.Optimizer, model: nn.Module, factor: float) -> None:
    """Multiply the head's learning rates, in place."""
    head = {id(p) for name, p in model.named_parameters() if name.startswith(_SEMANTIC_HEAD)}
    rest_groups, head_groups = [], []
    for group in optimizer.param_groups:
        in_head = [p for p in group["params"] if id(p) in head]
        in_rest = [p for p in group["params"] if id(p) not in head]
        if in_rest:
            rest_groups.append({**group, "params": in_rest})
        if in_head:
            head_groups.append({**group, "params": in_head, "lr": group["lr"] * factor})
    if not head_groups:
        raise ValueError(
            f"SOLVER.SEM_SEG_HEAD_LR_FACTOR is {factor}, but {type(model).__name__} has no "
            f"trainable parameter below {_SEMANTIC_HEAD!r}. Remove the key."
        )
    optimizer.param_groups[:] = rest_groups + head_groups
