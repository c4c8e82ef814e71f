"""How many points a head trains on and refines, validated when the model is built."""

from dataclasses import InitVar, dataclass
from math import isqrt

from detectron2.config import CfgNode

from pointrend_ext.layers import fold_subdivision
from pointrend_ext.modeling.checks import check_values


@dataclass(frozen=True)
class TrainPointPlan:
    """Training points of one region (section 3.3 of the paper).

    Attributes:
        num_points: P, points in the loss.
        oversample_ratio: k, candidates per point, at least 1.
        importance_sample_ratio: beta in [0, 1], share of points taken from the most uncertain
            candidates.
        name: of the configuration node, as the user writes it, for the messages.

    Raises:
        ValueError: a value out of its range.
    """

    num_points: int
    oversample_ratio: float
    importance_sample_ratio: float
    name: InitVar[str] = "TrainPointPlan"

    def __post_init__(self, name: str) -> None:
        points, ratio, share = self.num_points, self.oversample_ratio, self.importance_sample_ratio
        check_values(
            name,
            ("TRAIN_NUM_POINTS", points, points >= 1, "at least 1"),
            ("OVERSAMPLE_RATIO", ratio, ratio >= 1, "at least 1"),
            ("IMPORTANCE_SAMPLE_RATIO", share, 0 <= share <= 1, "a share in [0, 1]"),
        )

    @classmethod
    def from_node(cls, node: CfgNode, name: str) -> "TrainPointPlan":
        """Read a point head's node, of that name."""
        return cls(node.TRAIN_NUM_POINTS, node.OVERSAMPLE_RATIO, node.IMPORTANCE_SAMPLE_RATIO, name)


@dataclass(frozen=True)
class SubdivisionPlan:
    """Adaptive subdivision of a square mask (section 3.1 of the paper).

    Attributes:
        start_side: side of the grid that is predicted densely.
        steps: doublings after it.
        num_points: cells corrected per doubling.
        name: as for ``TrainPointPlan``.

    Raises:
        ValueError: a value out of its range.
    """

    start_side: int
    steps: int
    num_points: int
    name: InitVar[str] = "SubdivisionPlan"

    def __post_init__(self, name: str) -> None:
        _check_subdivision(name, self.steps, self.num_points)

    @property
    def final_side(self) -> int:
        """Side of the refined mask."""
        return self.start_side * 2**self.steps

    @property
    def points_per_region(self) -> int:
        """Points evaluated per region, in all."""
        return self.start_side**2 + self.steps * self.num_points

    @classmethod
    def from_coarse(
        cls, *, coarse_side: int, steps: int, num_points: int, name: str = "SubdivisionPlan"
    ) -> "SubdivisionPlan":
        """Skip the steps that would correct every cell.

        Args:
            coarse_side: side of the coarse mask.
            steps: doublings from there.
            num_points: cells corrected per doubling.
            name: how the user writes the configuration node, for the messages.
        """
        _check_subdivision(name, steps, num_points)
        side, steps = fold_subdivision(coarse_side, steps, num_points)
        return cls(side, steps, num_points, name)

    @classmethod
    def from_square(
        cls, *, steps: int, num_points: int, name: str = "SubdivisionPlan"
    ) -> "SubdivisionPlan":
        """Start from as many cells as a step corrects, as Implicit PointRend does.

        Args:
            steps: doublings from there.
            num_points: cells corrected per doubling, the square of a whole number.
            name: how the user writes the configuration node, for the messages.
        """
        _check_subdivision(name, steps, num_points)
        side = isqrt(num_points)
        square = f"a square, such as {side**2} or {(side + 1) ** 2}, whose side is the first grid's"
        check_values(name, ("SUBDIVISION_NUM_POINTS", num_points, side**2 == num_points, square))
        return cls(side, steps, num_points, name)

    @classmethod
    def from_node(cls, node: CfgNode, name: str, coarse_side: int) -> "SubdivisionPlan":
        """Read a point head's node, of that name."""
        steps, num_points = node.SUBDIVISION_STEPS, node.SUBDIVISION_NUM_POINTS
        return cls.from_coarse(
            coarse_side=coarse_side, steps=steps, num_points=num_points, name=name
        )


@dataclass(frozen=True)
class MapSubdivisionPlan:
    """Adaptive subdivision of a map of a whole image (section 3.1 of the paper).

    Attributes:
        steps: doublings, from the coarse stride to full resolution.
        num_points: cells corrected per image and doubling.
        name: as for ``TrainPointPlan``.

    Raises:
        ValueError: a value out of its range.
    """

    steps: int
    num_points: int
    name: InitVar[str] = "MapSubdivisionPlan"

    def __post_init__(self, name: str) -> None:
        _check_subdivision(name, self.steps, self.num_points)

    @classmethod
    def from_stride(
        cls,
        *,
        coarse_stride: int,
        num_points: int,
        steps: int = -1,
        name: str = "MapSubdivisionPlan",
    ) -> "MapSubdivisionPlan":
        """Derive the steps that lead to full resolution.

        Args:
            coarse_stride: pixels per cell of the map to refine.
            num_points: cells corrected per image and doubling.
            steps: doublings as a user states them; -1 for what they must be.
            name: how the user writes the configuration node, for the messages.

        Raises:
            ValueError: a value out of its range, a stride that doubling does not lead from to full
                resolution, or steps that do not fit it.
        """
        needed = coarse_stride.bit_length() - 1
        is_power = coarse_stride >= 1 and 2**needed == coarse_stride
        power = "a power of two, since subdivision doubles the resolution"
        check_values("MODEL.SEM_SEG_HEAD", ("COMMON_STRIDE", coarse_stride, is_power, power))
        doublings = (
            f"{needed}, since the coarse head predicts at stride {coarse_stride}, from which "
            f"{needed} doublings lead to full resolution; or -1, which derives it"
        )
        check_values(name, ("SUBDIVISION_STEPS", steps, steps in (-1, needed), doublings))
        return cls(needed, num_points, name)

    @classmethod
    def from_node(cls, node: CfgNode, name: str, coarse_stride: int) -> "MapSubdivisionPlan":
        """Read a point head's node, of that name."""
        steps, num_points = node.SUBDIVISION_STEPS, node.SUBDIVISION_NUM_POINTS
        return cls.from_stride(
            coarse_stride=coarse_stride, num_points=num_points, steps=steps, name=name
        )


def _check_subdivision(name: str, steps: int, num_points: int) -> None:
    check_values(
        name,
        ("SUBDIVISION_STEPS", steps, steps >= 0, "at least 0"),
        ("SUBDIVISION_NUM_POINTS", num_points, num_points >= 1, "at least 1"),
    )
