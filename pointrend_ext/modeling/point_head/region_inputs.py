"""What the logits at points of regions are predicted from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["RegionInputs", "region_index"]


@dataclass(frozen=True)
class RegionInputs:
    """The state of one forward pass over R regions of N images.

    Attributes:
        features: fine-grained maps, each (N, C_m, H_m, W_m).
        strides: pixels per cell of each map.
        boxes_px: for each of the N images the boxes (R_n, 4) of its regions; detached: a box gets
            no gradient from a point.
        coarse_logits: (R, K, S, S), the coarse prediction. It is never replaced by a refined one.
        classes: (R,) integers, the class of each region: of the ground truth in training, predicted
            in inference.
    """

    features: Sequence[Tensor]
    strides: Sequence[float]
    boxes_px: Sequence[Tensor]
    coarse_logits: Tensor
    classes: Tensor

    def __len__(self) -> int:
        """Number of regions, R."""
        return sum(map(len, self.boxes_px))

    @property
    def images(self) -> list[int]:
        """Number of the image of each region."""
        return [image for image, boxes in enumerate(self.boxes_px) for _ in range(len(boxes))]

    def select(self, regions: Sequence[int]) -> "RegionInputs":
        """Return the same for some of the regions, by their numbers, ascending."""
        index = region_index(regions, self.classes.device)
        images = self.images
        chosen = [images[region] for region in regions]
        boxes_px = torch.cat(list(self.boxes_px))[index]
        counts = [chosen.count(image) for image in range(len(self.boxes_px))]
        return replace(
            self,
            boxes_px=boxes_px.split(counts),
            coarse_logits=self.coarse_logits[index],
            classes=self.classes[index],
        )


def region_index(regions: Sequence[int], device: torch.device) -> slice | Tensor:
    """Return an index of some regions: of a ``range`` a slice, which nothing is sent for."""
    if isinstance(regions, range):
        return slice(regions.start, regions.stop)
    return torch.tensor(regions).to(device, non_blocking=True)
