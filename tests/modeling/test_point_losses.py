"""The point loss and the point accuracy, by hand."""

import math

import pytest
import torch

from pointrend_ext.modeling.point_head import mask_point_accuracy, mask_point_loss


def test_loss_by_hand():
    # logits 0 and log 3: probabilities 1/2 and 3/4
    logits = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 1.0], [0.0, 0.5]], dtype=torch.float64)
    expected = (math.log(2) + math.log(4 / 3) + math.log(4) + math.log(2)) / 4
    assert mask_point_loss(logits, labels).item() == pytest.approx(expected, rel=1e-12)


def test_ignored_points_change_neither_loss_nor_gradient_nor_accuracy(rng):
    logits = torch.randn(3, 8, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = torch.rand(3, 8, generator=rng, dtype=torch.float64)
    more_logits = torch.cat((logits, torch.full((3, 40), 5.0).double()), dim=1)
    more_labels = torch.cat((labels, torch.full((3, 40), -1.0).double()), dim=1)
    loss, more_loss = mask_point_loss(logits, labels), mask_point_loss(more_logits, more_labels)
    torch.testing.assert_close(more_loss, loss)
    (grad,) = torch.autograd.grad(loss, logits)
    (more_grad,) = torch.autograd.grad(more_loss, logits)
    torch.testing.assert_close(more_grad, grad)
    torch.testing.assert_close(
        mask_point_accuracy(more_logits, more_labels), mask_point_accuracy(logits, labels)
    )


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 3)])
def test_no_valid_point_is_a_finite_zero_with_gradient(shape):
    logits = torch.randn(*shape, requires_grad=True)
    labels = torch.full(shape, -1.0)
    loss = mask_point_loss(logits, labels)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(logits.grad, torch.zeros(shape))
    assert mask_point_accuracy(logits, labels).item() == 0


def test_gradcheck(rng):
    logits = torch.randn(3, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = torch.rand(3, 5, generator=rng, dtype=torch.float64)
    labels[0, :2] = -1
    assert torch.autograd.gradcheck(lambda x: mask_point_loss(x, labels), (logits,))


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4]])
    assert mask_point_loss(logits, torch.tensor([[1.0, 0.0]])).item() == 0
    assert mask_point_loss(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(1e4)
    assert mask_point_loss(logits * torch.nan, torch.ones(1, 2)).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_logits_are_summed_in_32_bits(dtype):
    # 5000 times log 2: a 16-bit sum would be off, or overflow
    loss = mask_point_loss(torch.zeros(50, 100, dtype=dtype), torch.zeros(50, 100))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)


def test_accuracy_is_the_share_of_signs_that_agree_with_labels_split_at_one_half():
    logits = torch.tensor([2.0, 2.0, -2.0, -2.0, 2.0, -2.0, -1.0])
    labels = torch.tensor([0.7, 0.3, 0.3, 0.7, 1.0, 0.0, -1.0])
    agrees = [mask_point_accuracy(*pair).item() for pair in zip(logits, labels, strict=True)]
    assert agrees == [1, 0, 1, 0, 1, 1, 0]
    assert mask_point_accuracy(logits[None], labels[None]).item() == pytest.approx(4 / 6)
