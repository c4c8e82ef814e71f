"""Semantic models: logits and labels of whole pictures."""

from collections.abc import Iterable

import numpy as np
import torch
from detectron2.modeling import SemanticSegmentor

from pointrend_ext.deploy.checks.agreement import Agreement, Figure
from pointrend_ext.deploy.running import Runner
from pointrend_ext.modeling.sem_seg import PointRendSemanticSegmentor, label_map

__all__ = ["compare_semantic"]

_TOLERANCE = 1e-4
_LARGEST_LOGIT = 32.0
"""Logits of trained models are hardly larger, so that the tolerance is some units of their last
places; larger ones are scaled down to it."""

_MAX_SHARE_BEYOND = 5e-4
_MAX_SHARE_CHANGED = 1e-4


def compare_semantic(
    run: Runner,
    *,
    model: SemanticSegmentor,
    images: Iterable[np.ndarray],
    output: str,
    batch_size: int,
) -> list[Figure]:
    """Compare an exported file with its model.

    Args:
        run: calls the file.
        model: what it is made of.
        images: (3, H, W) float32.
        output: "logits" or "labels".
        batch_size: N; if it is not 1 the file gets N copies of an image, each moved.
    """
    agreement = Agreement(_TOLERANCE)
    for image in images:
        batch = [np.roll(image, 7 * number, axis=2) for number in range(batch_size)]
        (results,) = run(np.stack(batch) if batch_size > 1 else image)
        for one, ours in zip(batch, results if batch_size > 1 else [results], strict=True):
            theirs = _logits(model, one)
            if output == "logits":
                scale = max(float(np.abs(theirs).max(initial=0)) / _LARGEST_LOGIT, 1.0)
                agreement.add(ours / scale, theirs / scale)
                ours = _labels(ours)
            agreement.add_decisions(ours, _labels(theirs))
    figures = [
        Figure("share of labels that differ", agreement.share_changed, _MAX_SHARE_CHANGED),
        Figure("pixels compared", agreement.decisions),
    ]
    if output == "logits":
        beyond = f"share of pixels with logits off by more than {_TOLERANCE:g} (swapped points)"
        figures = [
            Figure("largest difference of the other logits", agreement.largest, _TOLERANCE),
            Figure(beyond, agreement.share_beyond, _MAX_SHARE_BEYOND),
            *figures,
        ]
    return figures


@torch.no_grad()
def _logits(model: SemanticSegmentor, image: np.ndarray) -> np.ndarray:
    inputs = [{"image": torch.from_numpy(image)}]
    is_ours = isinstance(model, PointRendSemanticSegmentor)
    (prediction,) = model.predict(inputs, "logits") if is_ours else model(inputs)
    return prediction["sem_seg"].cpu().numpy()


def _labels(logits: np.ndarray) -> np.ndarray:
    return label_map(torch.from_numpy(logits)[None])[0].long().numpy()
