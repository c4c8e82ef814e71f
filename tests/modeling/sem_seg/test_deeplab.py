"""DeepLab heads: equal to Detectron2's where those work, right where those do not."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec

from tests.modeling.sem_seg.decoder_heads import (
    DEEPLAB_SHAPES,
    POOLED,
    V3,
    V3_PLUS,
    crop_of,
    make_features,
    make_head,
    make_targets,
)

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


# ---- parity with Detectron2


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


# ---- what Detectron2 cannot do


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
