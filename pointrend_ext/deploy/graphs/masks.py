"""A PointRend mask head as a function of tensors alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pointrend_ext.deploy.graphs.graph import Graph, RepeatedGraph
from pointrend_ext.deploy.graphs.refined_masks import MasksTogether
from pointrend_ext.deploy.graphs.region import noise_maps


class MaskGraph(Graph):
    """Feature maps of an image, boxes and classes to masks, those of the head it is made of."""

    def __init__(self, masks: MasksTogether) -> None:
        """Share the modules of a mask head.

        Args:
            masks: its form.
        """
        super().__init__()
        self.masks = masks
        mask_head, channels = masks.mask_head, masks.channels
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
        return self.masks(dict(zip(self.strides, maps, strict=True)), boxes, classes)

    def repeated(self) -> RepeatedGraph | None:
        """Return a turn of the loop over objects, if there is one."""
        return self.masks.repeated()

    def example(self) -> tuple[Tensor, ...]:
        """Return noise, and boxes of several sizes."""
        return self.example_of(3, (128, 160))

    def example_of(
        self, num_regions: int, size_px: Sequence[int], seed: int = 0
    ) -> tuple[Tensor, ...]:
        """Return noise, and boxes that lie in an image of that size, or reach a little beyond."""
        generator = torch.Generator().manual_seed(seed)
        maps = noise_maps(self.masks.channels, self.strides, size_px, generator)
        corners = torch.rand(num_regions, 2, 2, generator=generator) * 1.1 - 0.05
        scale = torch.tensor([size_px[1], size_px[0]])
        boxes = torch.cat((corners.amin(1) * scale, corners.amax(1) * scale + 1), dim=1)
        num_classes = self.masks.mask_head.coarse_head.num_classes
        classes = torch.randint(num_classes, (num_regions,), generator=generator)
        return (*maps, boxes, classes)
