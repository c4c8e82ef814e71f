"""The coarse mask head; its values are compared with a loop in test_mask_head_inference.py."""

import pytest
import torch

from pointrend_ext.modeling import CoarseMaskHead


def build(**changes):
    arguments = {
        "in_channels": 6,
        "in_side": 4,
        "conv_dim": 4,
        "fc_dims": [8, 8],
        "num_classes": 3,
        "out_side": 5,
    }
    return CoarseMaskHead(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("in_channels", "reduced"), [(6, True), (5, True), (4, False), (3, False), (1, False)]
)
def test_channels_are_reduced_only_above_conv_dim(in_channels, reduced):
    head = build(in_channels=in_channels)
    assert hasattr(head, "reduce_channel_dim_conv") == reduced
    assert head(torch.randn(2, in_channels, 4, 4)).shape == (2, 3, 5, 5)


def test_prediction_is_read_class_major():
    head = build()
    torch.nn.init.zeros_(head.prediction.weight)
    with torch.no_grad():
        head.prediction.bias.copy_(torch.arange(75.0))
    out = head(torch.randn(1, 6, 4, 4))
    # class 1, row 2, column 3
    assert out[0, 1, 2, 3].item() == 1 * 25 + 2 * 5 + 3


def test_initialisation():
    head = build(in_channels=64, in_side=8, conv_dim=64, fc_dims=[512, 256], num_classes=20)
    assert head.prediction.weight.std().item() == pytest.approx(0.001, rel=0.05)
    # He over the fan out 64 * 2 * 2; the fully connected ones uniform in +- sqrt(3 / fan in)
    assert head.reduce_spatial_dim_conv.weight.std().item() == pytest.approx(
        (2 / 256) ** 0.5, rel=0.05
    )
    assert head.fc2.weight.abs().max().item() == pytest.approx((3 / 512) ** 0.5, rel=0.05)
    assert all(not p.any() for name, p in head.named_parameters() if name.endswith("bias"))


def test_no_region_keeps_every_parameter_in_the_graph():
    head = build()
    out = head(torch.rand(0, 6, 4, 4))
    assert out.shape == (0, 3, 5, 5)
    out.sum().backward()
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in head.parameters())
