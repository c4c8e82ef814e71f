"""Frozen parts stay as they are, in evaluation mode, and keep no activations."""

import logging

import pytest
import torch
from torch import nn

from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.freezing import freeze
from pointrend_ext.modeling.unread_keys import build_checked_model
from tests.modeling.builders import picture
from tests.tiny_models import WIDTHS


@pytest.fixture
def model():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    return nn.Sequential(body, nn.Linear(3, 1))  # names 0, 0.0, ..., 1


def test_a_training_changes_the_rest_alone(model, caplog):
    with caplog.at_level(logging.INFO):
        freeze(model, ["0"])
    assert "4 of 22 parameters are trained" in caplog.text
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model.train()
    x = torch.randn(8, 3)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        body = model[0](x)
    assert kept == []
    torch.testing.assert_close(body, model.eval()[0](x))  # no dropout, stored statistics
    model.train()
    model(x).sum().backward()
    optimizer.step()
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {"1.weight", "1.bias"}


def test_single_parameters_may_be_named(model):
    freeze(model, ["*.bias", "0.1"])
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["0.0.weight", "1.weight"]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("pointrend_rcnn_toy", "proposal_generator"),
        ("pointrend_rcnn_toy", "roi_heads"),
        ("pointrend_rcnn_toy", "roi_heads.mask_head"),
        ("mask_rcnn_toy", "roi_heads.mask_head"),
        ("pointrend_box_to_mask_toy", "proposal_generator"),
        ("pointrend_box_to_mask_toy", "roi_heads"),
        ("pointrend_semantic_toy", "sem_seg_head"),
        ("alignseg_toy", "sem_seg_head"),
    ],
)
def test_the_loss_of_a_frozen_head_still_trains_what_lies_before(event_storage, config, name):
    """Values and gradients of the backbone are those of the model with nothing frozen."""
    example = picture((64, 96), [(10, 12, 50, 60)])
    example["sem_seg"] = torch.arange(64 * 96).reshape(64, 96) % 3
    runs = []
    for frozen in ([], [name]):
        cfg = load_cfg(f"Toy/{config}.yaml", ["MODEL.DEVICE", "cpu", *WIDTHS])
        cfg.MODEL.FREEZE = [*cfg.MODEL.FREEZE, *frozen]
        torch.manual_seed(0)
        model = build_checked_model(cfg).train()
        for module in model.modules():  # which frozen layers evaluate, and this test does not ask
            if isinstance(module, nn.BatchNorm2d | nn.Dropout2d):
                module.forward = lambda x: x
        torch.manual_seed(0)
        losses = model([example, example])
        sum(losses.values()).backward()
        runs.append((losses, {n: p.grad for n, p in model.backbone.named_parameters()}))
        trained = {n for n, p in model.named_parameters() if p.requires_grad}
        assert not frozen or not [n for n in trained if n.startswith(f"{name}.")]
    torch.testing.assert_close(*runs)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["0", "bakbone"], r"'bakbone', which is the name of no module.*Nearest names: \S"),
        (["*"], r"\['\*'\] leaves nothing to train"),
        (["0", "1"], "leaves nothing to train"),
    ],
)
def test_patterns_that_fit_nothing_or_everything_are_refused(model, patterns, message):
    with pytest.raises(ValueError, match=message):
        freeze(model, patterns)


def test_the_key_reaches_every_model():
    cfg = load_cfg("Toy/semantic_fpn_toy.yaml", ["MODEL.DEVICE", "cpu"])
    cfg.MODEL.FREEZE = ["backbone"]
    model = build_checked_model(cfg)
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"sem_seg_head"}
    cfg.MODEL.FREEZE = ["roi_heads"]
    with pytest.raises(ValueError, match=r"'roi_heads'.*sem_seg_head"):
        build_checked_model(cfg)
