"""How many points a head trains on and refines, validated when the model is built."""

from __future__ import annotations

from dataclasses import dataclass

from detectron2.config import CfgNode

from pointrend_ext.layers import fold_subdivision

__all__ = ["MapSubdivisionPlan", "SubdivisionPlan", "TrainPointPlan"]


@dataclass(frozen=True)
class TrainPointPlan:
    """Training points of one region (section 3.3 of the paper).

    Attributes:
        num_points: P, points in the loss.
        oversample_ratio: k, candidates per point, at least 1.
        importance_sample_ratio: beta in [0, 1], share of points taken from the most uncertain
            candidates.
    """

    num_points: int
    oversample_ratio: float
    importance_sample_ratio: float

    @classmethod
    def from_node(cls, node: CfgNode, name: str) -> TrainPointPlan:
        """Read and check a point head's node.

        Args:
            node: the node.
            name: how the user writes it, for the messages.

        Raises:
            ValueError: a value out of its range.
        """
        if node.TRAIN_NUM_POINTS < 1:
            raise ValueError(
                f"{name}.TRAIN_NUM_POINTS is {node.TRAIN_NUM_POINTS}; it must be at least 1."
            )
        if node.OVERSAMPLE_RATIO < 1:
            raise ValueError(
                f"{name}.OVERSAMPLE_RATIO is {node.OVERSAMPLE_RATIO}; it must be at least 1."
            )
        if not 0 <= node.IMPORTANCE_SAMPLE_RATIO <= 1:
            raise ValueError(
                f"{name}.IMPORTANCE_SAMPLE_RATIO is {node.IMPORTANCE_SAMPLE_RATIO}; it is a share "
                "and must lie in [0, 1]."
            )
        return cls(node.TRAIN_NUM_POINTS, node.OVERSAMPLE_RATIO, node.IMPORTANCE_SAMPLE_RATIO)


@dataclass(frozen=True)
class SubdivisionPlan:
    """Adaptive subdivision of a square mask (section 3.1 of the paper).

    Attributes:
        start_side: side of the grid that is predicted densely.
        steps: doublings after it.
        num_points: cells corrected per doubling.
    """

    start_side: int
    steps: int
    num_points: int

    @property
    def final_side(self) -> int:
        """Side of the refined mask."""
        return self.start_side * 2**self.steps

    @property
    def points_per_region(self) -> int:
        """Points evaluated per region, in all."""
        return self.start_side**2 + self.steps * self.num_points

    @classmethod
    def from_node(cls, node: CfgNode, name: str, coarse_side: int) -> SubdivisionPlan:
        """Read and check a point head's node, and skip the steps that would correct every cell.

        Args:
            node: the node.
            name: how the user writes it, for the messages.
            coarse_side: side of the coarse mask.

        Raises:
            ValueError: a value out of its range.
        """
        if node.SUBDIVISION_STEPS < 0:
            raise ValueError(
                f"{name}.SUBDIVISION_STEPS is {node.SUBDIVISION_STEPS}; it must be at least 0."
            )
        _check_num_points(node, name)
        side, steps = fold_subdivision(
            coarse_side, node.SUBDIVISION_STEPS, node.SUBDIVISION_NUM_POINTS
        )
        return cls(side, steps, node.SUBDIVISION_NUM_POINTS)


@dataclass(frozen=True)
class MapSubdivisionPlan:
    """Adaptive subdivision of a map of a whole image (section 3.1 of the paper).

    Attributes:
        steps: doublings, from the coarse stride to full resolution.
        num_points: cells corrected per image and doubling.
    """

    steps: int
    num_points: int

    @classmethod
    def from_node(cls, node: CfgNode, name: str, coarse_stride: int) -> MapSubdivisionPlan:
        """Read and check a point head's node.

        Args:
            node: the node.
            name: how the user writes it, for the messages.
            coarse_stride: pixels per cell of the map to refine.

        Raises:
            ValueError: a value out of its range, a stride that doubling does not lead from to full
                resolution, or steps that do not fit it.
        """
        steps = coarse_stride.bit_length() - 1
        if coarse_stride < 1 or 2**steps != coarse_stride:
            raise ValueError(
                f"The coarse head predicts at stride {coarse_stride}; subdivision doubles the "
                "resolution, so the stride must be a power of two (MODEL.SEM_SEG_HEAD."
                "COMMON_STRIDE)."
            )
        if node.SUBDIVISION_STEPS not in (-1, steps):
            raise ValueError(
                f"{name}.SUBDIVISION_STEPS is {node.SUBDIVISION_STEPS}, but the coarse head "
                f"predicts at stride {coarse_stride}, from which {steps} doublings lead to full "
                f"resolution. Set it to {steps}, or to -1 to have it derived."
            )
        _check_num_points(node, name)
        return cls(steps, node.SUBDIVISION_NUM_POINTS)


def _check_num_points(node: CfgNode, name: str) -> None:
    if node.SUBDIVISION_NUM_POINTS < 1:
        raise ValueError(
            f"{name}.SUBDIVISION_NUM_POINTS is {node.SUBDIVISION_NUM_POINTS}; it must be at least "
            "1."
        )
