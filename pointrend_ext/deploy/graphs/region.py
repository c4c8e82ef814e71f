"""The masks of one or two regions as a function of tensors alone."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pointrend_ext.deploy.graphs.graph import RepeatedGraph
from pointrend_ext.deploy.graphs.region_predictor import PairPredictor
from pointrend_ext.layers import at_least_float32
from pointrend_ext.modeling.point_head import RegionInputs, can_project, predictor_of_planes
from pointrend_ext.modeling.point_head.fast import SplitPointLayers
from pointrend_ext.modeling.roi_heads import PointRendROIMaskHead


class PairGraph(RepeatedGraph):
    """Feature maps, one or two boxes, their classes and coarse logits to masks."""

    node = "pointrend_ext::ForAllRegions"
    rows = 2

    def __init__(self, mask_head: PointRendROIMaskHead, channels: Mapping[str, int]) -> None:
        """Share the modules of a mask head.

        Args:
            mask_head: in evaluation mode.
            channels: of the feature maps by their names.
        """
        super().__init__()
        self.mask_head, self._channels = mask_head, channels
        levels, coarse = mask_head.point_levels, mask_head.coarse_head
        self._strides = dict(zip(levels.names, levels.strides, strict=True))
        self.num_shared = len(levels.names)
        self._coarse_shape = coarse.num_classes, coarse.out_side, coarse.out_side
        self.inputs = {
            **{name: (1, channels[name], f"H_{name}", f"W_{name}") for name in levels.names},
            "boxes": ("B", 4),
            "classes": ("B",),
            "coarse_logits": ("B", *self._coarse_shape),
        }
        side = mask_head.subdivision.final_side
        self.outputs = {"masks": ("B", 1, side, side)}

    def predict(self, *inputs: Tensor) -> Tensor:
        """Predict.

        Args:
            inputs: the feature maps, (1, C_m, H_m, W_m) each; boxes (R, 4) in pixels of the
                network's input, R of 1 or 2, classes (R,) int64 and coarse logits
                (R, K, S, S).

        Returns:
            (R, 1, S, S) probabilities.
        """
        *maps, boxes, classes, coarse_logits = inputs
        head = self.mask_head
        regions = RegionInputs(
            features=maps,
            strides=list(self._strides.values()),
            boxes_px=[boxes],
            classes=classes,
            coarse_logits=coarse_logits,
        )
        return head.refine(
            self._predictor(regions), boxes.shape[0], at_least_float32(coarse_logits)
        )

    def _predictor(self, regions: RegionInputs) -> Callable[[Tensor], Tensor]:
        point_head = self.mask_head.point_head
        if not can_project(point_head):
            return predictor_of_planes(point_head, regions)
        layers = SplitPointLayers.of(point_head, [x.shape[1] for x in regions.features])
        return PairPredictor(layers, regions, self.mask_head.subdivision.points_per_region)

    def example(self) -> tuple[Tensor, ...]:
        """Return noise, and boxes."""
        generator = torch.Generator().manual_seed(0)
        maps = noise_maps(self._channels, self._strides, (128, 160), generator)
        boxes = torch.tensor([[10.0, 20, 90, 70]]).repeat(self.rows, 1)
        classes = torch.zeros(self.rows, dtype=torch.int64)
        coarse_logits = torch.randn(self.rows, *self._coarse_shape, generator=generator)
        return (*maps, boxes, classes, coarse_logits)


def noise_maps(
    channels: Mapping[str, int],
    strides: Mapping[str, int],
    size_px: Sequence[int],
    generator: torch.Generator,
) -> list[Tensor]:
    """Draw feature maps (1, C_m, H_m, W_m) of an image.

    Args:
        channels: of maps by their names.
        strides: pixels per cell of the maps that are wanted.
        size_px: rows and columns of the image.
        generator: source of randomness.
    """
    return [
        torch.randn(
            1, channels[name], *(-(-side // stride) for side in size_px), generator=generator
        )
        for name, stride in strides.items()
    ]
