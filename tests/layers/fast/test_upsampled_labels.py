"""Labels and gaps of doubled logits against the doubled logits themselves."""

import pytest
import torch
from torch.nn import functional as F

from pointrend_ext.layers.fast import label_dtype, upsampled_labels
from pointrend_ext.layers.fast.upsampled_labels import labels_and_gaps, upsampled_labels_and_gaps

pytestmark = pytest.mark.usefixtures("device_form")
SIZES = [(1, 1), (1, 5), (5, 1), (7, 9), (16, 3), (33, 20)]


def doubled(logits):
    return F.interpolate(logits[None], scale_factor=2, mode="bilinear", align_corners=False)[0]


def upsampled(logits):
    def read_rows(start, stop):
        assert 0 <= start < stop <= logits.shape[1]
        return logits[:, start:stop]

    return upsampled_labels_and_gaps(read_rows, len(logits), tuple(logits.shape[1:]), logits)


def check(got, logits, tolerance):
    best, labels = logits.topk(2, dim=0).values, logits.argmax(0)
    gaps = best[0] - best[1]
    torch.testing.assert_close(got[1], gaps, rtol=0, atol=tolerance)
    assert got[1].dtype == logits.dtype
    assert got[0].dtype == label_dtype(len(logits))
    # where the two best differ by rounding alone, either may win
    assert torch.equal(got[0].long()[gaps > tolerance], labels[gaps > tolerance])
    assert (gaps > tolerance).float().mean() > 0.9


@pytest.mark.parametrize("band_cells", [1, 24, 10**6])
@pytest.mark.parametrize("num_classes", [2, 3, 19])
@pytest.mark.parametrize("size_hw", SIZES)
def test_equals_interpolation(rng, monkeypatch, size_hw, num_classes, band_cells):
    monkeypatch.setattr(upsampled_labels, "_BAND_CELLS", band_cells)
    monkeypatch.setattr(upsampled_labels, "_LARGE_BAND_LOGITS", 4 * num_classes * band_cells)
    logits = torch.randn(num_classes, *size_hw, generator=rng, dtype=torch.float64)
    check(labels_and_gaps(logits), logits, 0)
    check(upsampled(logits), doubled(logits), 1e-12)
    check(upsampled(logits.float()), doubled(logits).float(), 2e-6)


@pytest.mark.parametrize("num_classes", [256, 257])
def test_every_label_fits(rng, num_classes):
    logits = torch.randn(num_classes, 3, 5, generator=rng)
    check(labels_and_gaps(logits), logits, 0)
    check(upsampled(logits), doubled(logits), 2e-6)


def test_ties_take_the_lower_class():
    labels, gaps = upsampled(torch.ones(4, 3, 5))
    assert not labels.any()
    assert not gaps.any()


def test_equals_a_loop(rng, oracle):
    logits = torch.randn(3, 7, 9, generator=rng, dtype=torch.float64)
    check(upsampled(logits), torch.tensor([oracle.upsample(x) for x in logits.numpy()]), 1e-12)


def test_what_is_no_number_leaves_no_gap():
    logits = torch.zeros(3, 4, 4)
    logits[0], logits[2, 3, 3] = 1, float("nan")
    labels, gaps = upsampled(logits)
    assert not labels[:5, :5].any()
    assert (gaps[:5, :5] == 1).all()
    assert not gaps[5:, 5:].any()


def test_a_class_that_is_ruled_out_by_minus_infinity(rng):
    logits = torch.randn(4, 3, 5, generator=rng)
    logits[3] = -torch.inf
    check(upsampled(logits), doubled(logits[:3]), 2e-6)


def test_many_classes(rng):
    logits = torch.randn(300, 12, 500, generator=rng)
    check(upsampled(logits), doubled(logits), 2e-6)


def test_bands_of_many_classes_are_lower(device_form):
    if device_form != "cpu":
        assert upsampled_labels._bands(500, 90, 500, torch.device("cpu")) == [slice(0, 90)]
        return
    logits = torch.empty(0)
    assert upsampled_labels._bands(500, 3, 500, logits.device) == [
        slice(i, i + 1) for i in range(3)
    ]
    assert len(upsampled_labels._bands(2**14, 90, 400, logits.device)) > 1
