"""What the logits at points of regions are predicted from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from pointrend_ext.modeling.point_head.implicit import POSITION_CHANNELS

_Regions = TypeVar("_Regions", bound="Regions")


@dataclass(frozen=True, kw_only=True)
class Regions:
    """The state of one forward pass over R regions of N images.

    Attributes:
        features: fine-grained maps, each (N, C_m, H_m, W_m).
        strides: pixels per cell of each map.
        boxes_px: for each of the N images the boxes (R_n, 4) of its regions; detached: a box gets
            no gradient from a point.
        classes: (R,) integers, the class of each region: of the ground truth in training, predicted
            in inference.
    """

    features: Sequence[Tensor]
    strides: Sequence[float]
    boxes_px: Sequence[Tensor]
    classes: Tensor

    def __len__(self) -> int:
        """Number of regions, R."""
        return sum(map(len, self.boxes_px))

    @property
    def images(self) -> list[int]:
        """Number of the image of each region."""
        return [image for image, boxes in enumerate(self.boxes_px) for _ in range(len(boxes))]

    @property
    def point_channels(self) -> int:
        """Channels that are read at a point."""
        return sum(x.shape[1] for x in self.features)

    def select(self: _Regions, regions: Sequence[int]) -> _Regions:
        """Return the same for some of the regions, by their numbers, ascending."""
        index = region_index(regions, self.classes.device)
        images = self.images
        chosen = [images[region] for region in regions]
        boxes_px = torch.cat(list(self.boxes_px))[index]
        counts = [chosen.count(image) for image in range(len(self.boxes_px))]
        per_region: dict[str, Any] = {
            name: x[index] for name, x in vars(self).items() if isinstance(x, Tensor)
        }
        return replace(self, boxes_px=boxes_px.split(counts), **per_region)


@dataclass(frozen=True, kw_only=True)
class RegionInputs(Regions):
    """What the shared MLP of PointRend reads.

    Attributes:
        coarse_logits: (R, K, S, S), the coarse prediction. It is never replaced by a refined one.
    """

    coarse_logits: Tensor

    @property
    def point_channels(self) -> int:
        """Channels that are read at a point."""
        return super().point_channels + self.coarse_logits.shape[1]


@dataclass(frozen=True, kw_only=True)
class ImplicitInputs(Regions):
    """What the MLPs of Implicit PointRend read.

    Attributes:
        parameters: (R, n), the MLP of each region.
    """

    parameters: Tensor

    @property
    def point_channels(self) -> int:
        """Channels that are read at a point."""
        return super().point_channels + POSITION_CHANNELS


def region_index(regions: Sequence[int], device: torch.device) -> slice | Tensor:
    """Return an index of some regions: of a ``range`` a slice, which nothing is sent for."""
    if isinstance(regions, range):
        return slice(regions.start, regions.stop)
    return torch.tensor(regions).to(device, non_blocking=True)
