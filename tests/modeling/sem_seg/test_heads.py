"""What holds for every head of this package that predicts from the maps of a ResNet."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.modeling.sem_seg.losses import coarse_predictions
from tests.modeling.sem_seg.decoder_heads import (
    ALIGNED,
    EVEN,
    HEADS,
    IGNORE,
    ODD,
    POOLED,
    V3,
    V3_PLUS,
    crop_of,
    make_features,
    make_head,
    make_targets,
    mean_loss,
    shapes_of,
    upsampled,
)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size_hw", [ODD, EVEN])
@pytest.mark.parametrize("loss_type", ["cross_entropy", "hard_pixel_mining"])
@pytest.mark.parametrize("num_classes", [1, 4])
def test_losses(rng, name, size_hw, loss_type, num_classes):
    overrides = {"LOSS_TYPE": loss_type, "NUM_CLASSES": num_classes}
    head = make_head(name, AUX_LOSS_WEIGHT=0.4, **overrides).double()
    features = make_features(rng, size_hw, shapes_of(name), dtype=torch.float64)
    targets = make_targets(rng, size_hw, num_classes=max(num_classes, 2))
    logits, auxiliary = coarse_predictions(head, features, with_auxiliary=True)

    losses = head.losses(logits, targets, auxiliary)
    expected = 0.5 * mean_loss(loss_type, upsampled(logits, head.common_stride, size_hw), targets)
    torch.testing.assert_close(losses["loss_sem_seg"], expected, rtol=1e-12, atol=0)
    assert list(head.losses(logits, targets)) == ["loss_sem_seg"]
    if name not in ALIGNED:
        assert list(losses) == ["loss_sem_seg"]
        return
    # SFNet mines at every layer; AlignSeg's inner loss stays a cross entropy
    strides = [4, 8, 16] if name == "SFNetHead" else [4]
    inner_type = loss_type if name == "SFNetHead" else "cross_entropy"
    inner = sum(
        mean_loss(inner_type, upsampled(x, stride, size_hw), targets)
        for x, stride in zip(auxiliary, strides, strict=True)
    )
    assert list(losses) == ["loss_sem_seg", "loss_sem_seg_aux"]
    torch.testing.assert_close(losses["loss_sem_seg_aux"], 0.4 * 0.5 * inner, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size_hw", [ODD, EVEN])
def test_inference_up_samples_by_the_stride(rng, name, size_hw):
    head = make_head(name).eval()
    features = make_features(rng, size_hw, shapes_of(name))
    with torch.no_grad():
        logits, (got, nothing) = head.layers(features), head(features)
    stride = head.common_stride
    assert logits.shape[-2:] == tuple(-(-side // stride) for side in size_hw)
    full_hw = [stride * side for side in logits.shape[-2:]]
    torch.testing.assert_close(got, upsampled(logits, stride, full_hw), rtol=0, atol=0)
    assert nothing == {}


LOSS_TYPES = ["cross_entropy", "hard_pixel_mining", "ohem", "cross_entropy_lovasz"]


@pytest.mark.parametrize("num_classes", [1, 4])
@pytest.mark.parametrize(
    ("name", "loss_type", "has_points"),
    # the losses of DeepLabV3+ are those of Detectron2's head
    [(name, x, False) for name in HEADS for x in LOSS_TYPES[: 2 if name == V3_PLUS else 4]]
    + [(name, "cross_entropy", True) for name in ("SemSegFPNHead", *HEADS)],
)
def test_all_ignored(rng, name, loss_type, has_points, num_classes):
    overrides = {"LOSS_TYPE": loss_type, "NUM_CLASSES": num_classes, "AUX_LOSS_WEIGHT": 0.1}
    head = make_head(name, has_points=has_points, **overrides)
    size_hw = EVEN if has_points else ODD
    features = make_features(rng, size_hw, shapes_of(name))
    nothing, losses = head.train()(features, torch.full((2, *size_hw), IGNORE))
    assert nothing is None
    assert ("loss_sem_seg_point" in losses) == has_points
    assert {loss.item() for loss in losses.values()} == {0}
    sum(losses.values()).backward()
    for parameter in head.parameters():  # without a gradient DistributedDataParallel stops
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=0)


MISTAKES = [
    (HEADS, {"COMMON_STRIDE": 8}, [], "COMMON_STRIDE is 8, but {} predicts at .*Set COMMON_STR"),
    (HEADS, {"IN_FEATURES": ["p2"]}, [], "contains 'p2', but the backbone .*'res2'"),
    (HEADS, {"LOSS_TYPE": "focal"}, [], "LOSS_TYPE is 'focal'; it must be .*|loss type: focal"),
    (ALIGNED, {"LOSS_WEIGHT": -1.0}, [], "LOSS_WEIGHT is -1.0; it must be at least 0"),
    (ALIGNED, {"AUX_LOSS_WEIGHT": -0.4}, [], "AUX_LOSS_WEIGHT is -0.4; it must be at least 0"),
    (ALIGNED, {"CONVS_DIM": 0}, [], "CONVS_DIM is 0; it must be at least 1"),
    (ALIGNED, {"IN_FEATURES": ["res5"]}, [], r"IN_FEATURES is \['res5'\]; .* two maps or more"),
    (ALIGNED, {"ALIGNMENT_COORDS": "corner"}, [], "{} .MODEL.SEM_SEG_HEAD.ALIGN.*COORDS.*'corner'"),
    ([V3_PLUS], {"COMMON_STRIDE": 16}, [], "Set COMMON_STRIDE to 4"),
    ([V3_PLUS], {"PROJECT_CHANNELS": [4, 5]}, [], "Expected 1 project_channels"),
    ([V3_PLUS], {"ASPP_POOLING": "crop"}, [], "ENABLED is False"),
    ([V3_PLUS], {}, [*crop_of(8, 64), *POOLED], "divisible"),
    ([V3], {}, [*crop_of(64, 90), *POOLED], "a multiple of 16"),
    ([V3], {}, [*crop_of(64, 64, kind="relative"), *POOLED], "TYPE is 'relative'"),
    ([V3], {"ASPP_POOLING": "image"}, [], "ASPP_POOLING is 'image'; it must be 'global'"),
    ([V3], {"ASPP_DILATIONS": [6, 12]}, [], "ASPP expects 3 dilations, got 2"),
    ([V3], {"IN_FEATURES": ["res2", "res5"], "COMMON_STRIDE": 4}, [], "reads one feature map"),
]


@pytest.mark.parametrize(
    ("name", "overrides", "opts", "message"),
    [(name, *mistake) for names, *mistake in MISTAKES for name in names],
)
def test_mistakes(name, overrides, opts, message):
    with pytest.raises((ValueError, AssertionError), match=message.format(name)):
        make_head(name, opts, **overrides)  # some messages are Detectron2's own
