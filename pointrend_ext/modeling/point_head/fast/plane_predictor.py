"""What are the logits at these points of these regions? The answer in few launches."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers import at_least_float32, point_sample_each, sample_region_features
from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers
from pointrend_ext.modeling.point_head.region_inputs import RegionInputs


class PlaneRegionPredictor:
    """``RegionPointPredictor`` for a ``StandardPointHead`` in inference, not on CPUs.

    What the layers read of the coarse cells is computed once per cell, as in
    ``ProjectedRegionPredictor``, which says why it may, and the predictor is evaluated for the
    region's own class alone; but all maps stay planes, read by ``grid_sample``, one launch for all
    regions. Products are convolutions as in the original, so that both follow
    ``torch.backends.cudnn.allow_tf32``.
    """

    def __init__(self, layers: SplitPointLayers, inputs: RegionInputs) -> None:
        """Apply the layers to the coarse cells of R regions."""
        self._layers, self._inputs = layers, inputs
        self._weights = (torch.cat(layers.fine, dim=1), *layers.hidden)
        coarse = inputs.coarse_logits.flatten(2)  # (R, K, S * S)
        width, side = len(layers.biases[0]), inputs.coarse_logits.shape[2:]
        self._coarse = [
            at_least_float32(product(coarse, weight)).unflatten(2, side)  # (R, D, S, S)
            for weight in layers.coarse.split(width)
        ]
        own = inputs.classes if len(layers.out) > 1 else torch.zeros_like(inputs.classes)
        self._out = layers.out[own].unsqueeze(1)  # (R, 1, D)
        self._out_bias = layers.out_bias[own].view(-1, 1, 1)
        if layers.out_coarse is not None:
            weight = layers.out_coarse[own].unsqueeze(1)
            logits = torch.bmm(weight, _matching(coarse, weight))
            self._coarse.append(at_least_float32(logits).unflatten(2, side))  # (R, 1, S, S)

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class.

        Args:
            coords_box: (R, P, 2), (x, y) in [0, 1] of the boxes.

        Returns:
            (R, 1, P) logits.
        """
        x = self._inputs
        hidden = sample_region_features(x.features, x.strides, x.boxes_px, coords_box)  # (R, F, P)
        coarse = point_sample_each(self._coarse, coords_box)
        for weight, bias in zip(self._weights, self._layers.biases, strict=True):
            hidden = product(hidden, weight, bias)
            part = next(coarse, None)
            hidden = (hidden if part is None else hidden.add_(part)).relu_()
        logits = torch.bmm(_matching(self._out, hidden), hidden) + self._out_bias
        part = next(coarse, None)
        return logits if part is None else logits + part


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a layer (O, I) to (R, I, P)."""
    return F.conv1d(_matching(inputs, weight), weight.unsqueeze(2), bias)


def _matching(inputs: Tensor, other: Tensor) -> Tensor:
    """Give the type of ``other``, but where autocast will give both its own."""
    if inputs.dtype == other.dtype or torch.is_autocast_enabled(inputs.device.type):
        return inputs
    return inputs.to(other.dtype)
