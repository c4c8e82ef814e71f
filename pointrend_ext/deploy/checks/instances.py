"""Whole instance models: detections of pictures, and the masks of each."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.modeling import GeneralizedRCNN, PanopticFPN

from pointrend_ext.deploy.checks.agreement import Agreement, Figure
from pointrend_ext.deploy.checks.masks import (
    NUMBERS,
    TOLERANCE,
    add_masks,
    mask_figures,
    masks_of,
)
from pointrend_ext.deploy.running import Runner

_SAME_BOX_PX = 0.01
_MAX_BOX_PX = 1e-3
_MAX_SCORE = 1e-5
_MAX_SHARE_UNMATCHED = 5e-3
"""Of scores at the threshold, and of overlaps at that of the suppression, either side is right."""


@dataclass
class Detections:
    """What two lists of detections, added up over pictures, have in common.

    Attributes:
        number: detections of the model.
        unmatched: those of either without a partner.
        box_px: largest difference of partners' boxes.
        score: largest difference of their scores.
    """

    number: int = 0
    unmatched: int = 0
    box_px: float = 0.0
    score: float = 0.0

    def add(
        self, ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...]
    ) -> list[tuple[int, int]]:
        """Match detections, each boxes, scores and classes; return the numbers of partners."""
        (boxes, scores, classes), (their_boxes, their_scores, their_classes) = ours, theirs
        is_free, pairs = np.ones(len(boxes), dtype=bool), []
        of_theirs = zip(their_boxes, their_scores, their_classes, strict=True)
        for number, (box, score, label) in enumerate(of_theirs):
            candidates = np.flatnonzero(is_free & (classes == label))
            distances = np.abs(boxes[candidates] - box).max(axis=1, initial=0)
            if not len(candidates) or distances.min() > _SAME_BOX_PX:
                self.unmatched += 1
                continue
            nearest = candidates[distances.argmin()]
            is_free[nearest] = False
            pairs.append((int(nearest), number))
            self.box_px = max(self.box_px, float(distances.min()))
            self.score = max(self.score, float(abs(scores[nearest] - score)))
        self.unmatched += int(is_free.sum())
        self.number += len(their_boxes)
        return pairs

    def figures(self) -> list[Figure]:
        """Return what a report shows of them."""
        share = self.unmatched / max(self.number, 1)
        return [
            Figure("detections of the model", self.number),
            Figure("share of detections without a partner", share, _MAX_SHARE_UNMATCHED),
            Figure("largest difference of boxes (pixels)", self.box_px, _MAX_BOX_PX),
            Figure("largest difference of scores", self.score, _MAX_SCORE),
        ]


def compare_instances(
    run: Runner, *, model: GeneralizedRCNN, images: Iterable[np.ndarray]
) -> list[Figure]:
    """Compare what an exported file says of objects with its model.

    Masks are compared for the boxes that the file finds: a box that differs in its last bits has
    another mask.

    Args:
        run: calls the file.
        model: what it is made of.
        images: pictures, (3, H, W) float32.

    Raises:
        ValueError: the model finds nothing in them.
    """
    agreement, detections = Agreement(TOLERANCE), Detections()
    for image in images:
        boxes, scores, classes, masks, *_ = run(image)
        detections.add((boxes, scores, classes), _detect(model, image))
        add_masks(agreement, masks, masks_of(model, image, boxes, classes))
    if not detections.number:
        raise ValueError(
            "The model finds no object in the pictures of the check, so that nothing was compared: "
            "give it some that it knows (--check-images), or lower its threshold of scores."
        )
    numbers = _of_numbers(run, model, images)
    return [*detections.figures(), *mask_figures(agreement), *numbers]


def _of_numbers(run: Runner, model: GeneralizedRCNN, images: Iterable[np.ndarray]) -> list[Figure]:
    """Compare masks of as many objects as are asked for, by turns of the pictures."""
    agreement, seen = Agreement(TOLERANCE), []
    for number, image in zip(NUMBERS, images, strict=False):
        limited = run.limited_to(number)
        if limited is None:
            return []
        boxes, _, classes, masks, *_ = limited(image)
        seen.append(len(boxes))
        add_masks(agreement, masks, masks_of(model, image, boxes, classes))
    return mask_figures(agreement, f"{', '.join(map(str, seen))} objects: ")


@torch.no_grad()
def _detect(model: GeneralizedRCNN, image: np.ndarray) -> tuple[np.ndarray, ...]:
    found = model.inference([{"image": torch.from_numpy(image)}], do_postprocess=False)
    (found,) = found[0] if isinstance(model, PanopticFPN) else found
    parts = (found.pred_boxes.tensor, found.scores, found.pred_classes)
    return tuple(x.cpu().numpy() for x in parts)
