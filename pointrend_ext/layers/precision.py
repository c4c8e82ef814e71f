"""The rules about number formats: coordinates, scores and losses have at least 32 bits."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return 16-bit values in float32, and any other as they are.

    Args:
        values: (...), any floating-point type.

    Returns:
        (...), float32 or float64; differentiable.
    """
    return values.to(wide_dtype(values))


def wide_dtype(values: Tensor) -> torch.dtype:
    """Return float32 for 16-bit values, and the type of any other."""
    return torch.promote_types(values.dtype, torch.float32)


def has_float64(device: torch.device) -> bool:
    """Tell whether a device computes in float64; Apple's GPUs do not."""
    return device.type != "mps"
