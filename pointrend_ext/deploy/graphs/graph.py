"""What an export has to know of a graph."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int | str, ...]
"""Sizes of a tensor; those that are named may be any."""

_EXAMPLE_SIDES = {"H": 192, "W": 256}
"""Neither of them 1, which is recorded as such, nor both the same."""


class Graph(nn.Module):
    """A function of tensors with the weights of a model.

    Attributes:
        inputs: shapes of its arguments by their names, in order.
        outputs: shapes of its results by their names, in order.
    """

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call ``predict``; one form of arguments for every graph, by which it is recorded."""
        return self.predict(*inputs)

    @abstractmethod
    def predict(self, *inputs: Any) -> Tensor | tuple[Tensor, ...]:
        """Return what ``outputs`` describes, of what ``inputs`` describes."""

    def repeated(self) -> "RepeatedGraph | None":
        """Return the graph that is repeated in the place of one of its nodes, if there is one."""
        return None

    def example(self) -> tuple[Tensor, ...]:
        """Return arguments to record it with: of images, noise."""
        noise = torch.Generator().manual_seed(0)
        shapes = [
            [side if isinstance(side, int) else _EXAMPLE_SIDES[side] for side in shape]
            for shape in self.inputs.values()
        ]
        return tuple(torch.rand(shape, generator=noise) * 255 for shape in shapes)


class RepeatedGraph(Graph):
    """A graph for a few rows of what another one has found: see ``deploy.repetition``.

    Attributes:
        node: domain::type of the node of the other graph that it takes the place of.
        num_shared: its first inputs, which are the same for all rows.
        rows: that it takes of the other inputs, at most; at least 1. As many are in its one output.
    """

    node: str
    num_shared: int
    rows: int
