"""What the tables of known weights are made of, and the names that several of them share."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

# What ResNets trained with torchvision's transforms and layers need; also those of SFNet.
TORCHVISION_INPUT: Mapping[str, Any] = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
}
State = dict[str, Tensor]
Rename = tuple[str, "str | Callable[[re.Match[str]], str]"]


@dataclass(frozen=True)
class WeightsFormat:
    """One format.

    Attributes:
        name: in words.
        required: patterns; the format is recognised when each matches the start of some name.
        renames: (pattern, replacement), applied to each name in this order.
        dropped: patterns of names that no model needs.
        convert: changes tensors too, after the renames.
        partial_names: names lack the beginning that the model's have.
        fused_norms: normalisations were fused into scale and shift, so their statistics are 0, 1.
        expects: what the weights need of the configuration, value by key.
        notes: what else the user should know, in sentences.
    """

    name: str
    required: tuple[str, ...]
    renames: tuple[Rename, ...] = ()
    dropped: tuple[str, ...] = ()
    convert: Callable[[State], State] | None = None
    partial_names: bool = False
    fused_norms: bool = False
    expects: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def fits(self, names: Collection[str]) -> bool:
        """Whether names are of this format."""
        return all(any(re.match(pattern, name) for name in names) for pattern in self.required)

    def rename(self, name: str) -> str:
        """Return a parameter's name in Detectron2's terms."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


def conv_norm(old: str, new: str, first: int = 0) -> tuple[Rename, Rename]:
    """Rename a convolution and its normalisation, which ``nn.Sequential`` counts.

    Args:
        old: pattern of the sequence's name.
        new: the convolution's new name; the normalisation belongs to it.
        first: the convolution's place in the sequence.
    """
    return (rf"^{old}\.{first}\.", f"{new}."), (rf"^{old}\.{first + 1}\.", f"{new}.norm.")


def counted(old: str, new: str, shift: int) -> Rename:
    """Rename modules that are counted from another number.

    Args:
        old: pattern of the names, with the number as its only group and what follows the number.
        new: what stands before the new number.
        shift: what is added to the number.
    """
    return f"^{old}", lambda found: f"{new}{int(found[1]) + shift}."


# Torchvision's ResNet; AlignSeg's stem has conv1 to conv3 with bn1 to bn3.
RESNET: tuple[Rename, ...] = (
    (r"^conv(\d)\.", r"stem.conv\1."),
    (r"^bn(\d)\.", r"stem.conv\1.norm."),
    counted(r"layer(\d)\.", "res", 1),
    (r"^(res\d\.\d+\.)bn(\d)\.", r"\1conv\2.norm."),
    *conv_norm(r"(res\d\.\d+)\.downsample", r"\1.shortcut"),
)
# A stem of three convolutions in one nn.Sequential, whose last normalisation stands outside: apply
# before RESNET.
DEEP_STEM: tuple[Rename, ...] = (
    *conv_norm("conv1", "stem.conv1"),
    *conv_norm("conv1", "stem.conv2", 3),
    (r"^conv1\.6\.", "stem.conv3."),
    (r"^bn1\.", "stem.conv3.norm."),
)
