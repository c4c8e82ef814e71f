"""The two largest logits and the class of the larger, by one pass over the class planes.

A sort looks at every pixel's classes one by one; maxima take whole planes and are several times
faster on a CPU. They are the same numbers, ties included: of equal logits the lower class wins.
"""

import torch
from torch import Tensor

from pointrend_ext.layers.device_rule import runs_cpu_form
from pointrend_ext.layers.exporting import is_exported


@torch.no_grad()
def top_two(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two largest values over the classes.

    Args:
        logits: (N, C, ...), C at least 2. A value that is not a number spreads to both.

    Returns:
        Largest and second largest value, each (N, ...), without gradient.
    """
    if not runs_cpu_form(logits.device) and not is_exported():  # planes suit runtimes on CPUs
        first, label = logits.max(dim=1)
        without_first = logits.scatter(1, label.unsqueeze(1), -torch.inf)
        return first, torch.minimum(first, without_first.amax(dim=1))
    one, two, *others = logits.unbind(1)
    first, second = torch.maximum(one, two), torch.minimum(one, two)
    smaller = torch.empty_like(first)
    for plane in others:
        torch.minimum(first, plane, out=smaller)
        torch.maximum(second, smaller, out=second)
        torch.maximum(first, plane, out=first)
    return first, second


def label_dtype(num_classes: int) -> torch.dtype:
    """Return the smallest type of labels: uint8 up to 256 classes, else int64."""
    return torch.uint8 if num_classes <= 256 else torch.int64


def labels_and_gaps_of_planes(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class of the largest logit, and by how much it is the largest.

    Args:
        planes: (C, ...), C at least 2.

    Returns:
        (...) int64, of equal logits the lower class; and (...), 0 where it is not a number. Of
        logits that are not all numbers the label is 0.
    """
    num_classes = len(planes)
    first = planes.amax(dim=0)
    buffer = torch.empty_like(planes)
    # The lowest number among classes that are not below the maximum; max() with indices is slow.
    is_below = torch.lt(planes, first, out=buffer)
    numbers = torch.arange(num_classes, dtype=planes.dtype, device=planes.device)
    numbers = numbers.view(-1, *[1] * first.dim())
    labels = is_below.mul_(num_classes).add_(numbers).amin(dim=0).long()
    others = torch.scatter(planes, 0, labels.unsqueeze(0), -torch.inf, out=buffer)
    return labels, _gap(first, others.amax(dim=0))


class RunningTopTwo:
    """Largest value, second largest value and label, updated class by class in buffers of its own.

    Attributes:
        first: largest value so far.
        second: second largest value so far.
    """

    def __init__(self, size: tuple[int, ...], num_classes: int, like: Tensor) -> None:
        """Allocate planes of that size; ``like`` gives type and device."""
        self.first, self.second = like.new_empty(size), like.new_empty(size)
        self._labels, self._dtype = like.new_empty(size), label_dtype(num_classes)
        self._smaller, self._label_if_larger = like.new_empty(size), like.new_empty(size)

    def update(self, label: int, plane: Tensor) -> None:
        """Take in the plane of logits of one class; classes come in order, from 0."""
        if label == 0:
            self.first.copy_(plane)
            self.second.fill_(-torch.inf)
            self._labels.zero_()
            return
        # Into numbers: comparisons into truth values are not vectorised, and five times slower.
        torch.gt(plane, self.first, out=self._label_if_larger)
        # Labels only grow, so a maximum does what a masked fill would do several times slower.
        self._label_if_larger.mul_(label)
        torch.maximum(self._labels, self._label_if_larger, out=self._labels)
        torch.minimum(self.first, plane, out=self._smaller)
        torch.maximum(self.second, self._smaller, out=self.second)
        torch.maximum(self.first, plane, out=self.first)

    @property
    def labels(self) -> Tensor:
        """Class of ``first``, in ``label_dtype``."""
        return self._labels.to(self._dtype)

    def gap(self) -> Tensor:
        """Return ``first - second``; 0 where it is not a number. Overwrites ``first``."""
        return _gap(self.first, self.second)


def _gap(first: Tensor, second: Tensor) -> Tensor:
    return first.sub_(second).nan_to_num_(nan=0.0, posinf=torch.inf)
