"""A PointRend mask head as a function of tensors alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pointrend_ext.deploy.graphs.graph import Graph
from pointrend_ext.layers import at_least_float32
from pointrend_ext.modeling.point_head import graph_predictor
from pointrend_ext.modeling.roi_heads import PointRendROIMaskHead


class MaskGraph(Graph):
    """Feature maps of an image, boxes and classes to masks, those of the head it is made of."""

    def __init__(self, mask_head: PointRendROIMaskHead, channels: dict[str, int]) -> None:
        """Share the modules of a mask head.

        Args:
            mask_head: in evaluation mode.
            channels: of the feature maps by their names.
        """
        super().__init__()
        self.mask_head, self._channels = mask_head, channels
        coarse, fine = mask_head.coarse_levels, mask_head.point_levels
        self.strides = {
            name: stride
            for levels in (coarse, fine)
            for name, stride in zip(levels.names, levels.strides, strict=True)
        }
        maps = {name: (1, channels[name], f"H_{name}", f"W_{name}") for name in self.strides}
        self.inputs = {**maps, "boxes": ("R", 4), "classes": ("R",)}
        side = mask_head.subdivision.final_side
        self.outputs = {"masks": ("R", 1, side, side)}

    def predict(self, *inputs: Tensor) -> Tensor:
        """Predict.

        Args:
            inputs: the feature maps, (1, C_m, H_m, W_m) each; boxes (R, 4), x0, y0, x1, y1 in
                pixels of the network's input, and classes (R,) int64. R may be 0.

        Returns:
            (R, 1, S, S) probabilities.
        """
        *maps, boxes, classes = inputs
        features = dict(zip(self.strides, maps, strict=True))
        return refined_masks(self.mask_head, features, boxes, classes)

    def example(self) -> tuple[Tensor, ...]:
        """Return noise, and boxes of several sizes."""
        return self.example_of(3, (128, 160))

    def example_of(
        self, num_regions: int, size_px: Sequence[int], seed: int = 0
    ) -> tuple[Tensor, ...]:
        """Return noise, and boxes that lie in an image of that size, or reach a little beyond."""
        generator = torch.Generator().manual_seed(seed)
        maps = []
        for name, stride in self.strides.items():
            cells = (-(-side // stride) for side in size_px)
            maps.append(torch.randn(1, self._channels[name], *cells, generator=generator))
        corners = torch.rand(num_regions, 2, 2, generator=generator) * 1.1 - 0.05
        scale = torch.tensor([size_px[1], size_px[0]])
        boxes = torch.cat((corners.amin(1) * scale, corners.amax(1) * scale + 1), dim=1)
        num_classes = self.mask_head.coarse_head.num_classes
        classes = torch.randint(num_classes, (num_regions,), generator=generator)
        return (*maps, boxes, classes)


def refined_masks(
    mask_head: PointRendROIMaskHead, features: dict[str, Tensor], boxes: Tensor, classes: Tensor
) -> Tensor:
    """Predict masks of one image by a graph that suits any size and number of regions.

    Args:
        mask_head: in evaluation mode.
        features: maps by name, (1, C_m, H_m, W_m) each.
        boxes: (R, 4) in pixels of the network's input.
        classes: (R,) int64.

    Returns:
        (R, 1, S, S) probabilities.
    """
    inputs = mask_head.region_inputs(features, [boxes], None, classes)
    points_per_region = mask_head.subdivision.points_per_region
    predictor = graph_predictor(mask_head.point_head, inputs, points_per_region)
    return mask_head.refine(predictor, boxes.shape[0], at_least_float32(inputs.coarse_logits))
