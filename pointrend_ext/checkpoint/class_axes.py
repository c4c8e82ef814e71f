"""Which rows and columns of which tensors belong to classes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pointrend_ext.structures.classes import INSTANCE, SEMANTIC

__all__ = ["INSTANCE", "SEMANTIC", "ClassTensor", "State", "count_classes", "find_class_tensor"]

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class ClassRows:
    """A kind of tensor whose rows belong to classes, in blocks of equal size, class-major.

    Attributes:
        kind: whose classes, ``INSTANCE`` or ``SEMANTIC``.
        head: pattern of the prefix of the head's names.
        layer: pattern of the name behind it, without weight or bias.
        counter: name, behind the prefix, of the tensor whose rows count the head's classes.
        background: rows of the counter that follow the classes.
        tail: the same of the tensor itself.
        per_class: rows per class, None where that depends on the model. Where a tensor has another
            number it belongs to no class (class-agnostic boxes); 0 if only its columns may.
    """

    kind: str
    head: str
    layer: str
    counter: str
    background: int = 0
    tail: int = 0
    per_class: int | None = None


BOX = r"roi_heads\.box_predictor\.(?:\d+\.)?"  # numbered in a cascade
MASK = r"roi_heads\.mask_head\."
SEM_SEG = r"sem_seg_head\."
COARSE_SEM_SEG = r"sem_seg_head\.(?:coarse_sem_seg_head\.)?"
AUXILIARY = r"(?:auxiliary\.(?:\d+\.)?)?"  # SFNetHead has several, AlignSegHead one
POINT_COUNTER = "point_head.predictor.weight"
CLASS_ROWS = (
    ClassRows(INSTANCE, BOX, "cls_score", "cls_score.weight", background=1, tail=1, per_class=1),
    ClassRows(INSTANCE, BOX, "bbox_pred", "cls_score.weight", background=1, per_class=4),
    ClassRows(INSTANCE, MASK, "predictor", "predictor.weight", per_class=1),
    ClassRows(INSTANCE, MASK, r"coarse_head\.prediction", POINT_COUNTER),
    ClassRows(INSTANCE, MASK, r"point_head\.predictor", POINT_COUNTER, per_class=1),
    ClassRows(SEMANTIC, COARSE_SEM_SEG, rf"{AUXILIARY}predictor", "predictor.weight", per_class=1),
    ClassRows(SEMANTIC, SEM_SEG, r"point_head\.predictor", POINT_COUNTER, per_class=1),
    ClassRows(INSTANCE, MASK, r"point_head\.fc\d+", POINT_COUNTER, per_class=0),
    ClassRows(SEMANTIC, SEM_SEG, r"point_head\.fc\d+", POINT_COUNTER, per_class=0),
)
# The layers of a point head, whose last columns may read the coarse prediction of each class.
POINT_LAYER = re.compile(r"(?P<head>.*\.point_head\.)(?:fc(?P<number>\d+)|predictor)\.weight")


@dataclass(frozen=True)
class ClassTensor:
    """A tensor with classes in its rows or columns.

    Attributes:
        name: the parameter's.
        counter: name of the tensor whose rows count the classes.
        rows: which rows belong to classes.
    """

    name: str
    counter: str
    rows: ClassRows

    def count(self, state: State) -> int | None:
        """Return the number of classes of the tensor's head in a state dict, if it has any."""
        if self.counter not in state or not state[self.counter].dim():
            return None
        count = state[self.counter].shape[0] - self.rows.background
        return count if count > 0 else None

    def reads_coarse(self, state: State) -> bool:
        """Whether the last columns, one per class, are the coarse prediction's.

        True for the first layer of a point head, and for the others where they are wider, by the
        number of classes, than what the layer before gives them.
        """
        match = POINT_LAYER.fullmatch(self.name)
        if match is None or match["number"] == "1":
            return match is not None
        number = int(match["number"] or 0)
        while not match["number"] and f"{match['head']}fc{number + 1}.weight" in state:
            number += 1
        before = f"{match['head']}fc{number - bool(match['number'])}.weight"
        count = self.count(state)
        if before not in state or count is None:
            return False
        return state[self.name].shape[1] == state[before].shape[0] + count


def find_class_tensor(name: str) -> ClassTensor | None:
    """Return what a parameter's name says about its classes; None if it has none."""
    for rule in CLASS_ROWS:
        match = re.fullmatch(rf"({rule.head}){rule.layer}\.(?:weight|bias)", name)
        if match:
            return ClassTensor(name, f"{match[1]}{rule.counter}", rule)
    return None


def count_classes(state: State, kind: str) -> int | None:
    """Return the number of classes of a state dict's heads of a kind; None without such a head.

    Of several heads the largest number counts: a class-agnostic one says nothing.
    """
    tensors = filter(None, map(find_class_tensor, state))
    counts = [tensor.count(state) for tensor in tensors if tensor.rows.kind == kind]
    return max((count for count in counts if count is not None), default=None)
