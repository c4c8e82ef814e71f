"""What are the logits at these points of these regions? Answered by products of matrices."""

import torch
from torch import Tensor

from pointrend_ext.layers import at_least_float32, box_to_px, point_sample, px_to_map
from pointrend_ext.modeling.point_head import RegionInputs, StandardPointHead
from pointrend_ext.modeling.point_head.fast import SplitPointLayers

__all__ = ["RegionRowPredictor"]


class RegionRowPredictor:
    """``RegionPointPredictor`` for a ``StandardPointHead`` in a graph of any number of regions.

    A row per point, since runtimes multiply by ``Gemm`` with its sum and its ReLU at once. Bilinear
    interpolation of the S x S coarse cells is a product as well, with the weights of the cells at
    the points (R, P, S * S): what the layers make of the cells is computed per cell, as in
    ``ProjectedRegionPredictor``, which says why it may, and multiplied with these weights.
    """

    def __init__(self, head: StandardPointHead, inputs: RegionInputs) -> None:
        """Apply the layers to the coarse cells of R regions of one image."""
        layers = SplitPointLayers.of(head, [x.shape[1] for x in inputs.features])
        self._layers, self._inputs = layers, inputs
        coarse = at_least_float32(inputs.coarse_logits)
        self._side = coarse.shape[2:]
        cells = coarse.flatten(2).transpose(1, 2)  # (R, S * S, K)
        width = len(layers.biases[0])
        num_coarse = len(layers.coarse) // width
        table = _with_bias(cells @ layers.coarse.t(), torch.cat(layers.biases[:num_coarse]))
        self._tables = table.split(width, dim=2)  # each (R, S * S + 1, D)
        own = inputs.classes if len(layers.out) > 1 else torch.zeros_like(inputs.classes)
        self._out = layers.out[own].unsqueeze(2)  # (R, D, 1)
        self._out_bias = layers.out_bias[own].view(-1, 1, 1)
        self._out_table = None
        if layers.out_coarse is not None:
            self._out_table = cells @ layers.out_coarse[own].unsqueeze(2)  # (R, S * S, 1)

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class.

        Args:
            coords_box: (R, P, 2), (x, y) in [0, 1] of the boxes.

        Returns:
            (R, 1, P) logits.
        """
        layers, num_points = self._layers, coords_box.shape[1]
        weights = self._weights(coords_box)
        with_one = torch.cat((weights, torch.ones_like(weights[..., :1])), dim=2)
        hidden = self._fine(coords_box).t()  # (R * P, F)
        matrices = (torch.cat(layers.fine, dim=1), *layers.hidden)
        for number, matrix in enumerate(matrices):
            part = layers.biases[number]
            if number < len(self._tables):
                part = (with_one @ self._tables[number]).flatten(0, 1)
            hidden = torch.addmm(part, hidden, matrix.t()).relu()
        hidden = hidden.view(-1, num_points, hidden.shape[1])
        logits = hidden @ self._out + self._out_bias  # (R, P, 1)
        if self._out_table is not None:
            logits = logits + weights @ self._out_table
        return logits.transpose(1, 2)

    def _fine(self, coords_box: Tensor) -> Tensor:
        """Read the fine-grained maps: (F, R * P)."""
        x = self._inputs
        coords_px = box_to_px(coords_box, torch.cat(list(x.boxes_px))).flatten(0, 1)[None]
        maps = zip(x.features, x.strides, strict=True)
        read = [point_sample(m, px_to_map(coords_px, m.shape[2:], stride))[0] for m, stride in maps]
        return read[0] if len(read) == 1 else torch.cat(read)

    def _weights(self, coords_box: Tensor) -> Tensor:
        """Return the weights (R, P, S * S) of bilinear interpolation, beyond the cells with 0."""
        height, width = self._side
        x, y = coords_box.unbind(2)
        return (_hats(y, height).unsqueeze(3) * _hats(x, width).unsqueeze(2)).flatten(2)


def _hats(coords: Tensor, cells: int) -> Tensor:
    """Return the weights (R, P, cells) along one axis, of coordinates (R, P) in [0, 1]."""
    centres = torch.arange(cells, dtype=coords.dtype, device=coords.device) + 0.5
    return (1 - (coords.unsqueeze(2) * cells - centres).abs()).relu()


def _with_bias(table: Tensor, bias: Tensor) -> Tensor:
    """Add a row to (R, S * S, D): weights do not sum to 1 at the edges, and so cannot hold it."""
    return torch.cat((table, bias.expand(table.shape[0], 1, -1)), dim=1)
