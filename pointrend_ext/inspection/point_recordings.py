"""What is kept of a refinement that was watched."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["MapRecording", "ObjectRecording", "Step"]


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
class ObjectRecording:
    """How the mask of one object came about.

    Attributes:
        box_px: (4,) left, top, right, bottom in pixels of the image that the model sees.
        class_id: the predicted class.
        score: of the detection.
        coarse: (1, S, S) logits of that class.
        steps: from the coarse mask to the final one.
        training_coords: (P, 2) in [0, 1] of the box: points that a training step would draw,
        num_important: of which these come first, chosen by uncertainty; the others cover the box.
    """

    box_px: Tensor
    class_id: int
    score: float
    coarse: Tensor
    steps: list[Step]
    training_coords: Tensor
    num_important: int


@dataclass(frozen=True)
class MapRecording:
    """How a class map came about; attributes as of ``ObjectRecording``, of the whole image.

    Attributes:
        extent_px: rows and columns of the image plane that the maps cover, padding included.
        coarse: (C, H, W) logits.
        steps: from the coarse map to full resolution.
        training_coords: (P, 2) in [0, 1] of the extent.
        num_important: how many of them come first that are chosen by uncertainty.
    """

    extent_px: tuple[int, int]
    coarse: Tensor
    steps: list[Step]
    training_coords: Tensor
    num_important: int
