"""Semantic models: logits and labels of whole pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from detectron2.modeling import PanopticFPN, SemanticSegmentor

from pointrend_ext.deploy.checks.agreement import Agreement, Figure
from pointrend_ext.deploy.checks.replay import replaying
from pointrend_ext.deploy.running import Runner
from pointrend_ext.modeling.sem_seg import (
    PointRendSemanticHead,
    PointRendSemanticSegmentor,
    label_map,
)

_TOLERANCE = 1e-4
_LARGEST_LOGIT = 32.0
"""Logits of trained models are hardly larger, so that the tolerance is some units of their last
places; larger ones are scaled down to it."""

_SURE = 2 * _TOLERANCE
"""Where a logit leads by more, rounding does not change the label."""

_MAX_SLACK = 4 * _TOLERANCE
"""Of two cells, by how much less sure the one is than the other: four logits with their errors."""


def compare_semantic(
    run: Runner,
    *,
    model: SemanticSegmentor | PanopticFPN,
    images: Iterable[np.ndarray],
    output: str,
    batch_size: int = 1,
) -> list[Figure]:
    """Compare what an exported file says of pixels, its last output, with its model.

    The model corrects the cells that the file has corrected (see ``replay``), so that all logits
    have to be equal but for rounding.

    Args:
        run: calls the file.
        model: what it is made of.
        images: (3, H, W) float32.
        output: "logits" or "labels".
        batch_size: N; if it is not 1 the file gets N copies of an image, each moved.
    """
    found = _Comparison()
    for image in images:
        batch = [np.roll(image, 7 * number, axis=2) for number in range(batch_size)]
        (*_, results), choices = run.with_choices(np.stack(batch) if batch_size > 1 else image)
        for number, one in enumerate(batch):
            ours = results[number] if batch_size > 1 else results
            cells = [chosen[number : number + 1] for chosen in choices]
            found.add(ours, model, one, cells, is_labels=output == "labels")
    return found.figures(output)


@dataclass
class _Comparison:
    """What was found of all pictures."""

    logits: Agreement = field(default_factory=lambda: Agreement(_TOLERANCE))
    freely: Agreement = field(default_factory=lambda: Agreement(_TOLERANCE))
    wrong: int = 0
    slack: float = -np.inf

    def add(
        self,
        ours: np.ndarray,
        model: SemanticSegmentor | PanopticFPN,
        image: np.ndarray,
        choices: Sequence[np.ndarray],
        *,
        is_labels: bool,
    ) -> None:
        """Compare logits (C, H, W) or labels (H, W)."""
        theirs, slack = _logits(model, image), -np.inf
        freely = _labels(theirs)
        if isinstance(model.sem_seg_head, PointRendSemanticHead):
            steps = model.sem_seg_head.subdivision.steps
            if len(choices) < steps:
                raise ValueError(
                    f"The exported file corrects points {len(choices)} times, and the model "
                    f"{steps} times."
                )
            # Before them a panoptic model chooses proposals, and cells of masks.
            own = choices[len(choices) - steps :]
            with replaying(model.sem_seg_head, own) as replay:
                theirs = _logits(model, image)
            slack = replay.slack
        scale = max(float(np.abs(theirs).max(initial=0)) / _LARGEST_LOGIT, 1.0)
        self.slack = max(self.slack, slack / scale)
        if not is_labels:
            self.logits.add(ours / scale, theirs / scale)
            ours = _labels(ours)
        labels = _labels(theirs)
        self.wrong += int(((ours != labels) & (_lead(theirs) > _SURE * scale)).sum())
        self.freely.add_decisions(ours, freely)

    def figures(self, output: str) -> list[Figure]:
        """Judge what is certain, and tell the rest."""
        figures = [
            Figure("labels that differ where the model is sure", self.wrong, 0),
            Figure("labels that differ by the choice of points: share", self.freely.share_changed),
            Figure("pixels compared", self.freely.decisions),
        ]
        if output == "logits":
            beyond = f"pixels with logits off by more than {_TOLERANCE:g}"
            figures = [
                Figure("largest difference of logits", self.logits.largest, _TOLERANCE),
                Figure(beyond, self.logits.beyond, 0),
                *figures,
            ]
        if self.slack > -np.inf:
            chosen = "certainty of corrected points beyond that of others (logits)"
            figures.insert(0, Figure(chosen, self.slack, _MAX_SLACK))
        return figures


def _lead(logits: np.ndarray) -> np.ndarray:
    """By how much the largest logit leads, (H, W); of one class, its distance from 0."""
    if len(logits) == 1:
        return np.abs(logits[0])
    second, first = np.partition(logits, -2, axis=0)[-2:]
    return first - second


@torch.no_grad()
def _logits(model: SemanticSegmentor | PanopticFPN, image: np.ndarray) -> np.ndarray:
    inputs = [{"image": torch.from_numpy(image)}]
    if isinstance(model, PanopticFPN):
        _, (logits,) = model.inference(inputs, do_postprocess=False)
        return logits[:, : image.shape[1], : image.shape[2]].cpu().numpy()
    is_ours = isinstance(model, PointRendSemanticSegmentor)
    (prediction,) = model.predict(inputs, "logits") if is_ours else model(inputs)
    return prediction["sem_seg"].cpu().numpy()


def _labels(logits: np.ndarray) -> np.ndarray:
    return label_map(torch.from_numpy(logits)[None])[0].long().numpy()
