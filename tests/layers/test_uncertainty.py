"""Uncertainty and class selection."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.layers import foreground_uncertainty, select_class


def test_values_by_hand():
    logits = torch.tensor([-2.0, 0.0, 3.0, -0.5])
    assert foreground_uncertainty(logits).tolist() == [-2.0, 0.0, -3.0, -0.5]


def test_orders_points_as_the_paper_does(rng):
    logits = torch.randn(100, generator=rng, dtype=torch.float64)
    paper = -(logits.sigmoid() - 0.5).abs()
    assert torch.equal(foreground_uncertainty(logits).argsort(), paper.argsort())


def test_nan_counts_as_most_uncertain_and_infinity_as_certain():
    logits = torch.tensor([1.0, float("nan"), float("inf"), float("-inf")])
    scores = foreground_uncertainty(logits)
    assert scores.isfinite().all()
    assert scores[1] == 0
    assert (scores[2:] < -1e30).all()


def test_input_is_not_modified():
    logits = torch.tensor([1.0, float("nan")])
    foreground_uncertainty(logits)
    assert logits[0] == 1
    assert logits[1].isnan()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_scores_have_at_least_32_bits(dtype, expected):
    assert foreground_uncertainty(torch.ones(2, dtype=dtype)).dtype == expected


@pytest.mark.parametrize("tail", [(), (5,), (2, 3)])
def test_select_class_takes_each_regions_own_channel(tail, rng):
    logits = torch.randn(4, 3, *tail, generator=rng)
    classes = torch.tensor([2, 0, 1, 2])
    expected = torch.stack([logits[r, c] for r, c in enumerate(classes.tolist())]).unsqueeze(1)
    assert torch.equal(select_class(logits, classes), expected)


def test_one_channel_serves_every_class():
    logits = torch.randn(3, 1, 5)
    assert torch.equal(select_class(logits, torch.tensor([7, 0, 79])), logits)


def test_class_agnostic_equals_one_class():
    logits = torch.randn(3, 1, 5)
    assert torch.equal(
        select_class(logits, torch.tensor([5, 6, 7])), select_class(logits, torch.zeros(3).long())
    )


def test_select_class_of_no_region():
    assert select_class(torch.rand(0, 4, 5), torch.zeros(0).long()).shape == (0, 1, 5)


def test_gradient_reaches_the_selected_channel_alone():
    logits = torch.randn(2, 3, 2, requires_grad=True)
    select_class(logits, torch.tensor([1, 2])).sum().backward()
    expected = torch.zeros(2, 3, 2)
    expected[0, 1] = expected[1, 2] = 1
    assert torch.equal(logits.grad, expected)
