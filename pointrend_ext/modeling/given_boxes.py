"""Masks for boxes that are given, not found: those of another detector, an annotator, the truth."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances, ROIMasks
from torch import Tensor, nn

from pointrend_ext.modeling.roi_heads.mask_score import maskness


class GivenBoxesModel(nn.Module):
    """Predicts masks for given boxes with the mask head of a model; its detector is not asked.

    This is the ``detected_instances`` of Detectron2's ``GeneralizedRCNN.inference`` with boxes in
    the frame of the output. Every box gets a mask: none is moved, dropped or reordered.
    """

    def __init__(self, model: GeneralizedRCNN, *, class_agnostic: bool = False) -> None:
        """Wrap a model.

        Args:
            model: with a mask head; of a ``PanopticFPN`` the semantic branch is not asked.
            class_agnostic: whether it has one mask for all classes: then boxes without a class get
                class 0 at once, as the others would give the same masks.
        """
        super().__init__()
        self.model = model
        self.class_agnostic = class_agnostic

    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Instances]]:
        """Predict masks.

        Args:
            batched_inputs: as of Detectron2's models, each with ``given``: Instances of (height,
                width) of the input, or of its ``image`` where it has none, with ``pred_boxes`` in
                pixels of that frame, and maybe ``pred_classes`` and ``scores``. Boxes have an
                area inside that frame; there may be none of them.

        Returns:
            Per image ``{"instances"}`` on the device of the model with ``pred_boxes`` as given,
            ``pred_classes``, ``scores`` (1 by default) and ``pred_masks`` (R, height, width) bool.

        Raises:
            ValueError: given boxes of another frame, or outside of it.
        """
        results = self.regions(batched_inputs)
        for x in results:
            masks = ROIMasks(x.pred_masks[:, 0])
            x.pred_masks = masks.to_bitmasks(x.pred_boxes, *x.image_size).tensor
        return [{"instances": x} for x in results]

    @torch.no_grad()
    def regions(self, batched_inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Return what ``forward`` does before it pastes: ``pred_masks`` (R, 1, S, S) in [0, 1]."""
        given = [_given(x).to(self.model.device) for x in batched_inputs]
        # As GeneralizedRCNN.inference, in two steps: features are computed once for all classes,
        # and PanopticFPN, which does the same, takes no boxes.
        images = self.model.preprocess_image(list(batched_inputs))
        features = self.model.backbone(images.tensor)
        of_model = [
            _scaled(x, size_hw) for x, size_hw in zip(given, images.image_sizes, strict=True)
        ]
        if self.class_agnostic:
            for x in of_model:
                if not x.has("pred_classes"):
                    x.pred_classes = torch.zeros_like(x.scores, dtype=torch.int64)
        if not all(x.has("pred_classes") for x in of_model):
            self._choose_classes(features, of_model)
        found = self.model.roi_heads.forward_with_given_boxes(features, of_model)
        for x, y in zip(given, found, strict=True):
            x.pred_classes, x.pred_masks = y.pred_classes, y.pred_masks
            x.scores = y.scores  # which MODEL.ROI_MASK_HEAD.MASK_SCORE may have changed
        return given

    def _choose_classes(self, features: dict[str, Tensor], instances: list[Instances]) -> None:
        """Give the instances without ``pred_classes`` those whose masks are surest.

        Of equal masks the first class has it. Classes are tried one by one, so that memory is that
        of one.
        """
        unknown = [x for x in instances if not x.has("pred_classes")]
        boxes = [x[: 0 if x.has("pred_classes") else len(x)] for x in instances]
        best = torch.cat([x.scores.new_full((len(x),), -1.0) for x in unknown])
        chosen = torch.zeros_like(best, dtype=torch.int64)
        for number in range(self.model.roi_heads.num_classes):
            trial = [Instances(x.image_size, **x.get_fields()) for x in boxes]
            for x in trial:
                x.pred_classes = torch.full_like(x.scores, number, dtype=torch.int64)
            found = self.model.roi_heads.forward_with_given_boxes(features, trial)
            score = maskness(torch.cat([x.pred_masks for x in found]))
            chosen[score > best] = number
            best = torch.maximum(best, score)
        for x, classes in zip(unknown, chosen.split([len(x) for x in unknown]), strict=True):
            x.pred_classes = classes


def _given(example: dict[str, Any]) -> Instances:
    """Return the boxes of an input with scores, in the frame of its output."""
    given = example["given"]
    height, width = (
        int(example.get(key, side))
        for key, side in zip(("height", "width"), example["image"].shape[-2:], strict=True)
    )
    if tuple(given.image_size) != (height, width):
        raise ValueError(
            f"The given boxes are in pixels of an image of {given.image_size} (height, width), "
            f"the output has {(height, width)}: scale them, and state that size."
        )
    boxes = given.pred_boxes.tensor.float()
    inside = boxes[:, 2:].minimum(boxes.new_tensor([width, height])) - boxes[:, :2].clamp(min=0)
    is_outside = ~(inside > 0).all(1)  # or not a number
    if is_outside.any():
        number = int(is_outside.nonzero()[0])
        raise ValueError(
            f"Given box {number}, {boxes[number].tolist()} (x0, y0, x1, y1), has no area inside "
            f"its image of {(height, width)} (height, width): leave it out."
        )
    x = Instances((height, width), **given.get_fields())
    x.pred_boxes = Boxes(boxes)
    if not x.has("scores"):
        x.scores = torch.ones(len(x), device=x.pred_boxes.device)
    return x


def _scaled(given: Instances, size_hw: tuple[int, int]) -> Instances:
    """Return given boxes in the frame of the model's input, with classes as far as they are known.

    Factors are those of ``detector_postprocess``, the other way round.
    """
    height, width = given.image_size
    x = Instances(size_hw, **given.get_fields())
    x.pred_boxes = given.pred_boxes.clone()
    x.pred_boxes.scale(size_hw[1] / width, size_hw[0] / height)
    return x
