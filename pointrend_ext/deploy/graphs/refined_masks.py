"""The masks of a PointRend mask head, in two forms: all at once, or a few at a time."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pointrend_ext.deploy.graphs.region import PairGraph
from pointrend_ext.layers import at_least_float32
from pointrend_ext.modeling.point_head import RegionInputs, predictor_of_planes
from pointrend_ext.modeling.roi_heads import PointRendROIMaskHead


class MasksTogether(nn.Module):
    """Masks of all objects at once, as a GPU wants them."""

    def __init__(self, mask_head: PointRendROIMaskHead, channels: Mapping[str, int]) -> None:
        """Share the modules of a mask head.

        Args:
            mask_head: in evaluation mode.
            channels: of the feature maps by their names.
        """
        super().__init__()
        self.mask_head, self.channels = mask_head, channels

    def forward(self, features: Mapping[str, Tensor], boxes: Tensor, classes: Tensor) -> Tensor:
        """Predict masks of one image.

        Args:
            features: maps by name, (1, C_m, H_m, W_m) each.
            boxes: (R, 4) in pixels of the network's input.
            classes: (R,) int64.

        Returns:
            (R, 1, S, S) probabilities.
        """
        return self._masks(self.mask_head.region_inputs(features, [boxes], None, classes))

    def repeated(self) -> PairGraph | None:
        """Return what is recorded by itself and repeated, if there is a loop."""
        return None

    def _masks(self, inputs: RegionInputs) -> Tensor:
        predictor = predictor_of_planes(self.mask_head.point_head, inputs)
        like = at_least_float32(inputs.coarse_logits)
        return self.mask_head.refine(predictor, inputs.classes.shape[0], like)


class MasksInTurns(MasksTogether):
    """Masks of two objects at a time, as a CPU wants them: what it works on stays in its cache.

    PyTorch records no loop whose turns differ in sizes. So one turn is recorded by itself, and a
    node marks the place of the loop (``deploy.repetition``): a form for ONNX alone.
    """

    def repeated(self) -> PairGraph:
        """Return a turn of the loop."""
        return PairGraph(self.mask_head, self.channels)

    def _masks(self, inputs: RegionInputs) -> Tensor:
        (boxes,), side = inputs.boxes_px, self.mask_head.subdivision.final_side
        return torch.onnx.ops.symbolic(
            PairGraph.node,
            (*inputs.features, boxes, inputs.classes, inputs.coarse_logits),
            dtype=torch.float32,
            shape=(boxes.shape[0], 1, side, side),
            version=1,
        )
