"""The layers of a point head, split by what they read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pointrend_ext.layers.fast import linear
from pointrend_ext.modeling.point_head.standard import StandardPointHead


@dataclass(frozen=True)
class SplitPointLayers:
    """Weights of a ``StandardPointHead``; a matrix is [fine or hidden columns | coarse columns].

    Built for one forward pass and differentiable, so that nothing is stored twice in a checkpoint.

    Attributes:
        fine: per feature map the columns (D, C_m) of the first layer that read it.
        hidden: the columns (D, D) of each further layer that read the one before it.
        biases: (D,) of each hidden layer.
        coarse: (J * D, K), coarse columns of the first J layers below one another; J is the number
            of hidden layers, or 1.
        out: (C, D), hidden columns of the predictor.
        out_coarse: (C, K), its coarse columns, or None.
        out_bias: (C,).
    """

    fine: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    coarse: Tensor
    out: Tensor
    out_coarse: Tensor | None
    out_bias: Tensor

    @classmethod
    def of(cls, head: StandardPointHead, map_channels: Sequence[int]) -> "SplitPointLayers":
        """Split the weights.

        Args:
            head: the point head.
            map_channels: C_m of each feature map, in the order in which the head reads them.
        """
        first, *further = (layer.weight[:, :, 0] for layer in head.hidden_layers)
        width = first.shape[0]
        fine_and_coarse = first.split([*map_channels, first.shape[1] - sum(map_channels)], dim=1)
        out = head.predictor.weight[:, :, 0]
        coarse = [fine_and_coarse[-1]]
        if head.coarse_pred_each_layer:
            coarse += [weight[:, width:] for weight in further]
        return cls(
            fine=tuple(weight.contiguous() for weight in fine_and_coarse[:-1]),
            hidden=tuple(weight[:, :width].contiguous() for weight in further),
            biases=tuple(layer.get_parameter("bias") for layer in head.hidden_layers),
            coarse=torch.cat(coarse),
            out=out[:, :width],
            out_coarse=out[:, width:] if head.coarse_pred_each_layer else None,
            out_bias=head.predictor.get_parameter("bias"),
        )

    def run(self, hidden: Tensor, coarse_part: Callable[[int], Tensor]) -> Tensor:
        """Apply the hidden layers, in place where they can be.

        Args:
            hidden: (Q, D), what the first layer makes of the fine-grained features, with its bias.
            coarse_part: the number of a layer that reads the coarse prediction -> (Q, D), what it
                makes of it.

        Returns:
            (Q, D), after the last layer.
        """
        num_coarse = len(self.coarse) // hidden.shape[1]
        for number, bias in enumerate(self.biases):
            if number > 0:
                hidden = linear(hidden, self.hidden[number - 1], bias)
            if number < num_coarse:
                hidden = hidden.add_(coarse_part(number))
            hidden = hidden.relu_()
        return hidden
