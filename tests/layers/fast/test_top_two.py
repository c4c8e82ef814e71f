"""Labels and gaps by running maxima and row by row: those of arg max and top-k, bit for bit.

``top_two`` itself is tested with the uncertainty that it serves, in ``test_uncertainty.py``.
"""

import pytest
import torch

from pointrend_ext.layers.fast import label_dtype
from pointrend_ext.layers.fast.top_two import RunningTopTwo, labels_and_gaps_of_planes

INF, NAN = float("inf"), float("nan")
CLASSES = [2, 3, 11, 19, 255, 256, 257, 300]


def running(rows):
    """``RunningTopTwo`` over the columns of (Q, C)."""
    top = RunningTopTwo((len(rows),), rows.shape[1], rows)
    for label, plane in enumerate(rows.t()):
        top.update(label, plane)
    return top


def both(rows):
    """Labels and gaps by either form."""
    top = running(rows)
    return [(top.labels, top.gap()), labels_and_gaps_of_planes(rows.t())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_classes", CLASSES)
@pytest.mark.parametrize(("num_pixels", "ties"), [(0, False), (4000, False), (4000, True)])
def test_is_bit_identical_to_topk(rng, num_pixels, ties, num_classes, dtype):
    rows = torch.randn(num_pixels, num_classes, generator=rng, dtype=dtype)
    if ties:  # of three values: the lower class
        rows = rows.round().clamp(-1, 1)
    before = rows.clone()
    first, second = rows.topk(2, dim=1).values.unbind(1)
    labels = (rows == first[:, None]).int().argmax(1)
    assert ties or not num_pixels or len(labels.unique()) == num_classes  # every class can win
    top = running(rows)
    assert torch.equal(top.first, first)
    assert torch.equal(top.second, second)
    for got_labels, gaps in both(rows):
        assert torch.equal(got_labels.long(), labels)
        assert torch.equal(gaps, first - second)
        assert gaps.dtype == dtype
    assert torch.equal(rows, before)


@pytest.mark.parametrize(
    ("row", "label", "gap"),
    [
        ([1.0, 5, 3], 1, 2),
        ([3.0, 1, 3], 0, 0),
        ([-7.0, -9, -8], 0, 1),
        ([0.0, -0.0, -1], 0, 0),
        ([INF, 0, 1], 0, INF),
        ([0, INF, INF], 1, 0),
        ([-INF, -INF, -INF], 0, 0),
        ([-INF, 2, -INF], 1, INF),
        ([-INF, 2, 1], 1, 1),
        ([0.0, 1e-45, 0], 1, 1e-45),
        ([NAN, NAN, NAN, NAN], 0, 0),
    ],
)
def test_by_hand(row, label, gap):
    for labels, gaps in both(torch.tensor([row])):
        assert labels.tolist() == [label]
        assert torch.equal(gaps, torch.tensor([gap], dtype=torch.float32))


@pytest.mark.parametrize("where", [0, 1, 3])
@pytest.mark.parametrize("num_classes", [4, 5])
def test_what_is_no_number_leaves_no_gap(where, num_classes):
    rows = torch.arange(num_classes, dtype=torch.float32).repeat(3, 1)
    rows[1, where] = NAN
    for labels, gaps in both(rows):
        assert gaps.tolist() == [1, 0, 1]
        assert labels[[0, 2]].tolist() == [num_classes - 1] * 2
        assert labels[1] < num_classes


@pytest.mark.parametrize(
    ("num_classes", "dtype"),
    [(1, torch.uint8), (256, torch.uint8), (257, torch.int64), (1203, torch.int64)],
)
def test_label_type(num_classes, dtype):
    assert label_dtype(num_classes) == dtype
    assert RunningTopTwo((3,), num_classes, torch.zeros(1)).labels.dtype == dtype
