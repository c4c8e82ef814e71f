"""What holds for every head of this package that predicts from the maps of a ResNet."""

import pytest
import torch
from detectron2.layers import ShapeSpec

from pointrend_ext.modeling.sem_seg.losses import coarse_predictions
from tests.modeling.sem_seg.decoder_heads import (
    ALIGNED,
    DEEPLAB_SHAPES,
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
    padded = (96, 128) if name == "SemSegFPNHead" else ODD  # it adds maps of whole multiples
    features = make_features(rng, padded, shapes_of(name))
    nothing, losses = head.train()(features, torch.full((2, *ODD), IGNORE))
    assert nothing is None
    assert ("loss_sem_seg_point" in losses) == has_points
    assert {loss.item() for loss in losses.values()} == {0}
    sum(losses.values()).backward()
    for parameter in head.parameters():  # without a gradient DistributedDataParallel stops
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=0)


# ---- DeepLab: equal to Detectron2's where that works, right where it does not

THEIRS = {V3: "DeepLabV3Head", V3_PLUS: "DeepLabV3PlusHead"}


def gradients(head, features, targets):
    """Loss, and its gradients by parameter, of one training step with a fixed dropout."""
    head.train()
    head.zero_grad()
    torch.manual_seed(3)
    nothing, losses = head(features, targets)
    assert nothing is None
    assert list(losses) == ["loss_sem_seg"]
    losses["loss_sem_seg"].backward()
    return losses["loss_sem_seg"].detach(), {k: p.grad for k, p in head.named_parameters()}


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("stride", [16, 8])
@pytest.mark.parametrize("opts", [[], [*crop_of(64, 96), *POOLED]], ids=["global", "crop"])
@pytest.mark.parametrize("loss_type", ["cross_entropy", "hard_pixel_mining"])
@pytest.mark.parametrize("is_separable", [False, True])
def test_parity_with_detectron2(rng, name, stride, opts, loss_type, is_separable):
    shapes = {**DEEPLAB_SHAPES, "res5": ShapeSpec(channels=6, stride=stride)}
    overrides = {"LOSS_TYPE": loss_type, "USE_DEPTHWISE_SEPARABLE_CONV": is_separable}
    if name == V3:
        overrides["COMMON_STRIDE"] = stride
    ours = make_head(name, opts, shapes, **overrides)
    theirs = make_head(THEIRS[name], opts, shapes, **overrides)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)

    features, targets = make_features(rng, (64, 96), shapes), make_targets(rng, (64, 96))
    (our_loss, our_grads), (their_loss, their_grads) = (
        gradients(head, features, targets) for head in (ours, theirs)
    )
    assert our_loss.item() == their_loss.item()
    torch.testing.assert_close(our_grads, their_grads, rtol=0, atol=0)
    ours.eval()
    theirs.eval()
    (our_logits, rest), (their_logits, _) = ours(features), theirs(features)
    torch.testing.assert_close(our_logits, their_logits, rtol=0, atol=0)
    assert our_logits.shape == (2, 4, 64, 96)
    assert rest == {}


def test_the_width_of_the_predictor_is_that_of_the_aspp():
    head = make_head(V3, CONVS_DIM=128)  # Detectron2's default, which its own head cannot use
    assert head.predictor.weight.shape == (4, 8, 1, 1)


@pytest.mark.parametrize("name", THEIRS)
def test_any_size_after_a_smaller_crop(rng, name):
    # The sizes of the paper, 1024 x 2048 after a crop of 768 x 768, divided by 16.
    crop = crop_of(48, 48)
    head = make_head(name, crop).eval()
    features = make_features(rng, (64, 128), DEEPLAB_SHAPES)
    with torch.no_grad():
        logits, _ = head(features)
        expected, _ = make_head(THEIRS[name]).eval()(features)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)
    assert logits.shape == (2, 4, 64, 128)
    pooled = make_head(name, [*crop, *POOLED]).eval()
    with pytest.raises(ValueError, match="pool_kernel_size"):
        pooled(features)


@pytest.mark.parametrize("name", THEIRS)
def test_a_bfloat16_head_trains_and_infers(rng, name):
    head = make_head(name, NORM="").bfloat16()
    features = {k: v.bfloat16() for k, v in make_features(rng, (37, 53), DEEPLAB_SHAPES).items()}
    loss, grads = gradients(head, features, make_targets(rng, (37, 53)))
    assert loss.dtype == torch.float32
    assert all(grad.isfinite().all() for grad in grads.values())
    logits, _ = head.eval()(features)
    assert logits.dtype == torch.bfloat16


# ---- mistakes are found when a head is built

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
    ([V3_PLUS], {"PROJECT_CHANNELS": [4, 5]}, [], r"CHANNELS is \[4, 5\]; it must be 1 w"),
    ([V3_PLUS], {"ASPP_POOLING": "crop"}, [], "ENABLED is False"),
    ([V3_PLUS], {}, [*crop_of(8, 64), *POOLED], "divisible"),
    ([V3], {}, [*crop_of(64, 90), *POOLED], "a multiple of 16"),
    ([V3], {}, [*crop_of(64, 64, kind="relative"), *POOLED], "TYPE is 'relative'"),
    ([V3], {"ASPP_POOLING": "image"}, [], "ASPP_POOLING is 'image'; it must be 'global'"),
    ([V3], {"ASPP_DILATIONS": [6, 12]}, [], r"DILATIONS is \[6, 12\]; it must be three"),
    ([V3], {"IN_FEATURES": ["res2", "res5"], "COMMON_STRIDE": 4}, [], "reads one feature map"),
]


@pytest.mark.parametrize(
    ("name", "overrides", "opts", "message"),
    [(name, *mistake) for names, *mistake in MISTAKES for name in names],
)
def test_mistakes(name, overrides, opts, message):
    with pytest.raises((ValueError, AssertionError), match=message.format(name)):
        make_head(name, opts, **overrides)  # some messages are Detectron2's own
