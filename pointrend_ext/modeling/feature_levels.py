"""Which feature maps a head reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detectron2.layers import ShapeSpec
from torch import Tensor


@dataclass(frozen=True)
class FeatureLevels:
    """Names of feature maps with what a head has to know of them.

    Attributes:
        names: keys of the feature dictionary.
        strides: pixels per cell of each.
        channels: of all of them together, since they are concatenated.

    Raises:
        ValueError: no name, or not as many strides.
    """

    names: tuple[str, ...]
    strides: tuple[int, ...]
    channels: int

    def __post_init__(self) -> None:
        for field in ("names", "strides"):  # a LazyConfig gives lists
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if not self.names or len(self.names) != len(self.strides):
            raise ValueError(
                f"FeatureLevels got the names {self.names} and the strides {self.strides}; it "
                "needs one stride per name, and one name or more."
            )

    @classmethod
    def select(
        cls, available: Mapping[str, ShapeSpec], names: Sequence[str], node: str, source: str
    ) -> "FeatureLevels":
        """Look up maps by name.

        Args:
            available: the maps there are.
            names: the maps wanted.
            node: the configuration node whose ``IN_FEATURES`` name them, for the message.
            source: what the available maps are, for the message.

        Raises:
            ValueError: no name, one that does not exist, or one twice.
        """
        unknown = [name for name in names if name not in available]
        if unknown or not names or len({*names}) < len(names):
            problem = f"is {list(names)}" if names else "is empty"
            problem = f"contains {unknown[0]!r}" if unknown else problem
            raise ValueError(
                f"{node}.IN_FEATURES {problem}, but {source} {list(available)}. Choose from these, "
                "each once."
            )
        shapes = [available[name] for name in names]
        return cls(
            tuple(names),
            tuple(shape.stride for shape in shapes),
            sum(shape.channels for shape in shapes),
        )

    def gather(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the maps, in the order of ``names``."""
        return [features[name] for name in self.names]
