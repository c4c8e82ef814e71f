"""Masks for given boxes: Detectron2's own path, by hand, and with classes left out."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from pointrend_ext.modeling.given_boxes import GivenBoxesModel
from pointrend_ext.modeling.roi_heads.mask_score import maskness
from tests.modeling.builders import RCNN, model_cfg, picture, randomize

PLAIN = {
    "ROI_MASK_HEAD__NAME": "MaskRCNNConvUpsampleHead",
    "ROI_MASK_HEAD__POOLER_TYPE": "ROIAlignV2",
    "ROI_MASK_HEAD__NUM_CONV": 1,
}
CASCADE = {"ROI_HEADS__NAME": "CascadeROIHeads", "ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG": True}
PANOPTIC = {"META_ARCHITECTURE": "PanopticFPN", "SEM_SEG_HEAD__IN_FEATURES": ["p2"]}


def build(**changes):
    torch.manual_seed(0)
    model = build_model(model_cfg(RCNN, **changes)).eval()
    # So that masks are neither full nor empty, and no class is the surest for all boxes.
    randomize(model.roi_heads.mask_head, 0.2, seed=7 if changes == PLAIN else 15)
    return model


def given(size_hw, boxes, **fields):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    fields = {key: torch.as_tensor(value) for key, value in fields.items()}
    return Instances(size_hw, pred_boxes=Boxes(boxes), **fields)


def example(size_hw, output_hw, boxes, **fields):
    height, width = output_hw
    return {
        **picture(size_hw),
        "height": height,
        "width": width,
        "given": given(output_hw, boxes, **fields),
    }


# Overlapping, twice the same, tiny, and the whole image, in no order.
BOXES = [[20, 30, 150, 100], [0, 0, 192, 128], [20, 30, 150, 100], [7, 9, 7.5, 9.25]]


@pytest.mark.parametrize("changes", [{}, PLAIN, CASCADE, PANOPTIC], ids=str)
@torch.no_grad()
def test_masks_are_those_of_detected_instances(changes):
    """In a batch of two sizes, where each output is of another size than its input."""
    model = build(**changes)
    fields = {"pred_classes": [2, 0, 1, 2], "scores": [0.25, 0.5, 0.125, 1.0]}
    batch = [
        example((64, 96), (128, 288), BOXES, **fields),
        example((90, 70), (45, 35), [[3, 5, 30, 40]], pred_classes=[1]),
    ]
    outputs = [x["instances"] for x in GivenBoxesModel(model)(batch)]
    detected = [
        given((64, 96), torch.tensor(BOXES).div(torch.tensor([3, 2, 3, 2])).tolist(), **fields),
        given((90, 70), [[6, 10, 60, 80]], pred_classes=[1], scores=[1.0]),
    ]
    if "META_ARCHITECTURE" in changes:
        images = model.preprocess_image(batch)
        raw = model.roi_heads.forward_with_given_boxes(model.backbone(images.tensor), detected)
        expected = [x["instances"] for x in model._postprocess(raw, batch, images.image_sizes)]
    else:
        expected = [x["instances"] for x in model.inference(batch, detected)]
    for x, got, want in zip(batch, outputs, expected, strict=True):
        assert got.image_size == want.image_size
        assert torch.equal(got.pred_boxes.tensor, x["given"].pred_boxes.tensor)
        for field in ("pred_classes", "scores", "pred_masks"):
            assert torch.equal(got.get(field), want.get(field)), field
    assert 0.1 < outputs[0].pred_masks[:3].float().mean() < 0.9
    assert not torch.equal(*outputs[0].pred_masks[[0, 2]])  # same box, other class


def test_boxes_stay_as_given_or_are_refused():
    """Detectron2 moves boxes that leave the image, and leaves out those that lie outside."""
    model = GivenBoxesModel(build())
    boxes = [[-5, -5, 20, 20], [10, 10, 500, 60]]
    (got,) = model([example((64, 96), (64, 96), boxes, pred_classes=[0, 2])])
    assert got["instances"].pred_boxes.tensor.tolist() == boxes
    assert got["instances"].scores.tolist() == [1, 1]
    assert got["instances"].pred_masks.flatten(1).any(1).all()
    for wrong in ([300, 10, 320, 30], [10, 10, 10, 30], [20, 10, 10, 30], [float("nan"), 0, 9, 9]):
        batch = [example((64, 96), (64, 96), [*boxes, wrong], pred_classes=[0, 1, 2])]
        with pytest.raises(ValueError, match=r"box 2, \[.*no area inside its image of \(64, 96\)"):
            model(batch)


@pytest.mark.parametrize("changes", [{}, PLAIN], ids=["pointrend", "plain"])
@pytest.mark.parametrize("known", [True, False])
def test_no_boxes(changes, known):
    fields = {"pred_classes": torch.zeros(0, dtype=torch.int64)} if known else {}
    model = GivenBoxesModel(build(**changes))
    for batch in (
        [example((64, 96), (32, 48), [], **fields)],
        [example((64, 96), (32, 48), [], **fields), example((64, 96), (64, 96), BOXES[:1])],
    ):
        outputs = [x["instances"] for x in model(batch)]
        assert outputs[0].pred_masks.shape == (0, 32, 48)
        assert outputs[0].pred_classes.dtype == torch.int64
        assert [len(x) for x in outputs] == [0, 1][: len(batch)]


@pytest.mark.parametrize("changes", [{}, PLAIN], ids=["pointrend", "plain"])
def test_classes_left_out_are_those_of_the_surest_masks(changes):
    model = build(**changes)
    boxes = [BOXES[0], [100, 5, 180, 60], BOXES[0], [40, 40, 90, 120]]
    given_boxes = GivenBoxesModel(model)
    by_class = [
        given_boxes.regions([example_of(boxes, [number] * len(boxes))])[0].pred_masks
        for number in range(3)
    ]
    expected = torch.stack([maskness(masks) for masks in by_class]).argmax(0)
    assert len(expected.unique()) > 1
    assert expected[0] == expected[2]
    # Beside an image whose classes are known, which stay.
    got, other = given_boxes.regions([example_of(boxes), example_of(boxes, [2, 1, 0, 1])])
    assert torch.equal(got.pred_classes, expected)
    assert other.pred_classes.tolist() == [2, 1, 0, 1]
    assert got.scores.tolist() == [1] * 4
    for n, number in enumerate(expected.tolist()):
        off = (got.pred_masks[n] - by_class[number][n]).abs()
        share = (off > 1e-3).float().mean()  # a point about as uncertain takes another's place
        assert share < 1e-3


def example_of(boxes, classes=None):
    torch.manual_seed(5)
    return example((64, 96), (128, 192), boxes, **({"pred_classes": classes} if classes else {}))


def test_one_mask_for_all_classes_is_of_class_0(monkeypatch):
    model = build(ROI_MASK_HEAD__CLS_AGNOSTIC_MASK=True)
    batch = [example_of(BOXES)]
    calls = []
    inner = model.roi_heads.forward_with_given_boxes
    monkeypatch.setattr(
        model.roi_heads, "forward_with_given_boxes", lambda *x: calls.append(1) or inner(*x)
    )
    tried, at_once = (GivenBoxesModel(model, class_agnostic=x) for x in (False, True))
    (slow,), number = tried.regions(batch), len(calls)
    (fast,) = at_once.regions(batch)
    assert (number, len(calls) - number) == (3 + 1, 1)
    assert slow.pred_classes.tolist() == fast.pred_classes.tolist() == [0, 0, 0, 0]
    assert torch.equal(slow.pred_masks, fast.pred_masks)


def test_another_frame_is_refused():
    batch = [{**example((64, 96), (64, 96), BOXES), "height": 128}]
    with pytest.raises(ValueError, match=r"of \(64, 96\) .*output has \(128, 96\)"):
        GivenBoxesModel(build())(batch)
    del batch[0]["height"], batch[0]["width"]
    assert len(GivenBoxesModel(build())(batch)) == 1
