"""A whole instance model as a function of tensors alone."""

from collections.abc import Callable, Sequence

from detectron2.modeling import GeneralizedRCNN
from torch import Tensor

from pointrend_ext.deploy.boxes import detect, pool, propose
from pointrend_ext.deploy.graphs.graph import Graph, RepeatedGraph
from pointrend_ext.deploy.graphs.image import ImageInput
from pointrend_ext.deploy.graphs.refined_masks import MasksTogether
from pointrend_ext.layers import select_class
from pointrend_ext.modeling.roi_heads import PointRendROIMaskHead


class InstanceGraph(Graph):
    """An image of any size to boxes, scores, classes and masks, those of the model it is made of.

    Boxes are in pixels of the image; masks are probabilities in the boxes, still to be pasted.
    """

    def __init__(
        self,
        model: GeneralizedRCNN,
        *,
        mask_side: int,
        mask_score: Callable[[Tensor], Tensor] | None = None,
        form: type[MasksTogether] = MasksTogether,
    ) -> None:
        """Share the modules of a model.

        Args:
            model: in evaluation mode.
            mask_side: S, of its masks.
            mask_score: by which scores are multiplied: see ``MASK_SCORES``.
            form: of refined masks.
        """
        super().__init__()
        self.image_input = ImageInput(model)
        self.backbone, self.rpn = model.backbone, model.proposal_generator
        self.heads, self._mask_score = model.roi_heads, mask_score
        self.refined_masks: MasksTogether | None = None
        if isinstance(self.heads.mask_head, PointRendROIMaskHead):
            channels = {name: x.channels for name, x in model.backbone.output_shape().items()}
            self.refined_masks = form(self.heads.mask_head, channels)
        self.inputs = {"image": (len(model.pixel_mean), "H", "W")}
        self.outputs = {
            "boxes": ("R", 4),
            "scores": ("R",),
            "classes": ("R",),
            "masks": ("R", 1, mask_side, mask_side),
        }

    def predict(self, image: Tensor) -> tuple[Tensor, ...]:
        """Predict.

        Args:
            image: (3, H, W) float32, 0 to 255 in ``INPUT.FORMAT``.

        Returns:
            boxes (R, 4), scores (R,) descending but for a ``mask_score``, classes (R,) int64, masks
            (R, 1, S, S).
        """
        return self._detect(self.backbone(self.image_input(image[None])), image.shape[-2:])

    def repeated(self) -> RepeatedGraph | None:
        """Return a turn of the loop over objects, if there is one."""
        return None if self.refined_masks is None else self.refined_masks.repeated()

    def _detect(self, features: dict[str, Tensor], size_hw: Sequence[int]) -> tuple[Tensor, ...]:
        proposals = propose(self.rpn, features, size_hw)
        boxes, scores, classes = detect(self.heads, features, proposals, size_hw)
        masks = self._masks(features, boxes, classes)
        if self._mask_score is not None:
            scores = scores * self._mask_score(masks)
        return boxes, scores, classes, masks

    def _masks(self, features: dict[str, Tensor], boxes: Tensor, classes: Tensor) -> Tensor:
        heads = self.heads
        if self.refined_masks is not None:
            return self.refined_masks(features, boxes, classes)
        maps = [features[name] for name in heads.mask_in_features]
        logits = heads.mask_head.layers(pool(heads.mask_pooler, maps, boxes))
        return select_class(logits, classes).sigmoid()
