"""``MODEL.SEM_SEG_HEAD.IGNORE_VALUE`` may be any value, also 0: the same losses by value."""

import pytest
import torch
from detectron2.modeling import build_model

from tests.modeling.builders import LEVELS, RESNET_FPN, picture

SIZES_HW = (40, 61), (33, 70)  # padded to one size, with the ignore value


def losses_and_gradients(semantic, ignored, **changes):
    """Losses of a model that ignores ``ignored`` where another would ignore 0, and gradients."""
    table = {key.replace(".", "__"): value for key, value in RESNET_FPN.items()}
    cfg = semantic.cfg(
        **{
            **table,
            "META_ARCHITECTURE": "PointRendSemanticSegmentor",
            "SEM_SEG_HEAD__IN_FEATURES": LEVELS,
            "SEM_SEG_HEAD__IGNORE_VALUE": ignored,
            **changes,
        }
    )
    torch.manual_seed(1)
    model = build_model(cfg).train()
    inputs = [picture(size_hw) for size_hw in SIZES_HW]
    generator = torch.Generator().manual_seed(2)
    for single_input, size_hw in zip(inputs, SIZES_HW, strict=True):
        labels = torch.randint(3, size_hw, generator=generator)
        single_input["sem_seg"] = torch.where(labels == 0, ignored, labels)
    torch.manual_seed(3)
    losses = model(inputs)
    sum(losses.values()).backward()
    return losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"META_ARCHITECTURE": "SemanticSegmentor", "SEM_SEG_HEAD__NAME": "SemSegFPNHead"},
        *(
            {
                "META_ARCHITECTURE": "SemanticSegmentor",
                "SEM_SEG_HEAD__NAME": "SFNetHead",
                "SEM_SEG_HEAD__LOSS_TYPE": loss,
                "SEM_SEG_HEAD__IN_FEATURES": ["p2", "p3", "p4", "p5"],
            }
            for loss in ("cross_entropy", "hard_pixel_mining", "ohem", "cross_entropy_lovasz")
        ),
    ],
)
def test_to_ignore_0_is_to_ignore_255(semantic, changes):
    losses, gradients = losses_and_gradients(semantic, 0, **changes)
    expected, expected_gradients = losses_and_gradients(semantic, 255, **changes)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert loss.item() == expected[name].item() > 0
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.equal(gradient, expected_gradients[name])
