"""A panoptic model as a function of tensors alone; its halves are combined by the runtime."""

from typing import Any

from detectron2.modeling import PanopticFPN
from torch import Tensor

from pointrend_ext.deploy.graphs.instances import InstanceGraph
from pointrend_ext.deploy.graphs.semantic import PixelMaps


class PanopticGraph(InstanceGraph):
    """An image of any size to what ``InstanceGraph`` returns, and to logits or labels of pixels.

    Segments are made of both where masks are pasted, in the size of the picture.
    """

    def __init__(
        self, model: PanopticFPN, *, output: str, num_classes: int, **instances: Any
    ) -> None:
        """Share the modules of a model.

        Args:
            model: in evaluation mode.
            output: "logits" or "labels".
            num_classes: C, of the label map.
            instances: as for ``InstanceGraph``.
        """
        super().__init__(model, **instances)
        self.maps = PixelMaps(model, output)
        self.outputs = {**self.outputs, output: self.maps.shape(num_classes)}

    def predict(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the results of ``InstanceGraph``, and logits (C, H, W) or labels (H, W)."""
        size_hw = image.shape[-2:]
        features = self.backbone(self.image_input(image[None]))
        detections = self._detect(features, size_hw)
        return (*detections, self.maps(features, 1, *size_hw)[0])
