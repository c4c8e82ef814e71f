"""Loads weights of one set of classes into a model with another.

What belongs to a class moves with it or is new; all else stays. Detectron2 drops a whole tensor
when its shape differs, and so all that a point head has learned about fine features.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pointrend_ext.checkpoint.class_axes import (
    INSTANCE,
    ClassTensor,
    State,
    count_classes,
    find_class_tensor,
)
from pointrend_ext.checkpoint.class_names import ClassMap
from pointrend_ext.checkpoint.report import MAPPED, PARTLY_NEW, Entry

_IMPLICIT_ROWS = re.compile(r"roi_heads\.mask_head\.parameter_head\.prediction\.(weight|bias)")


def adapt_classes(
    state_dict: State, model_state: State, *, class_map: Mapping[str, ClassMap] | None = None
) -> tuple[dict[str, Tensor], list[Entry]]:
    """Fit class-specific tensors to the model's classes.

    Rows and columns of a class take the checkpoint's values if the class is mapped, else the values
    that the freshly built model has there. All others keep the checkpoint's. Nothing is changed in
    place.

    Args:
        state_dict: the checkpoint's, under Detectron2's names.
        model_state: the freshly built model's.
        class_map: by ``INSTANCE`` and ``SEMANTIC``. Without an entry, or with one for other numbers
            of classes than a head has, classes stay where they are if their number is the same, and
            all are new if it is not.

    Returns:
        A new state dict, and an entry for each tensor that was changed. Tensors that differ from
        the model's in more than the number of classes are left as they are.
    """
    result, entries = dict(state_dict), []
    for name in state_dict:
        tensor = find_class_tensor(name)
        if tensor is None or name not in model_state:
            continue
        change = _change(tensor, state_dict, model_state, (class_map or {}).get(tensor.rows.kind))
        adapted = None if change is None else _adapted(tensor, state_dict, model_state, change)
        if change is not None and adapted is not None:
            result[name] = adapted
            entries.append(_entry(tensor, change))
    for name in _implicit_tensors(state_dict, model_state, (class_map or {}).get(INSTANCE)):
        result[name] = model_state[name].detach().clone()
        entries.append(Entry(name, PARTLY_NEW, "all new: it predicts what all classes share"))
    return result, entries


def _implicit_tensors(old: State, new: State, class_map: ClassMap | None) -> Iterator[str]:
    """Yield the last layers of Implicit PointRend where classes change.

    Their rows are the parameters of the MLPs, in an order that depends on sizes which no tensor
    tells. As many rows with another number of classes are those of a class-agnostic head.
    """
    old_count, new_count = count_classes(old, INSTANCE), count_classes(new, INSTANCE)
    if old_count is None or new_count is None:
        return
    is_same, same = old_count == new_count, ClassMap(tuple(range(new_count)), new_count)
    if is_same and class_map in (None, same):
        return
    for name in (name for name in old if name in new):
        if _IMPLICIT_ROWS.fullmatch(name) and (is_same or old[name].shape != new[name].shape):
            yield name


def _change(
    tensor: ClassTensor, old: State, new: State, class_map: ClassMap | None
) -> ClassMap | None:
    """Say which class becomes which; None where nothing changes."""
    old_count, new_count = tensor.count(old), tensor.count(new)
    if old_count is None or new_count is None:
        return None
    if tensor.rows.per_class == 0 and not tensor.reads_coarse(new):
        return None  # a hidden layer that reads hidden features alone
    same = tuple(range(new_count))
    if class_map is None or (class_map.old_count, len(class_map.sources)) != (old_count, new_count):
        class_map = ClassMap(same if old_count == new_count else (None,) * new_count, old_count)
    return None if class_map == ClassMap(same, new_count) else class_map


def _adapted(
    tensor: ClassTensor, old_state: State, new_state: State, change: ClassMap
) -> Tensor | None:
    """Build the model's tensor; None where more than the number of classes differs."""
    old, new = old_state[tensor.name], new_state[tensor.name].detach().clone()
    rule, count = tensor.rows, len(change.sources)
    per_class = (new.shape[0] - rule.tail) // count if rule.per_class is None else rule.per_class
    # Per axis: indices before the classes, of each class, and behind them.
    axes = [(new.shape[0] if rule.per_class == 0 else 0, per_class, rule.tail)]
    if new.dim() > 1:
        coarse = tensor.reads_coarse(new_state)
        axes += [(new.shape[1] - coarse * count, int(coarse), 0)]
        axes += [(size, 0, 0) for size in new.shape[2:]]
    for state, classes in ((old, change.old_count), (new, count)):
        if [*state.shape] != [before + classes * each + tail for before, each, tail in axes]:
            return None
    pairs = [torch.tensor(_pairs(change, *axis), dtype=torch.int64) for axis in axes]
    new_index, old_index = (
        torch.meshgrid(*(axis.reshape(-1, 2)[:, side] for axis in pairs), indexing="ij")
        for side in (0, 1)
    )
    new[new_index] = old[old_index].to(new)
    return new


def _pairs(change: ClassMap, before: int, per_class: int, tail: int) -> list[tuple[int, int]]:
    """Pair indices of an axis in the model's tensor with those in the checkpoint's."""
    blocks = [(0, 0, before)]  # where each block begins there and there, and its length
    for new, old in enumerate(change.sources):
        if old is not None:
            blocks.append((before + new * per_class, before + old * per_class, per_class))
    new_tail, old_tail = (before + n * per_class for n in (len(change.sources), change.old_count))
    blocks.append((new_tail, old_tail, tail))
    return [(new + i, old + i) for new, old, length in blocks for i in range(length)]


def _entry(tensor: ClassTensor, change: ClassMap) -> Entry:
    count, new = len(change.sources), change.sources.count(None)
    if not new:
        return Entry(tensor.name, MAPPED, f"{count} of {change.old_count} classes")
    text = f"{count - new} of {count} classes taken from {change.old_count}, {new} new"
    if tensor.rows.per_class == 0:
        text += "; all other columns kept"
    return Entry(tensor.name, PARTLY_NEW, text)
