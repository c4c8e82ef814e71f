"""Recognises whose weights these are by their names, and gives them Detectron2's names.

The formats are a table (``name_tables``); everything here is a pure function of a state dict.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pointrend_ext.checkpoint.errors import WeightsFileError
from pointrend_ext.checkpoint.name_tables import FORMATS, PLAIN

COARSE_PREFIX = "sem_seg_head.coarse_sem_seg_head."
# Class frequencies of the training set (federated loss): a model has those of its own data.
OF_THE_DATA = (r".*\.fed_loss_cls_weights$",)


@dataclass(frozen=True)
class Conversion:
    """Weights under Detectron2's names.

    Attributes:
        state_dict: name -> tensor.
        format: whose weights they are, in words.
        ignored: names in the file that no model needs, or that depend on the data alone.
        expects: what these weights need of the configuration, value by key.
        notes: what else a user of this format should know.
    """

    state_dict: dict[str, Tensor]
    format: str
    ignored: tuple[str, ...] = ()
    expects: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def to_detectron2_names(
    state_dict: Mapping[str, Tensor],
    model_names: Iterable[str],
    *,
    complete_names: bool = False,
) -> Conversion:
    """Give weights of a known format the names of a Detectron2 model, also what it does not have.

    Args:
        state_dict: from ``find_weights``; not changed.
        model_names: names of the model's own state dict. They say where a backbone belongs, and
            whether the semantic head is wrapped by PointRend.
        complete_names: whether names are the ends of the model's names (the flag
            ``matching_heuristics`` of Detectron2's files).

    Raises:
        WeightsFileError: one tensor fits several of the model's names.
    """
    model_names = list(model_names)
    weights_format = next((known for known in FORMATS if known.fits(state_dict)), PLAIN)
    dropped = re.compile("|".join((*weights_format.dropped, *OF_THE_DATA)))
    ignored = tuple(name for name in state_dict if dropped.match(name))
    kept = {name: value for name, value in state_dict.items() if not dropped.match(name)}
    state = {weights_format.rename(name): value for name, value in kept.items()}
    if len(state) < len(kept):
        raise WeightsFileError("Two tensors of the file mean the same parameter of the model.")
    if weights_format.convert is not None:
        state = weights_format.convert(state)
    renames = _wrap_semantic_head(state, model_names)
    if weights_format.partial_names or complete_names:
        renames = _complete_names(state, model_names)
    state = {renames.get(name, name): value for name, value in state.items()}
    if weights_format.fused_norms:
        state.update(_neutral_statistics(state, model_names))
    return Conversion(
        state, weights_format.name, ignored, weights_format.expects, weights_format.notes
    )


def _wrap_semantic_head(state: Collection[str], model_names: Collection[str]) -> dict[str, str]:
    """Move a semantic head to where PointRend has its coarse head, or back."""
    in_model, in_state = (
        any(name.startswith(COARSE_PREFIX) for name in names) for names in (model_names, state)
    )
    if in_model == in_state:
        return {}
    old, new = r"^sem_seg_head\.(?!point_head\.)", COARSE_PREFIX
    if in_state:
        old, new = f"^{re.escape(COARSE_PREFIX)}", "sem_seg_head."
    return {name: re.sub(old, new, name) for name in state}


def _neutral_statistics(
    state: Mapping[str, Tensor], model_names: Iterable[str]
) -> dict[str, Tensor]:
    """Mean 0 and variance 1 for the model's normalisations whose scales alone are known."""
    added = {}
    for name in model_names:
        scale = re.sub(r"\.running_(mean|var)$", ".weight", name)
        if scale in state and name not in state:
            added[name] = torch.full_like(state[scale], float(name.endswith("var")))
    return added


def _complete_names(state: Mapping[str, Tensor], model_names: Iterable[str]) -> dict[str, str]:
    """Match names that are the ends of the model's names, the longest that fits first.

    The rule is that of Detectron2's ``align_and_update_state_dicts``, which however leaves out what
    has another shape, and with it all that depends on the number of classes.
    """
    renames: dict[str, str] = {}
    for model_name in model_names:
        parts = model_name.split(".")
        ends = (".".join(parts[i:]) for i in range(len(parts)))
        name = next((end for end in ends if end in state), None)
        if name is not None and renames.setdefault(name, model_name) != model_name:
            raise WeightsFileError(
                f"{name} of the file fits both {renames[name]} and {model_name} of the model."
            )
    return renames
