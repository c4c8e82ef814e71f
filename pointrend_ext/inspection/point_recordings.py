"""What is kept of a refinement that was watched."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["MapRecording", "ObjectRecording", "Recording", "Step"]


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
    """How a mask or a class map came about.

    Attributes:
        coarse: (K, H, W) logits, where K is 1 for an object, of its class alone.
        steps: from the coarse map to the final one.
        training_coords: (P, 2) in [0, 1] of the map: points that a training step would draw,
        num_important: of which these come first, chosen by uncertainty; the others cover the map.
    """

    coarse: Tensor
    steps: list[Step]
    training_coords: Tensor
    num_important: int


@dataclass(frozen=True)
class ObjectRecording(Recording):
    """How the mask of one object came about.

    Attributes:
        box_px: (4,) left, top, right, bottom in pixels of the image that the model sees.
        class_id: the predicted class.
        score: of the detection.
    """

    box_px: Tensor
    class_id: int
    score: float


@dataclass(frozen=True)
class MapRecording(Recording):
    """How a class map came about.

    Attributes:
        extent_px: rows and columns of the image plane that the maps cover, padding included.
    """

    extent_px: tuple[int, int]
