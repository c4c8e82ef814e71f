from __future__ import annotations

import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.projects.deeplab.loss import DeepLabCE
from torch import nn

from pointrend_ext.layers import two_class_logits
from pointrend_ext.modeling.sem_seg.losses import (
    coarse_losses,
    finite_losses,
    sem_seg_point_loss,
    upsampled_losses,
)
from tests.modeling.sem_seg.decoder_heads import IGNORE, mean_loss, upsampled

CRITERIA = {
    "cross_entropy": nn.CrossEntropyLoss(ignore_index=IGNORE),
    "hard_pixel_mining": DeepLabCE(ignore_label=IGNORE, top_k_percent_pixels=0.2),
}


def fpn_head(num_classes=4, stride=4, weight=0.5):
    return SemSegFPNHead(
        {"p2": ShapeSpec(channels=3, stride=stride)},
        num_classes=num_classes,
        conv_dims=3,
        common_stride=stride,
        loss_weight=weight,
        ignore_value=IGNORE,
    )


def random_case(rng, size_hw, *, num_classes=4, stride=4, dtype=torch.float64):
    cells = [-(-side // stride) for side in size_hw]
    logits = 3 * torch.randn(2, num_classes, *cells, generator=rng, dtype=dtype)
    targets = torch.randint(max(num_classes, 2), (2, *size_hw), generator=rng)
    targets[torch.rand(2, *size_hw, generator=rng) < 0.3] = IGNORE
    return logits, targets


# ---- dense losses


@pytest.mark.parametrize("kind", CRITERIA)
@pytest.mark.parametrize("num_classes", [1, 4])
@pytest.mark.parametrize(("size_hw", "stride"), [((8, 12), 4), ((9, 15), 4), ((17, 5), 8)])
def test_upsampled_losses_are_those_of_every_true_pixel(rng, kind, num_classes, size_hw, stride):
    logits, targets = random_case(rng, size_hw, num_classes=num_classes, stride=stride)
    got = upsampled_losses(
        CRITERIA[kind], logits, targets, stride=stride, ignore_value=IGNORE, weight=0.25
    )
    expected = 0.25 * mean_loss(kind, upsampled(logits, stride, size_hw), targets)
    assert list(got) == ["loss_sem_seg"]
    assert got["loss_sem_seg"].item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("size_hw", [(8, 12), (9, 15), (5, 12)])
@pytest.mark.parametrize("num_classes", [1, 4])
def test_coarse_losses_serve_heads_that_need_whole_cells(rng, size_hw, num_classes):
    logits, targets = random_case(rng, size_hw, num_classes=num_classes)
    got = coarse_losses(fpn_head(num_classes), logits, targets)  # computes in float32
    expected = 0.5 * mean_loss("cross_entropy", upsampled(logits, 4, size_hw), targets)
    assert got["loss_sem_seg"].item() == pytest.approx(
        expected.item(), rel=1e-5
    )  # computes in float32


def test_coarse_losses_leave_what_the_head_can_do_alone(rng):
    logits, targets = random_case(rng, (8, 12), dtype=torch.float32)
    logits.requires_grad_()
    head = fpn_head()
    got, alone = coarse_losses(head, logits, targets), head.losses(logits, targets)
    assert got.keys() == alone.keys()
    assert got["loss_sem_seg"].item() == alone["loss_sem_seg"].item()
    gradients = [torch.autograd.grad(x["loss_sem_seg"], logits)[0] for x in (got, alone)]
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_a_head_that_takes_any_targets_gets_them_as_they_are(rng):
    class Head:
        common_stride, ignore_value, targets_of_any_size = 4, IGNORE, True

        def losses(self, logits, targets):
            return {"loss_sem_seg": (logits, targets)}

    logits, targets = random_case(rng, (9, 15), num_classes=1)
    assert coarse_losses(Head(), logits, targets)["loss_sem_seg"] == (logits, targets)


def all_losses(logits, targets):
    """Every dense loss of one batch."""
    yield coarse_losses(fpn_head(logits.shape[1]), logits, targets)
    for criterion in CRITERIA.values():
        yield upsampled_losses(criterion, logits, targets, stride=4, ignore_value=IGNORE, weight=1)


def test_one_valid_image_in_the_batch_is_enough(rng):
    logits, targets = random_case(rng, (9, 15), dtype=torch.float32)
    targets[1] = IGNORE
    both = [x["loss_sem_seg"] for x in all_losses(logits, targets)]
    first = [x["loss_sem_seg"] for x in all_losses(logits[:1], targets[:1])]
    torch.testing.assert_close(both[:2], first[:2])


def test_losses_never_wait_for_the_device():
    # Tensors on the meta device have no values: reading one on the host would raise.
    logits = torch.empty(2, 4, 3, 4, device="meta", requires_grad=True)
    targets = torch.empty(2, 9, 15, dtype=torch.int64, device="meta")
    for losses in all_losses(logits, targets):
        losses["loss_sem_seg"].backward()
    points = torch.empty(2, 4, 7, device="meta", requires_grad=True)
    labels = torch.empty(2, 7, dtype=torch.int64, device="meta")
    sem_seg_point_loss(points, labels, IGNORE).backward()


def test_nan_logits_stay_visible(rng):
    logits, targets = random_case(rng, (8, 12), dtype=torch.float32)
    logits[0, 0, 0, 0] = math.nan
    assert all(x["loss_sem_seg"].isnan() for x in all_losses(logits, targets))


def test_half_precision_logits_are_compared_in_float32(rng):
    logits, targets = random_case(rng, (9, 15), dtype=torch.bfloat16)
    halves, floats = all_losses(logits, targets), all_losses(logits.float(), targets)
    for half, full in zip(halves, floats, strict=True):
        assert half["loss_sem_seg"].dtype == torch.float32
        assert half["loss_sem_seg"].item() == full["loss_sem_seg"].item()


@pytest.mark.parametrize("size_hw", [(13, 12), (12, 17)])
def test_labels_beyond_the_logits_are_an_error(size_hw):
    logits = torch.zeros(1, 4, 3, 4)
    targets = torch.zeros(1, *size_hw, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"larger than what the logits cover, \(12, 16\)"):
        coarse_losses(fpn_head(), logits, targets)
    with pytest.raises(ValueError, match="common_stride"):
        upsampled_losses(
            CRITERIA["cross_entropy"], logits, targets, stride=4, ignore_value=IGNORE, weight=1
        )


def test_finite_losses_pass_several_losses_on():
    def losses(logits, targets):
        return {"a": logits.sum(), "b": (logits * targets).sum()}

    logits = torch.tensor([2.0, 3.0])
    got = finite_losses(losses, logits, torch.tensor([IGNORE, 5]), IGNORE)
    assert {k: v.item() for k, v in got.items()} == {"a": 5, "b": 2 * IGNORE + 15}
    got = finite_losses(losses, logits, torch.tensor([IGNORE, IGNORE]), IGNORE)
    assert {k: v.item() for k, v in got.items()} == {"a": 0, "b": 0}


def test_two_class_logits():
    binary = torch.tensor([[[1.0, -2.0]]])
    torch.testing.assert_close(
        two_class_logits(binary), torch.tensor([[[0.0, 0.0], [1.0, -2.0]]]), rtol=0, atol=0
    )
    several = torch.zeros(1, 2, 3)
    assert two_class_logits(several) is several


# ---- loss at points


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        (
            [[0.0, 2.0, 9.0], [0.0, 0.0, 9.0], [0.0, -1.0, -9.0]],
            [1, 2, IGNORE],
            (math.log(3) + math.log(math.e**2 + 1 + math.e**-1) + 1) / 2,
        ),
        (
            [[2.0, -1.0, 5.0]],
            [1, 0, IGNORE],
            (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2,
        ),
    ],
)
def test_point_loss_by_hand(logits, labels, expected):
    got = sem_seg_point_loss(torch.tensor([logits]), torch.tensor([labels]), IGNORE)
    assert got.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_ignored_points_change_nothing(rng, num_classes):
    logits = torch.randn(2, num_classes, 8, generator=rng, dtype=torch.float64)
    labels = torch.randint(2, (2, 8), generator=rng)
    alone = sem_seg_point_loss(logits, labels, IGNORE)
    more = torch.cat([logits, 50 * torch.ones(2, num_classes, 5)], dim=2)
    padded = torch.cat([labels, torch.full((2, 5), IGNORE)], dim=1)
    torch.testing.assert_close(sem_seg_point_loss(more, padded, IGNORE), alone)


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
