"""The point MLP and its registry."""

import pytest
import torch
from detectron2.config import CfgNode
from torch import nn

from pointrend_ext.modeling import POINT_HEAD_REGISTRY, StandardPointHead
from pointrend_ext.modeling.point_head import build_point_head


def build(**changes):
    arguments = {"fine_channels": 4, "coarse_channels": 2, "out_channels": 2, "fc_dim": 5}
    head = StandardPointHead(**{**arguments, **changes}).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return head


@pytest.mark.parametrize("each_layer", [True, False])
def test_equals_matrix_products_with_the_coarse_channels_last(each_layer):
    head = build(num_fc=2, coarse_pred_each_layer=each_layer)
    fine, coarse = torch.randn(3, 4, 6).double(), torch.randn(3, 2, 6).double()
    w = {name: value.squeeze(-1) for name, value in head.state_dict().items()}
    for region in range(3):
        for point in range(6):
            extra = coarse[region, :, point]
            hidden = torch.cat((fine[region, :, point], extra))
            for layer in ("fc1", "fc2"):
                hidden = (w[f"{layer}.weight"] @ hidden + w[f"{layer}.bias"]).clamp(min=0)
                hidden = torch.cat((hidden, extra)) if each_layer else hidden
            expected = w["predictor.weight"] @ hidden + w["predictor.bias"]
            got = head(fine, coarse)[region, :, point]
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_initialisation():
    head = StandardPointHead(fine_channels=256, coarse_channels=80, out_channels=80)
    assert head.predictor.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not head.predictor.bias.any()
    for layer in head.hidden_layers:  # He initialisation over the fan out
        assert layer.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.05)
        assert not layer.bias.any()


def test_no_region():
    head = build(out_channels=3)
    out = head(torch.rand(0, 4, 6).double(), torch.rand(0, 2, 6).double())
    assert out.shape == (0, 3, 6)
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_built_by_name_from_its_node():
    values = {"NAME": "StandardPointHead", "FC_DIM": 5, "NUM_FC": 2, "COARSE_PRED_EACH_LAYER": True}
    head = build_point_head(CfgNode(values), fine_channels=4, coarse_channels=3, out_channels=1)
    assert isinstance(head, StandardPointHead)
    assert head.fc1.weight.shape == (5, 7, 1)
    assert head.predictor.weight.shape == (1, 8, 1)
    assert len(head.hidden_layers) == 2


def test_a_users_head_is_found_and_used(tiny, monkeypatch):
    class Constant(nn.Module):
        def __init__(self, node, *, fine_channels, coarse_channels, out_channels):
            super().__init__()
            self.channels = fine_channels, coarse_channels, out_channels

        def forward(self, fine, coarse):
            return coarse * 0 + 2.0

    monkeypatch.setitem(POINT_HEAD_REGISTRY._obj_map, "Constant", Constant)
    head = tiny.head(MASK_POINT_HEAD__NAME="Constant").eval()
    assert head.point_head.channels == (6, 3, 3)
    expected = torch.full((4, 1, 12, 12), 2.0).sigmoid()
    torch.testing.assert_close(tiny.masks(head, tiny.features()), expected)
