"""A fully connected layer, by the fastest library at hand."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from pointrend_ext.layers.device_rule import runs_cpu_form

_SLAB_WEIGHTS = 2**22
"""Weights multiplied with at a time: oneDNN lays them out anew, in a copy, of which 16 MiB are
enough. Of 1203 classes and 20 regions the last layer takes 22 ms so, by MKL 48 ms."""


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``inputs @ weight.T + bias``.

    On a CPU PyTorch multiplies 32-bit matrices by MKL, which leaves half the speed of AVX-512
    unused on processors of other makers than its own. The same product by oneDNN, which PyTorch
    brings along for its compiler, uses it: 115 against 53 GMAC/s on one Zen 5 core, torch 2.15.
    Gradients are computed likewise; those of gradients are not.

    Args:
        inputs: (Q, I), any floating-point type; it is cast to that of ``weight``.
        weight: (O, I).
        bias: (O,).

    Returns:
        (Q, O), in the type of ``weight``, or as autocast wants it.
    """
    inputs = inputs.to(weight.dtype)
    if not _has_fast_product(inputs):
        return F.linear(inputs, weight, bias)
    if not torch.is_grad_enabled():
        return _product(inputs, weight, bias)
    return _FastLinear.apply(inputs, weight, bias)


class Linear(nn.Linear):
    """``nn.Linear``, by ``linear`` when it is trained, and in inference if it is very wide.

    Other layers are left as they are in inference: their products are few there, and to the last
    bit those of ``nn.Linear``, which the choice of the most uncertain points may hang on.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to (Q, I)."""
        weight, bias = self.weight, self.bias
        if torch.is_grad_enabled():
            return linear(inputs, weight, bias)
        outputs, width = weight.shape
        if outputs < max(width, _SLAB_WEIGHTS / width) or not _has_fast_product(inputs):
            return F.linear(inputs, weight, bias)
        rows = max(_SLAB_WEIGHTS // width, 1)
        biases = [None] * -(-outputs // rows) if bias is None else bias.split(rows)
        slabs = zip(weight.split(rows), biases, strict=True)
        return torch.cat([linear(inputs, *slab) for slab in slabs], dim=1)


class _FastLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        grad = grad.contiguous()
        needs_inputs, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _product(grad, weight.t(), None) if needs_inputs else None,
            _product(grad.t(), inputs.t(), None) if needs_weight else None,
            grad.sum(0) if needs_bias else None,
        )


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    bias = None if bias is None else bias.contiguous()  # oneDNN does not look at its stride
    return torch.ops.mkldnn._linear_pointwise(
        _without_gaps(inputs), _without_gaps(weight), bias, "none", [], ""
    )


def _without_gaps(matrix: Tensor) -> Tensor:
    """Copy a slice of a wider matrix, for which oneDNN has no fast product."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def _has_fast_product(inputs: Tensor) -> bool:
    return (
        runs_cpu_form(inputs.device)
        and inputs.device.type == "cpu"  # nothing else has oneDNN
        and inputs.dtype == torch.float32
        and len(inputs) > 0
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
