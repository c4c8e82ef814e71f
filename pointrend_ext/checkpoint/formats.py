"""Recognises whose weights these are by their names, and gives them Detectron2's names.

The formats are a table (``name_tables``); everything here is a pure function of a state dict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointrend_ext.checkpoint.errors import WeightsFileError
from pointrend_ext.checkpoint.name_tables import FORMATS, PLAIN
from pointrend_ext.checkpoint.weights_format import WeightsFormat

__all__ = ["Conversion", "to_detectron2_names", "unwrap_state_dict"]

# Where training frameworks keep the weights inside what they save, first match first; "blobs" is
# Detectron's, "model_state" that of pycls.
CONTAINERS = ("model", "state_dict", "model_state_dict", "model_state", "blobs", "weights")
WRAPPERS = ("module.", "_orig_mod.", "model.")  # data-parallel, compiled, Lightning
COARSE_PREFIX = "sem_seg_head.coarse_sem_seg_head."
# Class frequencies of the training set (federated loss): a model has those of its own data.
OF_THE_DATA = (r".*\.fed_loss_cls_weights$",)


@dataclass(frozen=True)
class Conversion:
    """Weights under Detectron2's names.

    Attributes:
        state_dict: name -> tensor.
        format: whose weights they are, in words.
        original_names: new name -> name in the file, where they differ.
        ignored: names in the file that no model needs (optimizer momentum, a classifier), or that
            depend on the data alone.
        notes: what a user of this format should know.
    """

    state_dict: dict[str, Tensor]
    format: str
    original_names: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def unwrap_state_dict(data: Any, source: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Find the weights in what a file held.

    Args:
        data: what ``read_weights_file`` returned.
        source: the file's name, for messages.

    Returns:
        The weights as tensors, without wrappers' prefixes, and what else the outermost dictionary
        held.

    Raises:
        WeightsFileError: there are none, or one has a dtype that torch lacks.
    """
    if not isinstance(data, Mapping):
        raise WeightsFileError(
            f"{source} holds a {type(data).__name__}, not a dictionary of tensors by name: give a "
            "file that holds model.state_dict(), alone or under the key 'model'."
        )
    container = next((key for key in CONTAINERS if isinstance(data.get(key), Mapping)), None)
    if container is not None:
        state, _ = unwrap_state_dict(data[container], source)
        return state, {key: value for key, value in data.items() if key != container}
    state, extras = {}, {}
    for name, value in data.items():
        if isinstance(name, str) and isinstance(value, Tensor | np.ndarray | np.generic):
            state[name] = _as_tensor(value, name, source)
        else:
            extras[name] = value
    if not state:
        found = ", ".join(repr(key) for key in list(data)[:5]) or "no keys"
        raise WeightsFileError(
            f"{source} holds no tensors by name (found {found}): give a file that holds "
            "model.state_dict(), alone or under the key 'model'."
        )
    for prefix in WRAPPERS:
        if all(name.startswith(prefix) for name in state):
            state = {name[len(prefix) :]: value for name, value in state.items()}
    return state, extras


def _as_tensor(value: Tensor | np.ndarray | np.generic, name: str, source: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    try:
        return torch.from_numpy(np.asarray(value))
    except TypeError as error:
        raise WeightsFileError(
            f"{source}: {name} is an array of {value.dtype}, which torch does not have."
        ) from error


def to_detectron2_names(
    state_dict: Mapping[str, Tensor],
    model_names: Iterable[str],
    *,
    complete_names: bool = False,
) -> Conversion:
    """Give weights of a known format the names of a Detectron2 model.

    Args:
        state_dict: from ``unwrap_state_dict``; not changed.
        model_names: names of the model's own state dict. They say where a backbone belongs, and
            whether the semantic head is wrapped by PointRend.
        complete_names: whether names are the ends of the model's names (the flag
            ``matching_heuristics`` of Detectron2's files).

    Returns:
        All tensors, also those that the model does not have.

    Raises:
        WeightsFileError: one tensor fits several of the model's names.
    """
    model_names = list(model_names)
    weights_format = _recognise(state_dict)
    dropped = (*weights_format.dropped, *OF_THE_DATA)
    ignored = [name for name in state_dict if _matches(dropped, name)]
    kept = {name: state_dict[name] for name in state_dict if name not in set(ignored)}
    original = {_rename(weights_format, name): name for name in kept}
    if len(original) < len(kept):
        raise WeightsFileError("Two tensors of the file mean the same parameter of the model.")
    state = {name: kept[old] for name, old in original.items()}
    if weights_format.convert is not None:
        state, names = weights_format.convert(state)
        original = {name: original[old] for name, old in names.items()}
    renames = _wrap_semantic_head(state, model_names)
    if weights_format.partial_names or complete_names:
        renames = _complete_names(state, model_names)
    state = {renames.get(name, name): value for name, value in state.items()}
    if weights_format.fused_norms:
        state.update(_neutral_statistics(state, model_names))
    original = {renames.get(name, name): old for name, old in original.items()}
    return Conversion(
        state_dict=state,
        format=weights_format.name,
        original_names={name: old for name, old in original.items() if name != old},
        ignored=tuple(ignored),
        notes=weights_format.notes,
    )


def _recognise(state_dict: Mapping[str, Tensor]) -> WeightsFormat:
    for weights_format in FORMATS:
        if all(any(re.match(p, name) for name in state_dict) for p in weights_format.required):
            return weights_format
    return PLAIN


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.match(pattern, name) for pattern in patterns)


def _rename(weights_format: WeightsFormat, name: str) -> str:
    for pattern, replacement in weights_format.renames:
        name = re.sub(pattern, replacement, name)
    return name


def _wrap_semantic_head(state: Iterable[str], model_names: Iterable[str]) -> dict[str, str]:
    """Move a semantic head to where PointRend has its coarse head, or back."""
    model_is_wrapped = any(name.startswith(COARSE_PREFIX) for name in model_names)
    state_is_wrapped = any(name.startswith(COARSE_PREFIX) for name in state)
    if model_is_wrapped and not state_is_wrapped:
        pattern, replacement = r"sem_seg_head\.(?!point_head\.)", COARSE_PREFIX
    elif state_is_wrapped and not model_is_wrapped:
        pattern, replacement = re.escape(COARSE_PREFIX), "sem_seg_head."
    else:
        return {}
    return {name: re.sub(f"^{pattern}", replacement, name) for name in state}


def _neutral_statistics(
    state: Mapping[str, Tensor], model_names: Iterable[str]
) -> dict[str, Tensor]:
    """Mean 0 and variance 1 for the model's normalisations whose scales alone are known."""
    make = {"running_mean": torch.zeros_like, "running_var": torch.ones_like}
    added = {}
    for name in model_names:
        norm, _, kind = name.rpartition(".")
        if kind in make and name not in state and f"{norm}.weight" in state:
            added[name] = make[kind](state[f"{norm}.weight"])
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
        if name is None:
            continue
        if name in renames:
            raise WeightsFileError(
                f"{name} of the file fits both {renames[name]} and {model_name} of the model."
            )
        renames[name] = model_name
    return renames
