"""Losses of label maps by name, against loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from pointrend_ext.modeling.sem_seg.criteria import (
    build_criterion,
    lovasz_softmax,
    ohem_cross_entropy,
)
from tests.modeling.sem_seg.decoder_heads import IGNORE, mean_loss


def make_case(rng, num_classes=4, size_hw=(5, 7), ignored=0.3):
    logits = 2 * torch.randn(2, num_classes, *size_hw, generator=rng, dtype=torch.float64)
    targets = torch.randint(num_classes, (2, *size_hw), generator=rng)
    targets[torch.rand(2, *size_hw, generator=rng) < ignored] = IGNORE
    return logits, targets


def valid_pixels(logits, targets):
    """(P, C) probabilities and (P,) labels of what is not ignored."""
    valid = targets != IGNORE
    return logits.softmax(1).permute(0, 2, 3, 1)[valid], targets[valid]


# ---- OHEM


def ohem_loops(logits, targets, threshold, min_kept):
    probs, labels = valid_pixels(logits, targets)
    true = sorted(p[y].item() for p, y in zip(probs, labels, strict=True))
    hard = [p for p in true if p <= threshold]
    if len(hard) < min_kept:
        hard = true[:min_kept]
    return sum(-math.log(p) for p in hard) / len(hard)


@pytest.mark.parametrize("threshold", [0.01, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("min_kept", [1, 10, 30, 1000])
def test_ohem(rng, threshold, min_kept):
    logits, targets = make_case(rng)
    criterion = build_criterion(
        "ohem", ignore_value=IGNORE, ohem_threshold=threshold, ohem_min_kept=min_kept
    )
    expected = ohem_loops(logits, targets, threshold, min_kept)
    assert criterion(logits, targets).item() == pytest.approx(expected, rel=1e-12)


def test_ohem_gradients_reach_the_kept_pixels_alone(rng):
    logits, targets = make_case(rng)
    logits.requires_grad_()
    ohem_cross_entropy(logits, targets, threshold=0.2, min_kept=1, ignore_value=IGNORE).backward()
    reached = logits.grad.abs().sum(1) > 0
    true = logits.softmax(1).gather(1, targets.clamp(max=3)[:, None])[:, 0]
    assert torch.equal(reached, (targets != IGNORE) & (true <= 0.2))


# ---- Lovasz-softmax


def lovasz_loops(logits, targets):
    """Equation 8 of the paper: errors in falling order times the growth of the Jaccard loss."""
    probs, labels = valid_pixels(logits, targets)
    per_class = []
    for c in range(logits.shape[1]):
        is_class = [bool(y == c) for y in labels]
        if not any(is_class):
            continue
        errors = [abs(f - p[c].item()) for f, p in zip(is_class, probs, strict=True)]
        order = sorted(range(len(errors)), key=errors.__getitem__, reverse=True)
        loss, before, missed, total = 0.0, 0.0, 0, sum(is_class)
        for rank, pixel in enumerate(order, start=1):  # if so many pixels are misclassified
            missed += is_class[pixel]
            jaccard_loss = 1 - (total - missed) / (total + rank - missed)
            loss += errors[pixel] * (jaccard_loss - before)
            before = jaccard_loss
        per_class.append(loss)
    return sum(per_class) / len(per_class)


@pytest.mark.parametrize("ignored", [0.0, 0.4])
@pytest.mark.parametrize("num_classes", [2, 4, 60])  # of 60 most are absent
def test_lovasz(rng, num_classes, ignored):
    logits, targets = make_case(rng, num_classes, ignored=ignored)
    got = lovasz_softmax(logits, targets, ignore_value=IGNORE)
    assert got.item() == pytest.approx(lovasz_loops(logits, targets), rel=1e-12)


def test_lovasz_of_a_certain_prediction_is_one_minus_iou():
    targets = torch.tensor([[[0, 0, 1, 1, 1]]])
    predicted = torch.tensor([[[0, 1, 1, 1, 0]]])
    logits = 200.0 * F.one_hot(predicted, 2).permute(0, 3, 1, 2).double()
    got = lovasz_softmax(logits, targets, ignore_value=IGNORE)
    assert got.item() == pytest.approx(1 - (1 / 3 + 2 / 4) / 2)


def test_lovasz_gradients(rng):
    logits, targets = make_case(rng, 3, (2, 3))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: lovasz_softmax(x, targets, ignore_value=IGNORE), logits
    )


# ---- by name


def test_named_losses(rng):
    logits, targets = make_case(rng)
    names = ("cross_entropy", "hard_pixel_mining")
    expected = {name: mean_loss(name, logits, targets) for name in names}
    expected |= {
        "ohem": ohem_loops(logits, targets, 0.7, 10000),
        "cross_entropy_lovasz": expected["cross_entropy"] + 0.8 * lovasz_loops(logits, targets),
    }
    for name, value in expected.items():
        got = build_criterion(name, ignore_value=IGNORE)(logits, targets)
        assert got.item() == pytest.approx(float(value), rel=1e-12), name


def test_nothing_valid_is_zero(rng):
    logits = torch.randn(1, 3, 2, 2, generator=rng)
    targets = torch.full((1, 2, 2), IGNORE)
    assert lovasz_softmax(logits, targets, ignore_value=IGNORE) == 0
    kwargs = {"threshold": 0.7, "min_kept": 5, "ignore_value": IGNORE}
    assert ohem_cross_entropy(logits, targets, **kwargs) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss_type": "focal"}, "LOSS_TYPE is 'focal'; it must be one of cross_entropy, .*ohem"),
        ({"loss_type": "ohem", "ohem_threshold": 0.0}, "OHEM_THRESHOLD is 0.0"),
        ({"loss_type": "ohem", "ohem_min_kept": 0}, "OHEM_MIN_KEPT is 0"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_criterion(ignore_value=IGNORE, **arguments)
