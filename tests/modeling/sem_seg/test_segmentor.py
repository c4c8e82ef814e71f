"""``PointRendSemanticSegmentor``: what it tells its head, and what it returns."""

from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from detectron2.modeling import SemanticSegmentor, build_model

from pointrend_ext.modeling import PointRendSemanticSegmentor
from pointrend_ext.modeling.sem_seg import segmentor as segmentor_module
from tests.modeling.builders import LEVELS, RESNET_FPN, picture

TINY_RESNET_FPN = {
    **{key.replace(".", "__"): value for key, value in RESNET_FPN.items()},
    "META_ARCHITECTURE": "PointRendSemanticSegmentor",
    "SEM_SEG_HEAD__IN_FEATURES": LEVELS,
}


def build(semantic, **changes):
    return build_model(semantic.cfg(**{**TINY_RESNET_FPN, **changes}))


def wrap(semantic, model_class=PointRendSemanticSegmentor, head=None, **arguments):
    """A model around the tiny head, on maps of a plain convolution."""
    torch.manual_seed(3)
    return model_class(
        backbone=semantic.backbone(),
        sem_seg_head=(head or semantic.head(16)).float(),
        pixel_mean=[110.0, 115.0, 120.0],
        pixel_std=[10.0, 10.0, 10.0],
        **arguments,
    ).eval()


def pictures(*sizes_hw, result_hw=None, num_classes=None):
    torch.manual_seed(4)
    inputs = [picture(size_hw) for size_hw in sizes_hw]
    for x, size_hw in zip(inputs, sizes_hw, strict=True):
        if result_hw:
            x["height"], x["width"] = result_hw
        if num_classes:
            x["sem_seg"] = torch.randint(num_classes, size_hw)
            x["sem_seg"][::4] = 255
    return inputs


def infer(model, inputs):
    with torch.no_grad():
        return [output["sem_seg"] for output in model(inputs)]


@pytest.mark.parametrize("result_hw", [None, (37, 53), (50, 41), (74, 106)])
@pytest.mark.parametrize("num_classes", [1, 2, 5])
def test_labels_are_the_arg_max_of_the_logits(semantic, num_classes, result_hw):
    head = semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=num_classes)
    inputs = pictures((37, 53), (30, 30), result_hw=result_hw)
    logits = infer(wrap(semantic, head=head, output="logits"), inputs)
    labels = infer(wrap(semantic, head=head, output="labels"), inputs)
    for one, some, own_hw in zip(labels, logits, [(37, 53), (30, 30)], strict=True):
        assert some.shape == (num_classes, *(result_hw or own_hw))
        expected = (some[0] > 0) if num_classes == 1 else some.argmax(0)
        assert one.dtype == torch.uint8
        assert torch.equal(one.long(), expected.long())
    assert len(torch.cat([one.flatten() for one in labels]).unique()) >= max(2, num_classes - 1)


def test_a_result_of_the_size_of_the_image_is_not_resampled(semantic):
    model, inputs, raw = wrap(semantic), pictures((37, 53), (30, 60)), []
    inputs[1].update(height=30, width=60)
    model.sem_seg_head.register_forward_hook(lambda _module, _inputs, result: raw.append(result[0]))
    without_interpolation = SimpleNamespace(interpolate=mock.Mock(side_effect=AssertionError))
    with mock.patch.object(segmentor_module, "F", without_interpolation):
        got = infer(model, inputs)
    assert torch.equal(got[0], raw[0][0, :, :37, :53])
    assert torch.equal(got[1], raw[0][1, :, :30, :60])


@pytest.mark.parametrize("result_hw", [(53, 37), (37, 54), (74, 106), (5, 7)])
def test_another_size_is_interpolated(semantic, result_hw):
    """The padding is cut off before the logits are resized."""
    model = wrap(semantic)
    [got] = infer(model, pictures((37, 53), result_hw=result_hw))
    [own_size] = infer(model, pictures((37, 53)))
    expected = torch.nn.functional.interpolate(own_size[None], result_hw, mode="bilinear")[0]
    assert torch.equal(got, expected)


def test_the_head_learns_the_sizes_of_the_images(semantic):
    model, sizes = wrap(semantic), [(37, 20), (18, 53)]
    with mock.patch.object(model.sem_seg_head, "forward", wraps=model.sem_seg_head.forward) as head:
        got = infer(model, pictures(*sizes))
    assert head.call_args.kwargs == {"image_sizes": sizes}
    assert [tuple(logits.shape[-2:]) for logits in got] == sizes


def test_works_in_detectron2s_segmentor_too(semantic):
    """Without padding, and in training, the two models are one."""
    head = semantic.head(16)
    ours, theirs = wrap(semantic, head=head), wrap(semantic, SemanticSegmentor, head=head)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    inputs = pictures((48, 64), (48, 64))
    for got, expected in zip(infer(ours, inputs), infer(theirs, inputs), strict=True):
        assert torch.equal(got, expected)
    inputs = pictures((37, 53), (30, 60), num_classes=3)
    losses = []
    for model in (ours, theirs):
        torch.manual_seed(6)
        losses.append(model.train()(inputs))
    assert losses[0] == losses[1]
    assert set(losses[0]) == {"loss_sem_seg", "loss_sem_seg_point"}


@pytest.mark.parametrize("num_classes", [1, 3])
def test_autocast_to_bfloat16(semantic, num_classes):
    head = semantic.head(
        16,
        SEM_SEG_HEAD__NUM_CLASSES=num_classes,
        SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS=10**6,  # or rounding changes the choice
    )
    model, inputs = wrap(semantic, head=head), pictures((37, 53), (30, 60))
    exact = infer(model, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = infer(model, inputs)
    for got, expected in zip(rough, exact, strict=True):
        assert got.dtype == torch.float32
        assert (got - expected).abs().max() < 0.05 * expected.abs().max()
        assert not torch.equal(got, expected)  # it did compute in 16 bits

    inputs, losses = pictures((37, 53), (30, 60), num_classes=max(2, num_classes)), []
    for is_rough in (False, True):
        torch.manual_seed(6)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_rough):
            losses.append(model.train()(inputs))
    exact, rough = losses
    for name, loss in exact.items():
        assert rough[name].dtype == torch.float32
        assert rough[name].item() == pytest.approx(loss.item(), rel=0.05)
    sum(rough.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("output", ["logits", "labels"])
def test_a_model_in_16_bits(semantic, dtype, output):
    inputs = pictures((37, 53), (30, 60))
    exact = infer(wrap(semantic, output=output), inputs)
    rough = infer(wrap(semantic, output=output).to(dtype), inputs)
    for got, expected in zip(rough, exact, strict=True):
        assert got.shape == expected.shape
        assert got.dtype == (torch.uint8 if output == "labels" else torch.float32)
        tolerance = 0.5 if output == "labels" else 0.1 * expected.abs().max()
        assert ((got.float() - expected.float()).abs() < tolerance).float().mean() > 0.9


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("PointRendSemanticSegmentor", "PointRendSemanticHead"),
        ("SemanticSegmentor", "PointRendSemanticHead"),
        ("SemanticSegmentor", "SemSegFPNHead"),
    ],
)
def test_builds_trains_and_infers_from_a_configuration(semantic, name, head):
    model = build(semantic, META_ARCHITECTURE=name, SEM_SEG_HEAD__NAME=head)
    assert type(model.sem_seg_head).__name__ == head
    losses = model.train()(pictures((70, 40), (50, 90), num_classes=3))
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    got = infer(model.eval(), pictures((70, 40), (50, 90), result_hw=(33, 44)))
    assert [logits.shape for logits in got] == [(3, 33, 44)] * 2


def test_output_is_read_from_the_configuration_which_stays(semantic):
    inputs, got = pictures((64, 96)), {}
    for output in ("logits", "labels"):
        cfg = semantic.cfg(**TINY_RESNET_FPN, SEM_SEG_POINT_HEAD__OUTPUT=output)
        before = cfg.dump()
        cfg.freeze()
        torch.manual_seed(1)
        [got[output]] = infer(build_model(cfg).eval(), inputs)
        assert cfg.dump() == before
    assert torch.equal(got["labels"], got["logits"].argmax(0).to(torch.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SEM_SEG_POINT_HEAD__OUTPUT": "label"}, r"SEM_SEG_POINT_HEAD\.OUTPUT is.*'labels'"),
        (
            {"SEM_SEG_HEAD__NAME": "SemSegFPNHead"},
            "PointRendSemanticHead, not SemSegFPNHead.*Semantic",
        ),
    ],
)
def test_mistakes(semantic, change, message):
    with pytest.raises(ValueError, match=message):
        build(semantic, **change)
