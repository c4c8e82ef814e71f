"""Anchors in the padding of a batch, which a training with large-scale jitter leaves out."""

from detectron2.config import CfgNode
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn


class PaddingBlindRPN(RPN):
    """Detectron2's, but that anchors centred in the padding of a batch are neither right nor wrong.

    Detectron2 trains them as background. Beside an image of a tenth of the size they would be 99 of
    100 anchors, and leave hardly any background of the image itself to learn from.
    """

    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Label anchors, and draw those of the losses.

        Args:
            anchors: of each feature map, A in all.
            gt_instances: of each image.

        Returns:
            Of each image, labels (A,) in 1, 0 and -1 (no part of a loss), and boxes (A, 4).
        """
        boxes = Boxes.cat(anchors)
        x, y = boxes.get_centers().unbind(dim=1)
        all_labels, all_targets = [], []
        for image in gt_instances:
            height, width = image.image_size
            inside = (x < width) & (y < height)  # padding lies at the right and at the bottom
            (labels,), (targets,) = super().label_and_sample_anchors([boxes[inside]], [image])
            all_labels.append(labels.new_full(inside.shape, -1))
            all_labels[-1][inside] = labels
            all_targets.append(boxes.tensor.new_zeros(boxes.tensor.shape))
            all_targets[-1][inside] = targets
        return all_labels, all_targets


def choose_anchors(cfg: CfgNode, model: nn.Module) -> None:
    """Let a model that has just been built leave out padding where ``INPUT.LSJ`` is enabled."""
    generator = getattr(model, "proposal_generator", None)
    if type(generator) is RPN and cfg.INPUT.LSJ.ENABLED:
        generator.__class__ = PaddingBlindRPN
