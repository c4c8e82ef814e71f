"""A predictor that is given boxes: what it answers, and what it refuses."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from pointrend_ext import Predictor
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.given_boxes import GivenBoxes
from pointrend_ext.inference.prediction import class_filter
from pointrend_ext.modeling import given_boxes as model_module
from pointrend_ext.modeling.roi_heads.mask_score import maskness

BOXES = [[20, 30, 150, 100], [5, 8, 60, 70], [20, 30, 150, 100], [100.5, 90.25, 103, 119]]
CLASSES = ["star", "blob", "gear", 5]


def same(one, other):
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_array_equal(np.asarray(one.masks), np.asarray(other.masks))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["instance", "panoptic"])
def test_masks_are_those_of_detected_instances(predictors, make_picture, kind):
    predictor, pixels = predictors(kind), make_picture()
    got = predictor(pixels, boxes=BOXES, classes=CLASSES, scores=[0.5, 0.25, 1, 7])
    assert got.boxes.tolist() == BOXES
    assert got.class_names == ["star", "blob", "gear", "plate"]
    assert got.scores.tolist() == [0.5, 0.25, 1, 7]  # in the order of the boxes
    assert got.label_map is got.panoptic is None
    model, x = predictor.model, predictor.model_input(pixels)
    height, width = x["image"].shape[1:]
    scale = torch.tensor([width / 170, height / 120] * 2)
    detected = Instances((height, width), pred_boxes=Boxes(torch.tensor(BOXES) * scale))
    detected.pred_classes = torch.from_numpy(got.classes)
    features = model.backbone(model.preprocess_image([x]).tensor)
    (raw,) = model.roi_heads.forward_with_given_boxes(features, [detected])
    (expected,) = model._postprocess([raw], [{"height": 120, "width": 170}], [(height, width)])
    masks = np.asarray(got.masks)
    assert (masks != expected["instances"].pred_masks.numpy()).mean() < 1e-4
    assert 0.02 < masks.mean() < 0.9


@pytest.mark.parametrize(
    "boxes",
    [
        np.array(BOXES),
        torch.tensor(BOXES, requires_grad=True),
        Boxes(torch.tensor(BOXES)),
        tuple(map(tuple, BOXES)),
        [torch.tensor(box) for box in BOXES],
    ],
    ids=lambda boxes: type(boxes).__name__,
)
def test_boxes_of_any_type(predictors, make_picture, boxes):
    predictor, pixels = predictors("instance"), make_picture()
    expected = predictor(pixels, boxes=BOXES, classes=[0, 2, 1, 5])
    same(predictor(pixels, boxes, classes=np.array([0, 2, 1, 5])), expected)
    assert expected.scores.tolist() == [1, 1, 1, 1]
    assert expected.class_names == ["star", "blob", "gear", "plate"]


def test_classes_called_by_numbers():
    """A text is the name, a number the place; neither is the other one."""
    info = Classes(things=("1", "2", "0"))
    given = GivenBoxes(
        [[1, 1, 5, 5]] * 4, ["1", 1, "0", torch.tensor(0)], [1, 0.5, np.float16(2), 0]
    )
    x = given.model_input((10, 10), info, 3)["given"]
    assert x.pred_classes.tolist() == [0, 1, 2, 0]
    assert x.scores.tolist() == [1, 0.5, 2, 0]
    for wanted, kept in ((["1"], [0]), ([1], [1]), (["0", 2], [2]), ("2", [1])):
        keep = class_filter(info, wanted)
        assert [n for n, name in enumerate(info.things) if keep(name, n)] == kept


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), Boxes(torch.zeros(0, 4))], ids=str)
def test_no_boxes(predictors, make_picture, boxes):
    predictor, pixels = predictors("instance"), make_picture()
    for classes in (None, []):
        got = predictor(pixels, boxes, classes=classes)
        assert got.boxes.shape == (0, 4)
        assert np.asarray(got.masks).shape == (0, 120, 170)
        assert got.to_coco(1) == []
        np.testing.assert_array_equal(got.draw(), pixels)


def test_a_batch_of_several_sizes(predictors, make_picture):
    predictor = predictors("instance")
    sizes = [(120, 170), (96, 128), (120, 170), (170, 110)]
    pictures = [make_picture(*size, seed=n) for n, size in enumerate(sizes)]
    boxes = [BOXES, [[1, 2, 100, 90]], [], [[5, 5, 60, 160], [5, 5, 60, 160]]]
    classes = [CLASSES, ["ring"], [], [0, 3]]
    together = Predictor(predictor.model, predictor.cfg, classes=predictor.classes, batch_size=3)(
        pictures, boxes=boxes, classes=classes
    )
    assert [len(x.boxes) for x in together] == [4, 1, 0, 2]
    for x, pixels, own, of in zip(together, pictures, boxes, classes, strict=True):
        alone = predictor(pixels, boxes=own, classes=of)
        np.testing.assert_array_equal(x.boxes, alone.boxes)
        assert x.class_names == alone.class_names
        assert (np.asarray(x.masks) != np.asarray(alone.masks)).sum() < 5
    found = predictor(pictures, boxes=boxes)  # classes left out, of all
    assert [len(x.classes) for x in found] == [4, 1, 0, 2]
    mixed = predictor(pictures[:2], boxes=boxes[:2], classes=[None, ["ring"]])
    assert mixed[0].class_names == found[0].class_names
    assert mixed[1].class_names == ["ring"]


def test_classes_left_out_are_the_surest(predictors, make_picture, monkeypatch):
    predictor, pixels = predictors("instance"), make_picture()
    scores = []
    monkeypatch.setattr(
        model_module, "maskness", lambda p: scores.append(maskness(p)) or scores[-1]
    )
    got = predictor(pixels, boxes=BOXES)
    expected = torch.stack(scores).argmax(0)
    assert got.classes.tolist() == expected.tolist()
    same(got, predictor(pixels, boxes=BOXES, classes=got.class_names))


def test_a_model_with_one_mask_for_all_classes_does_not_invent_one(predictors, make_picture):
    predictor = predictors("instance", "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", True)
    pixels = make_picture()
    got, named = predictor([pixels] * 2, [BOXES] * 2, classes=[None, CLASSES])
    assert got.class_names == ["object"] * 4
    with pytest.raises(ValueError, match="ids that the data set gives"):
        got.to_coco(1)
    assert [x["category_id"] for x in named.to_coco(1)] == [1, 5, 2, 12]
    np.testing.assert_array_equal(np.asarray(got.masks), np.asarray(named.masks))
    one = predictors(
        "instance",
        *("MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", True),
        *("MODEL.ROI_HEADS.NUM_CLASSES", 1),
    )
    assert one(pixels, BOXES).class_names == ["class 0"] * 4


def test_boxes_a_little_beyond_the_image_are_clipped(predictors, make_picture):
    boxes = [[-1.5, -2, 30, 20], [50, 60, 180, 119], [10, 10, 171.9, 60]]
    got = predictors("instance")(make_picture(), boxes, classes=[0, 0, 0])
    assert got.boxes.tolist() == [[0, 0, 30, 20], [50, 60, 170, 119], [10, 10, 170, 60]]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([20, 30, 150, 100], r"shape \(number, 4\).*not \(4,\); a single box is \[\["),
        ([[1, 2, 3]], r"not \(1, 3\)"),
        (np.zeros((0, 5)), r"not \(0, 5\)"),
        (np.zeros((1, 2, 4)), r"not \(1, 2, 4\)"),
        ([[1, 2, 3, 4], [1, 2]], r"not \[\[1, 2, 3, 4\], \[1, 2\]\]"),
        ([["1", "2", "3", "4"]], r"not \[\['1'"),
        ("1 2 3 4", "not '1 2 3 4'"),
        ([BOXES[0], [1, 2, NAN, 4]], r"box 1, \[1, 2, nan, 4\], is not made of finite"),
        ([[1, 2, INF, 4]], "finite"),
        ([BOXES[0], [5, 5, 5, 9], [3, 3, 1, 9]], r"box 1, .*no area.*\(so it is with 2 of 3 box"),
        ([[100, 80, 40, 30]], r"no area: x1 must be above x0.*\(x, y, width, height\).*x \+ width"),
        ([[0.1, 0.2, 0.5, 0.9]], r"share of the image: pass pixels, x times its width 170"),
        ([[200, 10, 230, 40]], r"beyond its image of 120 x 170"),
        ([[-1.8, 10, -0.5, 40]], "or lies outside"),
        ([[40, 20, 400, 110]], r"beyond its image .*not of a resized copy"),
        ([[-13, 0, 100, 40]], "more than 2 pixels and 10% of its side"),
    ],
)
def test_wrong_boxes(predictors, make_picture, boxes, message):
    with pytest.raises(ValueError, match=message):
        predictors("instance")(make_picture(), boxes=boxes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [0, 1]}, r"2 classes for 4 boxes"),
        ({"classes": [0] * 5}, "5 classes for 4 boxes"),
        ({"classes": "star"}, "one entry per box, not 'star'"),
        ({"classes": 3}, "one entry per box, not 3"),
        ({"classes": ["star", "ster", 0, 0]}, r"no class \['ster'\].*from 0 to 5: star, gear"),
        ({"classes": [0, 0, 0, 6]}, r"no class \['6'\]"),
        ({"classes": [0, 0, -1, True]}, r"no class \['-1', 'True'\]"),
        ({"classes": [0, None, 0, 1.5]}, r"no class \['1.5', 'None'\]"),
        ({"scores": [1, 2]}, "2 scores for 4 boxes"),
        ({"scores": [1, 2, 3, NAN]}, "scores must be finite numbers"),
        ({"scores": ["1"] * 4}, "scores must be finite numbers"),
    ],
)
def test_wrong_classes_and_scores(predictors, make_picture, options, message):
    predictor = predictors("instance")
    with pytest.raises(ValueError, match=message):
        predictor(make_picture(), boxes=BOXES, **options)
    with pytest.raises(ValueError, match=rf"image 1 of the list: .*{message}"):
        predictor([make_picture()] * 2, [[], BOXES], **{key: [[], x] for key, x in options.items()})


def test_wrong_requests(predictors, make_picture):
    predictor, pixels = predictors("instance"), make_picture()
    with pytest.raises(ValueError, match="but no boxes"):
        predictor(pixels, classes=["star"])
    with pytest.raises(ValueError, match=r"2 images, so boxes .* 2 entries.*not 4 entries"):
        predictor([pixels, pixels], boxes=BOXES)
    with pytest.raises(ValueError, match=r"so classes must be .*not 1 entries"):
        predictor([pixels, pixels], boxes=[BOXES, []], classes=[[0]])
    with pytest.raises(ValueError, match=r"so scores must be .*not 5\."):
        predictor([pixels, pixels], boxes=[BOXES, []], scores=5)
    with pytest.raises(ValueError, match=r"semantic model \(PointRendSemanticSegmentor\)"):
        predictors("semantic")(pixels, boxes=BOXES)
    nameless = Predictor(predictor.model, predictor.cfg, classes=Classes())
    assert nameless(pixels, BOXES, classes=[0, 1, 2, "5"]).class_names[3] == "class 5"
    with pytest.raises(ValueError, match=r"no class \['6'\].*from 0 to 5"):
        nameless(pixels, BOXES, classes=[0, 1, 2, 6])
