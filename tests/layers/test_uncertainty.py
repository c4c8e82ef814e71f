"""Uncertainty and class selection."""

import pytest
import torch

from pointrend_ext.layers import (
    class_uncertainty,
    exclude_padding,
    foreground_uncertainty,
    select_class,
)
from pointrend_ext.layers.fast import top_two

INF, NAN = float("inf"), float("nan")


def test_values_by_hand():
    logits = torch.tensor([-2.0, 0.0, 3.0, -0.5, NAN])
    assert foreground_uncertainty(logits).tolist() == [-2.0, 0.0, -3.0, -0.5, 0.0]
    assert logits[4].isnan()  # the input is not modified


def test_orders_points_as_the_paper_does(rng):
    logits = torch.randn(100, generator=rng, dtype=torch.float64)
    paper = -(logits.sigmoid() - 0.5).abs()
    assert torch.equal(foreground_uncertainty(logits).argsort(), paper.argsort())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_infinity_is_certain_in_at_least_32_bits(dtype):
    scores = foreground_uncertainty(torch.tensor([INF, -INF], dtype=dtype))
    assert scores.dtype == torch.promote_types(dtype, torch.float32)
    assert scores.isfinite().all()
    assert (scores < -1e30).all()


@pytest.mark.parametrize("tail", [(), (5,), (2, 3)])
def test_select_class_takes_each_regions_own_channel(tail, rng):
    logits = torch.randn(4, 3, *tail, generator=rng, requires_grad=True)
    classes = torch.tensor([2, 0, 1, 2])
    expected = torch.stack([logits[r, c] for r, c in enumerate(classes.tolist())]).unsqueeze(1)
    got = select_class(logits, classes)
    assert torch.equal(got, expected)
    grads = [torch.autograd.grad(x.sum(), logits)[0] for x in (got, expected)]
    assert torch.equal(*grads)
    assert select_class(logits[:0], classes[:0]).shape == (0, 1, *tail)
    assert torch.equal(
        select_class(logits[:, :1], classes + 70), logits[:, :1]
    )  # serves every class


# ---- the two best classes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 2, 500), (1, 3, 4, 5), (3, 19, 2, 3, 4), (2, 54), (0, 3, 4)])
@pytest.mark.usefixtures("device_form")
def test_top_two_is_bit_identical_to_topk(shape, dtype, rng):
    distinct = torch.randn(shape, generator=rng).to(dtype)
    ties = torch.randint(-1, 2, shape, generator=rng).to(dtype)  # of three values
    for logits in (distinct, ties, distinct.movedim(1, -1).contiguous().movedim(-1, 1)):
        before = logits.clone()
        expected = logits.topk(2, dim=1).values
        first, second = top_two(logits)
        assert torch.equal(first, expected[:, 0])
        assert torch.equal(second, expected[:, 1])
        assert first.dtype == second.dtype == dtype
        assert torch.equal(logits, before)


# ---- uncertainty over the classes


def test_class_uncertainty_is_minus_the_gap_of_the_two_best():
    # 1 image, 3 classes; at infinity: sure; undecided between two; of all, undecided; sure again
    points = [[1, 4, 3], [2, 2, -5], [INF, 0, 1], [INF, INF, 2], [-INF] * 3, [3, -INF, -INF]]
    assert class_uncertainty(torch.tensor(points).t()[None]).tolist() == [
        [[-1, 0, -INF, 0, 0, -INF]]
    ]


@pytest.mark.parametrize("tail", [(), (5,), (2, 3)])
@pytest.mark.parametrize("num_classes", [1, 2, 7])
def test_class_uncertainty_keeps_one_plane(num_classes, tail, rng):
    logits = torch.randn(4, num_classes, *tail, generator=rng, requires_grad=True)
    before = logits.clone()
    scores = class_uncertainty(logits)
    assert scores.shape == (4, 1, *tail)
    assert (scores <= 0).all()
    assert not scores.requires_grad
    assert torch.equal(logits, before)


def test_one_class_is_as_uncertain_as_the_two_classes_it_stands_for(rng):
    logits = torch.randn(2, 1, 30, generator=rng)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    assert torch.equal(class_uncertainty(logits), -logits.abs())
    assert torch.equal(class_uncertainty(two), class_uncertainty(logits))


@pytest.mark.parametrize("num_classes", [1, 2, 4])
def test_what_is_no_number_is_most_uncertain(num_classes):
    logits = torch.zeros(1, num_classes, 3)
    logits[:, 0] = 7
    logits[0, -1, 1] = NAN
    scores = class_uncertainty(logits)[0, 0]
    assert scores[1] == 0
    assert not scores.isnan().any()
    assert (scores[[0, 2]] == -7).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_class_uncertainty_of_16_bits_is_that_of_the_same_numbers_in_32(num_classes, dtype, rng):
    logits = (100 * torch.randn(2, num_classes, 50, generator=rng)).to(dtype)
    scores = class_uncertainty(logits)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, class_uncertainty(logits.float()))


# ---- padding of a batch


@pytest.mark.parametrize("stride", [0.5, 1, 4, 16])
@pytest.mark.parametrize(
    "size_px",
    # of stride 4 the centre of row 2 lies at 10, on the edge: outside; 10 < 11 and 14 < 15: inside;
    # of (2, 2) no centre is inside: nothing to choose; (100, 100) is larger than the map
    [(2, 3), (8, 12), (10, 12), (11, 15), (9, 14), (37, 53), (41, 57), (2, 2), (100, 100)],
)
def test_cells_whose_centre_is_in_the_padding_are_excluded(stride, size_px):
    scores = torch.arange(-40.0, 0).view(2, 1, 4, 5)
    sizes_px = [size_px, (7, 4)]  # each image has its own
    rows, columns = (torch.arange(4.0) + 0.5) * stride, (torch.arange(5.0) + 0.5) * stride
    inside = torch.stack([(rows < h)[:, None] & (columns < w) for h, w in sizes_px])[:, None]
    got = exclude_padding(scores.clone(), sizes_px, stride)
    assert torch.equal(got[inside], scores[inside])
    for padding in (image[~own] for image, own in zip(got, inside, strict=True)):
        assert (padding < -(2.0**99)).all()
        assert (padding.diff() < 0).all()  # row by row
    with pytest.raises(ValueError, match="argument"):
        exclude_padding(scores, [size_px], stride)
