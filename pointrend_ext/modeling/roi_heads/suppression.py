"""Non-maximum suppression over all classes at once, behind Detectron2's box predictor."""

from detectron2.config import CfgNode
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers, fast_rcnn_inference
from detectron2.structures import Instances
from torch import Tensor, nn
from torchvision.ops import nms

_NO_OVERLAP_IS_TOO_MUCH = 2.0  # above any intersection over union, however it is rounded


class ClassAgnosticOutputLayers(FastRCNNOutputLayers):
    """Detectron2's, but that a box suppresses those of every class."""

    def inference(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> tuple[list[Instances], list[Tensor]]:
        """Return the detections of each image and the rows of their proposals, best score first.

        Args:
            predictions: scores (R, C + 1) and box deltas of all proposals.
            proposals: of each image.
        """
        detections, rows = fast_rcnn_inference(
            self.predict_boxes(predictions, proposals),
            self.predict_probs(predictions, proposals),
            [x.image_size for x in proposals],
            self.test_score_thresh,
            _NO_OVERLAP_IS_TOO_MUCH,
            topk_per_image=-1,  # all candidates, by their scores
        )
        limit = self.test_topk_per_image if self.test_topk_per_image >= 0 else None
        kept = [
            nms(x.pred_boxes.tensor.float(), x.scores.float(), self.test_nms_thresh)[:limit]
            for x in detections
        ]
        return (
            [x[keep] for x, keep in zip(detections, kept, strict=True)],
            [x[keep] for x, keep in zip(rows, kept, strict=True)],
        )


def choose_suppression(cfg: CfgNode, model: nn.Module) -> None:
    """Let a model that has just been built suppress as ``ROI_HEADS.NMS_CLASS_AGNOSTIC`` says.

    The key is read where the model has Detectron2's own predictor alone: a cascade and predictors
    of others suppress in their own ways.
    """
    predictor = getattr(getattr(model, "roi_heads", None), "box_predictor", None)
    if type(predictor) is FastRCNNOutputLayers and cfg.MODEL.ROI_HEADS.NMS_CLASS_AGNOSTIC:
        predictor.__class__ = ClassAgnosticOutputLayers
