"""The form for free sizes equals PyTorch's, also where there are fewer cells than bins."""

import sys

import pytest
import torch
from torch.nn import functional as F

from pointrend_ext.layers import adaptive_average


def test_by_hand():
    ramp = torch.arange(5.0).view(1, 1, 1, 5)
    # bins of cells 0 to 1, 1 to 3 and 3 to 4
    assert adaptive_average(ramp, 3)[0, 0, 0].tolist() == [0.5, 2.0, 3.5]


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 5), (3, 3), (6, 7), (13, 40), (64, 33)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_the_exported_form_equals_the_plain_one(monkeypatch, size_hw, bins):
    features = torch.randn(2, 4, *size_hw)
    plain = adaptive_average(features, bins)
    assert torch.equal(plain, F.adaptive_avg_pool2d(features, bins))
    module = sys.modules["pointrend_ext.layers.adaptive_average"]  # the name is the function's
    monkeypatch.setattr(module, "is_exported", lambda: True)
    torch.testing.assert_close(adaptive_average(features, bins), plain)
