"""From what a graph puts out to a prediction in the size of the image, as ``Predictor`` does."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pointrend_ext.deploy.runtime.resizing import enlarged_labels, resized_plane
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.prediction import Prediction


def with_instances(
    base: Prediction,
    raw: Mapping[str, np.ndarray],
    seen_hw: tuple[int, int],
    min_score: float,
) -> Prediction:
    """Add instances, by descending scores.

    Args:
        base: the image.
        raw: ``boxes`` (R, 4) in pixels of what the model saw, ``scores`` (R,), ``classes`` (R,),
            ``masks`` (R, 1, S, S) probabilities.
        seen_hw: the size of that.
        min_score: instances of a score that is not above are left out; those of the file, where it
            is not raised.
    """
    height, width = base.size_hw
    scale = np.array([width / seen_hw[1], height / seen_hw[0]] * 2, np.float32)
    most = np.array([width, height] * 2, np.float32)
    boxes = (raw["boxes"].astype(np.float32) * scale).clip(0, most)
    scores = raw["scores"].astype(np.float32)
    kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (scores > min_score))
    order = kept[np.argsort(-scores[kept], kind="stable")]
    return replace(
        base,
        boxes=boxes[order],
        scores=scores[order],
        classes=raw["classes"][order].astype(np.int64),
        masks=PastedMasks(raw["masks"][order][:, 0], boxes[order], base.size_hw),
    )


def with_logits(base: Prediction, logits: np.ndarray, *, probabilities: bool) -> Prediction:
    """Add the label map of logits (C, h, w), resized to the image one class at a time.

    Of one class, they are those of an object against 0. ``probabilities`` adds the soft-max of all.
    """
    if len(logits) == 1:
        logits = np.concatenate([np.zeros_like(logits), logits])
    labels = np.zeros(base.size_hw, np.uint8 if len(logits) <= 255 else np.uint16)
    best = np.full(base.size_hw, -np.inf, np.float32)
    for number, plane in enumerate(logits):
        values = resized_plane(plane, base.size_hw)
        labels[values > best] = number
        np.maximum(best, values, out=best)
    if not probabilities:
        return replace(base, label_map=labels)
    shares = np.stack([np.exp(resized_plane(plane, base.size_hw) - best) for plane in logits])
    return replace(base, label_map=labels, label_probabilities=shares / shares.sum(axis=0))


def with_label_map(base: Prediction, labels: np.ndarray, num_classes: int) -> Prediction:
    """Add labels (h, w), of the nearest pixels where the image has another size."""
    num_classes = max(num_classes, int(labels.max()) + 1)
    sized = enlarged_labels(labels, base.size_hw)
    return replace(base, label_map=sized.astype(np.uint8 if num_classes <= 255 else np.uint16))
