"""What the tables of known weights are made of, and the names that several of them share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["DEEP_STEM", "RESNET", "Rename", "State", "WeightsFormat"]

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
        convert: changes values too, after the renames; returns the tensors and, for each new name,
            the name it had before.
        partial_names: names lack the beginning that the model's have.
        fused_norms: normalisations were fused into scale and shift, so their statistics are 0, 1.
        notes: sentences for the user.
    """

    name: str
    required: tuple[str, ...]
    renames: tuple[Rename, ...] = ()
    dropped: tuple[str, ...] = ()
    convert: Callable[[State], tuple[State, dict[str, str]]] | None = None
    partial_names: bool = False
    fused_norms: bool = False
    notes: tuple[str, ...] = ()


# Torchvision's ResNet; AlignSeg's stem has conv1 to conv3 with bn1 to bn3.
RESNET: tuple[Rename, ...] = (
    (r"^conv(\d)\.", r"stem.conv\1."),
    (r"^bn(\d)\.", r"stem.conv\1.norm."),
    (r"^layer(\d)\.(.*)", lambda found: f"res{int(found[1]) + 1}.{found[2]}"),
    (r"^(res\d\.\d+\.)bn(\d)\.", r"\1conv\2.norm."),
    (r"^(res\d\.\d+\.)downsample\.0\.", r"\1shortcut."),
    (r"^(res\d\.\d+\.)downsample\.1\.", r"\1shortcut.norm."),
)
# A stem of three convolutions in one nn.Sequential, whose last normalisation stands outside: apply
# before RESNET.
DEEP_STEM: tuple[Rename, ...] = (
    (r"^conv1\.0\.", "stem.conv1."),
    (r"^conv1\.1\.", "stem.conv1.norm."),
    (r"^conv1\.3\.", "stem.conv2."),
    (r"^conv1\.4\.", "stem.conv2.norm."),
    (r"^conv1\.6\.", "stem.conv3."),
    (r"^bn1\.", "stem.conv3.norm."),
)
