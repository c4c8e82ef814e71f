"""Watching a subdivision: what each step saw, asked and wrote.

``subdivide`` asks its two callables in every step, so recording wraps these; the code that runs
without a recording is untouched.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pointrend_ext.layers import get_uncertain_point_coords_with_randomness, subdivide
from pointrend_ext.modeling.point_head.plans import TrainPointPlan

Points = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """One doubling, of one map.

    Attributes:
        before: (K, H, W) logits, interpolated.
        coords: (P, 2) centres of the corrected cells, (x, y) in (0, 1) of the map.
        scores: (P,) their uncertainty before the correction, larger is more uncertain.
        after: (K, H, W) logits, corrected.
    """

    before: Tensor
    coords: Tensor
    scores: Tensor
    after: Tensor


@dataclass(frozen=True)
class Recording:
    """How the mask of an object, or a class map, came about.

    Attributes:
        coarse: (K, H, W) logits, where K is 1 for an object, of its class alone.
        steps: from the coarse map to the final one.
        training_coords: (P, 2) in [0, 1] of the map: points that a training step would draw,
        num_important: of which these come first, chosen by uncertainty; the others cover the map.
        box_px: left, top, right, bottom of what the map covers, in pixels of the image that the
            model sees: an object's box; for a class map the whole image, padding included.
        class_id: of an object, as predicted.
        score: of an object.
    """

    coarse: Tensor
    steps: list[Step]
    training_coords: Tensor
    num_important: int
    box_px: tuple[float, float, float, float]
    class_id: int | None = None
    score: float | None = None


@contextmanager
def backbone_output(model: Any) -> Iterator[dict[str, Tensor]]:
    """Fill a dict with the features that a model computes in this thread."""
    features: dict[str, Tensor] = {}
    own = threading.get_ident()

    def keep(*call: Any) -> None:
        if threading.get_ident() == own:
            features.update(call[-1])

    hook = model.backbone.register_forward_hook(keep)
    try:
        yield features
    finally:
        hook.remove()


def record_subdivision(
    coarse: Tensor, predict_points: Points, uncertainty: Points, steps: int, num_points: int
) -> list[list[Step]]:
    """Subdivide maps (N, K, H, W), keeping what each step saw and got of each of them."""
    seen: list[tuple[Tensor, Tensor]] = []
    answered: list[tuple[Tensor, Tensor]] = []

    def watched_uncertainty(logits: Tensor) -> Tensor:
        scores = uncertainty(logits)
        seen.append((logits.clone(), scores[:, 0].clone()))
        return scores

    def watched_points(coords_map: Tensor) -> Tensor:
        point_logits = predict_points(coords_map)
        answered.append((coords_map, point_logits))
        return point_logits

    subdivide(
        coarse,
        watched_points,
        steps=steps,
        num_points=num_points,
        uncertainty=watched_uncertainty,
    )
    recorded: list[list[Step]] = [[] for _ in coarse]
    for (before, scores), (coords, point_logits) in zip(seen, answered, strict=True):
        rows, columns = before.shape[-2:]
        x, y = (coords * coords.new_tensor([columns, rows])).long().unbind(-1)  # (N, P)
        cells = y * columns + x
        after = before.flatten(2).scatter(
            2, cells[:, None].expand_as(point_logits), point_logits.to(before.dtype)
        )
        parts = (before, coords, scores.flatten(1).gather(1, cells), after.view_as(before))
        for own, values in zip(recorded, zip(*(x.cpu() for x in parts), strict=True), strict=True):
            own.append(Step(*values))
    return recorded


def training_points(
    coarse: Tensor,
    uncertainty: Points,
    plan: TrainPointPlan | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, int]:
    """Draw points as a training step does: (N, P, 2), and how many are important.

    A model that was trained at annotated points draws none.
    """
    if plan is None:
        return torch.zeros(len(coarse), 0, 2), 0
    share, count = plan.importance_sample_ratio, plan.num_points
    coords = get_uncertain_point_coords_with_randomness(
        coarse, uncertainty, count, plan.oversample_ratio, share, generator=generator
    )
    return coords.cpu(), int(share * count)
