"""``MODEL.FREEZE``: parts of a model that a training leaves as they are."""

import difflib
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

logger = logging.getLogger(__name__)


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Keep modules and parameters of a model from being trained, in place.

    Frozen normalisations and dropout stay in evaluation mode, whatever mode the model is in. Heads
    follow the model: by their mode those of Detectron2 choose between losses and predictions, and
    the loss of a frozen head trains what lies before it. Parameters that are frozen get no
    gradient, so that optimizers of Detectron2 leave them out and what comes before the first
    trained one keeps no activations.

    Args:
        model: any model.
        patterns: names of modules or parameters, in which ``*`` stands for any characters, dots
            included: ``backbone``, ``roi_heads.box_*``. A module is frozen with all below it.

    Raises:
        ValueError: a pattern fits no name, or nothing is left to train.
    """
    if not patterns:
        return
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    for pattern in patterns:
        chosen = [module for name, module in modules.items() if name and fnmatchcase(name, pattern)]
        single = [value for name, value in parameters.items() if fnmatchcase(name, pattern)]
        if not chosen and not single:
            near = difflib.get_close_matches(pattern, modules.keys() | parameters.keys(), cutoff=0)
            raise ValueError(
                f"MODEL.FREEZE holds {pattern!r}, which is the name of no module or parameter of "
                f"this model. Nearest names: {', '.join(near)}."
            )
        for parameter in single:
            parameter.requires_grad_(False)
        for below in {below for module in chosen for below in module.modules()}:
            below.requires_grad_(False)
            if not any(below.children()):  # a layer rather than a head
                below.register_forward_pre_hook(_evaluate)
                below.training = False
    trained = sum(value.numel() for value in parameters.values() if value.requires_grad)
    if not trained:
        raise ValueError(
            f"MODEL.FREEZE {list(patterns)} leaves nothing to train; name fewer parts of the model."
        )
    total = sum(value.numel() for value in parameters.values())
    logger.info("MODEL.FREEZE: %d of %d parameters are trained.", trained, total)


def _evaluate(module: nn.Module, _inputs: Any) -> None:
    """Undo a ``train()`` of the whole model, module by module, before it is noticed."""
    module.training = False
