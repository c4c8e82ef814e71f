"""Losses of semantic heads beyond their values, which ``test_heads`` compares."""

import math
from types import SimpleNamespace

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead

from pointrend_ext.modeling.sem_seg.criteria import build_criterion
from pointrend_ext.modeling.sem_seg.losses import (
    coarse_losses,
    sem_seg_point_loss,
    upsampled_loss,
)
from tests.modeling.sem_seg.decoder_heads import IGNORE, NUM_CLASSES, make_targets

CRITERIA = [build_criterion(x, ignore_value=IGNORE) for x in ("cross_entropy", "hard_pixel_mining")]


def fpn_head(num_classes):
    shapes = {"p2": ShapeSpec(channels=3, stride=4)}
    return SemSegFPNHead(
        shapes, num_classes=num_classes, conv_dims=3, common_stride=4, ignore_value=IGNORE
    )


def random_case(rng, size_hw, *, dtype=torch.float32):
    cells = [-(-side // 4) for side in size_hw]
    logits = 3 * torch.randn(2, NUM_CLASSES, *cells, generator=rng, dtype=torch.float64)
    return logits.to(dtype), make_targets(rng, size_hw)


# ---- dense losses


def all_losses(logits, targets):
    """Every dense loss of one batch."""
    yield coarse_losses(fpn_head(logits.shape[1]), logits, targets)["loss_sem_seg"]
    for criterion in CRITERIA:
        yield upsampled_loss(criterion, logits, targets, stride=4, ignore_value=IGNORE)


def test_coarse_losses_leave_what_the_head_can_do_alone(rng):
    logits, targets = random_case(rng, (8, 12))
    head = fpn_head(NUM_CLASSES)
    results = []
    for losses in (
        coarse_losses(head, x := logits.clone().requires_grad_(), targets),
        head.losses(y := logits.clone().requires_grad_(), targets),
    ):
        losses["loss_sem_seg"].backward()
        results.append(losses)
    assert results[0].keys() == results[1].keys()
    assert results[0]["loss_sem_seg"].item() == results[1]["loss_sem_seg"].item()
    assert torch.equal(x.grad, y.grad)


def test_one_valid_image_in_the_batch_is_enough(rng):
    logits, targets = random_case(rng, (9, 15))
    targets[1] = IGNORE
    both, first = list(all_losses(logits, targets)), list(all_losses(logits[:1], targets[:1]))
    torch.testing.assert_close(both[:2], first[:2])


def test_losses_never_wait_for_the_device():
    # Tensors on the meta device have no values: reading one on the host would raise.
    logits = torch.empty(2, 4, 3, 4, device="meta", requires_grad=True)
    targets = torch.empty(2, 9, 15, dtype=torch.int64, device="meta")
    for loss in all_losses(logits, targets):
        loss.backward()
    points = torch.empty(2, 4, 7, device="meta", requires_grad=True)
    labels = torch.empty(2, 7, dtype=torch.int64, device="meta")
    sem_seg_point_loss(points, labels, IGNORE).backward()


def test_nan_logits_stay_visible(rng):
    logits, targets = random_case(rng, (8, 12))
    logits[0, 0, 0, 0] = math.nan
    assert all(x.isnan() for x in all_losses(logits, targets))


def test_half_precision_logits_are_compared_in_float32(rng):
    logits, targets = random_case(rng, (9, 15), dtype=torch.bfloat16)
    halves, floats = all_losses(logits, targets), all_losses(logits.float(), targets)
    for half, full in zip(halves, floats, strict=True):
        assert half.dtype == torch.float32
        assert half.item() == full.item()


@pytest.mark.parametrize("size_hw", [(13, 12), (12, 17)])
def test_labels_beyond_the_logits_are_an_error(size_hw):
    logits = torch.zeros(1, 4, 3, 4)
    targets = torch.zeros(1, *size_hw, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"larger than what the logits cover, \(12, 16\)"):
        coarse_losses(fpn_head(4), logits, targets)
    with pytest.raises(ValueError, match="common_stride"):
        upsampled_loss(CRITERIA[0], logits, targets, stride=4, ignore_value=IGNORE)


def test_several_losses_of_a_coarse_head_pass():
    def losses(logits, targets):
        return {"a": logits.sum(), "b": (logits[:, 0] * targets).sum()}

    head = SimpleNamespace(losses=losses, common_stride=1, ignore_value=IGNORE)
    logits = torch.tensor([2.0, 3.0]).expand(1, 2, 1, 2)
    for label, b in ((5, 2 * IGNORE + 15), (IGNORE, 0)):
        got = coarse_losses(head, logits, torch.tensor([[[IGNORE, label]]]))
        assert {k: v.item() for k, v in got.items()} == {"a": 10 if b else 0, "b": b}


# ---- loss at points


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("num_points", [0, 5])
def test_no_valid_point_is_zero_with_zero_gradients(num_classes, num_points):
    logits = torch.ones(2, num_classes, num_points, requires_grad=True)
    loss = sem_seg_point_loss(logits, torch.full((2, num_points), IGNORE), IGNORE)
    assert loss.item() == 0
    [gradient] = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, torch.zeros_like(logits), rtol=0, atol=0)


def test_point_loss_of_half_precision_is_float32(rng):
    logits = torch.randn(1, 3, 6, generator=rng).bfloat16()
    labels = torch.randint(3, (1, 6), generator=rng)
    got = sem_seg_point_loss(logits, labels, IGNORE)
    assert got.dtype == torch.float32
    assert got.item() == sem_seg_point_loss(logits.float(), labels, IGNORE).item()
