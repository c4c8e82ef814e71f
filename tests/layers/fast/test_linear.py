"""The fully connected layer: the same numbers from either library, and a gradient where asked."""

import sys
from unittest.mock import Mock

import pytest
import torch
from torch.nn import functional as F

from pointrend_ext.layers.fast import Linear, linear
from pointrend_ext.layers.fast.linear import _has_fast_product


def check(inputs, weight, bias, tolerance=1e-5):
    exact = F.linear(inputs.double(), weight.double(), None if bias is None else bias.double())
    got = linear(inputs, weight, bias)
    assert got.dtype == weight.dtype
    torch.testing.assert_close(got.double(), exact, rtol=tolerance, atol=tolerance)
    return got


def draw(rng, rows=33, inputs=21, outputs=13, dtype=torch.float32):
    """(Q, I) inputs, (O, I) weight and (O,) bias."""
    sizes = (rows, inputs), (outputs, inputs), (outputs,)
    return [torch.randn(size, generator=rng, dtype=torch.float64).to(dtype) for size in sizes]


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(
    ("sizes", "dtype", "tolerance"),
    [
        ((0, 21, 13), torch.float32, 0),
        ((1, 1, 1), torch.float32, 1e-5),
        ((33, 21, 13), torch.float32, 1e-5),
        ((5, 337, 1), torch.float32, 1e-5),
        ((3136, 256, 256), torch.float32, 1e-4),
        ((33, 21, 13), torch.float64, 1e-13),
    ],
)
def test_equals_the_plain_product(rng, sizes, dtype, tolerance, has_bias):
    inputs, weight, bias = arguments = draw(rng, *sizes, dtype)
    before = [x.clone() for x in arguments]
    got = check(inputs, weight, bias if has_bias else None, tolerance)
    assert not got.requires_grad
    got.add_(1)
    assert all(torch.equal(a, b) for a, b in zip(arguments, before, strict=True))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_inference_takes_the_fast_product_where_there_is_one(rng, context):
    inputs, weight, bias = draw(rng)
    with context():
        has_one = torch.backends.mkldnn.is_available() and hasattr(
            torch.ops.mkldnn, "_linear_pointwise"
        )
        assert _has_fast_product(inputs) == has_one
        check(inputs, weight, bias)
        with torch.backends.mkldnn.flags(enabled=False):
            assert not _has_fast_product(inputs)
            check(inputs, weight, bias)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(
    # the last two are not wide: left as they are
    ("sizes", "slabs"),
    [((5, 18), [4, 4, 4, 4, 2]), ((3, 4), []), ((24, 20), [])],
)
def test_the_module_multiplies_a_wide_weight_by_slabs_in_inference(
    monkeypatch, rng, sizes, slabs, has_bias
):
    inputs, weight, bias = draw(rng, 33, *sizes)
    layer = Linear(*sizes, bias=has_bias)
    layer.load_state_dict({"weight": weight, "bias": bias} if has_bias else {"weight": weight})
    module = sys.modules["pointrend_ext.layers.fast.linear"]  # the package holds the function
    monkeypatch.setattr(module, "_SLAB_WEIGHTS", 4 * sizes[0] + 1)
    product = Mock(side_effect=F.linear)
    monkeypatch.setattr(module, "linear", product)
    expected = F.linear(inputs, weight, bias if has_bias else None)
    torch.testing.assert_close(layer(inputs), expected)
    with torch.no_grad():
        got = layer(inputs)
    torch.testing.assert_close(got, expected)
    assert slabs or torch.equal(got, expected)
    assert [len(call.args[1]) for call in product.call_args_list] == [sizes[1], *slabs]


@torch.no_grad()
def test_slices_and_transposes(rng):
    inputs, weight, bias = draw(rng, rows=40, inputs=24, outputs=24)
    for some_inputs, some_weight in [
        (inputs[:, :10], weight[:, :10]),
        (inputs[:, 3:13], weight[:, 14:]),
        (inputs[:, ::2], weight[:, ::2]),
        (inputs[::2], weight.t()),
        (inputs.t()[:, :24], weight),
        (inputs[5:], weight[::3]),
        (inputs[:1].expand(6, -1), weight[:, :1].expand(-1, 24)),
    ]:
        some_bias = torch.stack([bias, bias], dim=1)[: len(some_weight), 0]  # strided
        check(some_inputs, some_weight, some_bias)
        check(some_inputs, some_weight, None)


def gradients(layer, arguments):
    """The answer, and the gradients of those arguments that need one."""
    leaves = [x.detach().requires_grad_(x.requires_grad) for x in arguments]
    answer = layer(*leaves)
    wanted = torch.cos(torch.arange(answer.numel(), dtype=answer.dtype)).view_as(answer)
    (answer * wanted).sum().backward()
    return [answer.detach(), *(x.grad for x in leaves if x.requires_grad)]


def check_gradients(layer_by, arguments, tolerance):
    """Of a layer by ``linear`` in float32, and of one by the plain product in float64."""
    doubled = [x.detach().double().requires_grad_(x.requires_grad) for x in arguments]
    exact = gradients(layer_by(F.linear), doubled)
    for got, expected in zip(gradients(layer_by(linear), arguments), exact, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rows", [0, 1, 33])
@pytest.mark.parametrize("needed", [(0, 1, 2), (1, 2), (0,), (1,), (2,)])
def test_gradients_are_those_of_the_plain_product(rng, needed, rows):
    arguments = draw(rng, rows=rows)
    for number in needed:
        arguments[number].requires_grad_()
    check_gradients(lambda product: product, arguments, 1e-5)


def test_gradients_of_slices_through_what_follows_in_place(rng):
    def layer_by(product):
        def layer(inputs, weight, bias):
            hidden = product(inputs[:, 3:13], weight[:, ::2][:, :10], bias).add_(1).relu_()
            hidden = product(hidden, weight.t(), None).mul_(2)
            return hidden.sum(1, keepdim=True).expand(-1, 3)  # its gradient is expanded, too

        return layer

    arguments = [x.requires_grad_() for x in draw(rng, rows=40, inputs=24, outputs=24)]
    check_gradients(layer_by, arguments, 1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_the_weight_gives_the_type(rng, dtype):
    inputs, weight, bias = draw(rng)
    got = linear(inputs, weight.to(dtype), bias.to(dtype))
    assert got.dtype == dtype
    assert (got.float() - F.linear(inputs, weight, bias)).abs().max() < 0.15
    got = linear(inputs.to(dtype), weight, bias)
    assert got.dtype == torch.float32
    expected = F.linear(inputs.to(dtype).float(), weight, bias)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_autocast_decides_by_itself(rng):
    inputs, weight, bias = draw(rng)
    with torch.autocast("cpu", torch.bfloat16):
        assert not _has_fast_product(inputs)
        got = linear(inputs, weight, bias)
    assert got.dtype == torch.bfloat16
    assert (got.float() - F.linear(inputs, weight, bias)).abs().max() < 0.15
