"""A semantic model as a function of tensors alone."""

import torch
from detectron2.modeling import PanopticFPN, SemanticSegmentor
from torch import Tensor, nn

from pointrend_ext.deploy.graphs.graph import Graph, Shape
from pointrend_ext.deploy.graphs.image import ImageInput
from pointrend_ext.layers import at_least_float32, class_uncertainty, padding_scores, subdivide
from pointrend_ext.modeling.panoptic import PointRendPanopticFPN
from pointrend_ext.modeling.point_head import MapPointPredictor
from pointrend_ext.modeling.sem_seg import PointRendSemanticHead, PointRendSemanticSegmentor
from pointrend_ext.modeling.sem_seg.label_map import label_map
from pointrend_ext.modeling.sem_seg.logits_head import LogitsHead


class SemanticGraph(Graph):
    """Images of any size to logits or labels of their pixels, those of the model it is made of."""

    def __init__(
        self, model: SemanticSegmentor, *, output: str, num_classes: int, batch_size: int = 1
    ) -> None:
        """Share the modules of a model.

        Args:
            model: in evaluation mode.
            output: "logits" or "labels".
            num_classes: C.
            batch_size: N; of 1 the graph takes an image without N.
        """
        super().__init__()
        self.image_input, self.backbone = ImageInput(model), model.backbone
        self.maps = PixelMaps(model, output)
        one = "image" if batch_size == 1 else "images"
        several = () if batch_size == 1 else (batch_size,)
        self.inputs = {one: (*several, len(model.pixel_mean), "H", "W")}
        self.outputs = {output: (*several, *self.maps.shape(num_classes))}

    def predict(self, images: Tensor) -> Tensor:
        """Predict.

        Args:
            images: (N, 3, H, W), or one, (3, H, W), float32, 0 to 255 in ``INPUT.FORMAT``.

        Returns:
            logits (N, C, H, W) or labels (N, H, W) int64; of one image without N.
        """
        batch = images if images.dim() == 4 else images[None]
        height, width = images.shape[-2:]
        maps = self.maps(self.backbone(self.image_input(batch)), batch.shape[0], height, width)
        return maps if images.dim() == 4 else maps[0]


class PixelMaps(nn.Module):
    """Feature maps to logits or labels of pixels: what semantic and panoptic models share."""

    def __init__(self, model: SemanticSegmentor | PanopticFPN, output: str) -> None:
        """Share the head of a model; ``output`` is "logits" or "labels"."""
        super().__init__()
        self._knows_padding = isinstance(model, PointRendSemanticSegmentor | PointRendPanopticFPN)
        self.head, self.output = model.sem_seg_head, output

    def shape(self, num_classes: int) -> Shape:
        """Return the shape of the result, of one image."""
        return ("H", "W") if self.output == "labels" else (num_classes, "H", "W")

    def forward(
        self, features: dict[str, Tensor], num_images: int, height: int, width: int
    ) -> Tensor:
        """Predict logits (N, C, H, W), or labels (N, H, W) int64, of images of one size."""
        if isinstance(self.head, PointRendSemanticHead):
            logits = self._refined(features, height, width)
        elif isinstance(self.head, LogitsHead) and self._knows_padding:
            logits, _ = self.head(features, image_sizes=[(height, width)] * num_images)
        else:
            logits, _ = self.head(features)
        # Cut last: a program would ask how what is cut lies in memory, and so fix the size.
        result = label_map(logits).long() if self.output == "labels" else logits
        return result[..., :height, :width]

    def _refined(self, features: dict[str, Tensor], height: int, width: int) -> Tensor:
        head = self.head
        inputs = head.map_inputs(features, head.coarse_sem_seg_head.layers(features))
        rows_px, columns_px = inputs.extent_px

        def uncertainty(logits: Tensor) -> Tensor:
            scores = class_uncertainty(logits)
            if not self._knows_padding:
                return scores
            rows, columns = logits.shape[-2:]
            inside = _inside(rows, rows_px, height)[:, None] & _inside(columns, columns_px, width)
            return torch.where(inside, scores, padding_scores((rows, columns), scores))

        return subdivide(
            at_least_float32(inputs.coarse_logits),
            MapPointPredictor(head.point_head, inputs),
            steps=head.subdivision.steps,
            num_points=head.subdivision.num_points,
            uncertainty=uncertainty,
        )


def _inside(cells: int, extent_px: int, side_px: int) -> Tensor:
    """Which of the cells (n,) along an extent have their centres in the image: ``exclude_padding``.

    Numbers of cells as tensors, since comparing symbols would fix the size.
    """
    centres = 2 * torch.arange(cells) + 1  # in halves of a cell
    return centres * extent_px < 2 * cells * side_px
