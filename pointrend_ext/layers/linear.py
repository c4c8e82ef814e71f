"""A fully connected layer, by the fastest library at hand."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["linear"]


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``inputs @ weight.T + bias``.

    On a CPU PyTorch multiplies 32-bit matrices by MKL, which leaves half the speed of AVX-512
    unused on processors of other makers than its own. The same product by oneDNN, which PyTorch
    brings along for its compiler, uses it: 115 against 53 GMAC/s on one Zen 5 core, torch 2.15. It
    has no backward pass, so it serves inference alone.

    Args:
        inputs: (Q, I), any floating-point type; it is cast to that of ``weight``.
        weight: (O, I).
        bias: (O,).

    Returns:
        (Q, O), in the type of ``weight``, or as autocast wants it.
    """
    inputs = inputs.to(weight.dtype)
    if _has_fast_product(inputs):
        bias = None if bias is None else bias.contiguous()  # oneDNN does not look at its stride
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return F.linear(inputs, weight, bias)


def _has_fast_product(inputs: Tensor) -> bool:
    return (
        inputs.device.type == "cpu"
        and inputs.dtype == torch.float32
        and len(inputs) > 0
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
