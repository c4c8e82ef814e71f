"""Boxes that a model is given in an evaluation: what inputs hold, and what the evaluators score."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from pycocotools import mask as mask_util

from pointrend_ext.data import load_dataset_dicts
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.evaluation import add_given_boxes, build_evaluator
from pointrend_ext.evaluation.given_boxes import instance_truth
from pointrend_ext.evaluation.mask_quality import mask_quality
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
)
from tests.toy_cityscapes import INSTANCES, register_toy_cityscapes
from tests.toy_instances import as_lvis


@pytest.fixture
def cityscapes(own_catalogs, tmp_path_factory):
    register_toy_cityscapes(tmp_path_factory.mktemp("cityscapes"))
    return INSTANCES


@pytest.fixture
def coco(toy_root):
    register_toy_datasets(toy_root)
    return "toy_val"


@pytest.fixture
def lvis(own_catalogs, coco, toy_truth, write_json):
    """The toy data as Detectron2 registers LVIS: no table of the classes."""
    pytest.importorskip("lvis")
    json_file = str(write_json(as_lvis(toy_truth.dataset, new_id=lambda k: 2 * k), "lvis.json"))
    DatasetCatalog.register("toy_as_lvis", lambda: DatasetCatalog.get(coco))
    MetadataCatalog.get("toy_as_lvis").set(evaluator_type="lvis", json_file=json_file)
    return "toy_as_lvis"


def make_cfg(name, value="ground_truth", **opts):
    words = {"MODEL.MASK_ON": True, "DATASETS.TEST": (name,), "TEST.GIVEN_BOXES": value}
    words |= {"MODEL.ROI_HEADS.NUM_CLASSES": 8 if name == INSTANCES else 6, **opts}
    return load_cfg(None, [x for pair in words.items() for x in pair])


def inputs_of(cfg, name):
    return add_given_boxes(cfg, name, load_dataset_dicts(cfg, [name], is_train=False))


class Played:
    """Predicts the true masks, some of them cut, for the boxes of an input."""

    def __init__(self, name):
        self.of = {a["id"]: a for a in instance_truth(name).dataset["annotations"]}

    def __call__(self, model_input, instances):
        found = model_input["given"]
        size_hw = found.image_size
        masks = [mask_util.decode(instances.annotation_rle(self.of[i], size_hw)) for i in
                 model_input["given_ids"]]  # fmt: skip
        masks = np.array(masks, dtype=bool).reshape(-1, *size_hw)
        masks[::2, : size_hw[0] // 2] = False
        found.pred_masks = torch.as_tensor(masks)
        return {"instances": found}


@pytest.mark.parametrize("kind", ["coco", "lvis", "cityscapes"])
def test_true_boxes(kind, request):
    """Every object but crowds, in the frame of the image, with the classes of the model."""
    name = request.getfixturevalue(kind)
    truth, inputs = instance_truth(name), inputs_of(make_cfg(name), name)
    by_id = {a["id"]: a for a in truth.dataset["annotations"]}
    numbers = {own: i for i, own in enumerate(sorted(truth.class_names))}
    if kind == "lvis":
        numbers = {own: own - 1 for own in truth.class_names}
    given_ids = [i for x in inputs for i in x["given_ids"]]
    assert sorted(given_ids) == sorted(i for i, a in by_id.items() if not a.get("iscrowd", 0))
    assert len(given_ids) > 10
    for x in inputs:
        given = x["given"]
        assert given.image_size == (x["height"], x["width"]) == truth.sizes_hw[x["image_id"]]
        assert given.scores.tolist() == [1] * len(given) == [1] * len(x["given_ids"])
        rows = zip(x["given_ids"], given.pred_boxes.tensor, given.pred_classes, strict=True)
        for i, box, k in rows:
            x0, y0, w, h = by_id[i]["bbox"]
            expected = np.clip([x0, y0, x0 + w, y0 + h], 0, [x["width"], x["height"]] * 2)
            assert box.tolist() == pytest.approx(expected)
            assert k == numbers[by_id[i]["category_id"]]
            assert by_id[i]["image_id"] == x["image_id"]


@pytest.mark.parametrize("kind", ["coco", "lvis", "cityscapes"])
def test_online_and_offline(kind, request, instances, tmp_path):
    """The evaluator's numbers, and the same from the files that it writes."""
    name = request.getfixturevalue(kind)
    cfg, play = make_cfg(name), Played(name)
    evaluator = build_evaluator(cfg, name, str(tmp_path))
    evaluator.reset()
    for x in inputs_of(cfg, name):
        evaluator.process([x], [play(x, instances)])
    scores = evaluator.evaluate()
    online = scores["mask_quality"]
    assert 60 < online["IoU"] < 95
    assert online["BoundaryIoU"] < online["IoU"]
    assert online["objects"] == sum(online[f"objects-{s}"] for s in ("small", "medium", "large"))
    assert scores["segm"]["AP"] < 100
    (results_file,) = tmp_path.glob("*_instances_results.json")
    results, truth = json.loads(results_file.read_text()), instance_truth(name)
    assert mask_quality(truth, results).metrics() == pytest.approx(online, rel=1e-12)
    if kind == "cityscapes":
        truth_file = tmp_path / "cityscapes_instances_truth.json"
        assert json.loads(truth_file.read_text()) == truth.dataset
    else:
        truth_file = MetadataCatalog.get(name).json_file
    data = data_set_of_annotations(truth_file)
    (model,) = evaluate_files(data, {"a": str(results_file)}, EvaluationOptions(num_draws=5)).models
    offline = model.scores["mask_quality"]
    expected = {k: online[k] for k in offline}
    assert {k: v.value for k, v in offline.items()} == pytest.approx(expected, rel=1e-12)
    assert offline["IoU"].low < online["IoU"] < offline["IoU"].high


def test_detections_of_a_file(coco, toy_truth, toy_json, write_json, tmp_path, caplog):
    annotations = toy_truth.dataset["annotations"][:6]
    found = [
        {k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.1 * n}
        for n, a in enumerate(annotations, 1)
    ]
    height, width = toy_truth.sizes_hw[found[0]["image_id"]]
    outside = {**found[0], "bbox": [width + 1, 0, 5, 5]}
    beyond = {**found[0], "bbox": [width - 10, height - 10, 15, 15], "score": 0.9}
    path = write_json([*found, outside, beyond, {**found[0], "bbox": [3, 3, 0, 5]}])
    cfg = make_cfg(coco, str(path))
    build_evaluator(cfg, coco, str(tmp_path))
    with caplog.at_level("INFO", logger="pointrend_ext"):
        inputs = inputs_of(cfg, coco)
    assert "2 of 9 (22.2%) left out: detections whose box has no area inside" in caplog.text
    assert sum(len(x["given"]) for x in inputs) == 7
    assert not any("given_ids" in x for x in inputs)
    given = next(x["given"] for x in inputs if x["image_id"] == found[0]["image_id"])
    assert given.scores[0].item() == pytest.approx(0.1)
    assert given.scores[-1].item() == pytest.approx(0.9)
    assert given.pred_boxes.tensor[-1].tolist() == [width - 10, height - 10, width, height]
    assert min(len(x["given"]) for x in inputs) == 0  # an image without any


@pytest.mark.parametrize(
    ("value", "opts", "error", "message"),
    [
        (
            "groundtruth",
            {},
            FileNotFoundError,
            r"'groundtruth', which is neither .*, nor a",
        ),
        ("ground_truth", {"MODEL.MASK_ON": False}, ValueError, r"MASK_ON False predicts no masks"),
        ("ground_truth", {"MODEL.META_ARCHITECTURE": "PanopticFPN"}, ValueError, "'PanopticFPN'"),
        ("FILE", {"DATASETS.TEST": ("toy_val", "toy_train")}, ValueError, "names 2: evaluate them"),
        ("FILE", {}, ValueError, r"file\.json'.*entry 0 \(image_id 99\): its image_id 99"),
        ("EMPTY", {}, ValueError, r"There is no detection in '.*empty\.json'"),
        ("FLAT", {}, ValueError, r"no detection in '.*flat\.json' with an area inside .*\(of 1\)"),
        (
            "",
            {"MODEL.PROPOSAL_GENERATOR.NAME": "GivenBoxes"},
            ValueError,
            r"'GivenBoxes' finds no objects: set TEST\.GIVEN_BOXES 'ground_truth' or a file",
        ),
    ],
)
def test_mistakes(coco, value, opts, error, message, write_json, tmp_path, toy_truth):
    wrong = [{"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]
    flat = [{**wrong[0], "image_id": min(toy_truth.sizes_hw), "bbox": [1, 2, 0, 4]}]
    files = {"FILE": write_json(wrong), "EMPTY": write_json([], "empty.json")}
    files["FLAT"] = write_json(flat, "flat.json")
    with pytest.raises(error, match=message):
        build_evaluator(make_cfg(coco, str(files.get(value, value)), **opts), coco, str(tmp_path))


def test_label_maps_have_no_boxes(coco, tmp_path):
    name = "toy_sem_seg_val"
    with pytest.raises(ValueError, match=f"'ground_truth', but '{name}' has label maps and no obj"):
        build_evaluator(make_cfg(name), name, str(tmp_path))


def test_truth_without_masks(coco, own_catalogs, toy_truth, write_json, tmp_path):
    boxes = [{**a, "segmentation": []} for a in toy_truth.dataset["annotations"]]
    json_file = str(write_json({**toy_truth.dataset, "annotations": boxes}))
    DatasetCatalog.register("boxes_alone", list)
    MetadataCatalog.get("boxes_alone").set(evaluator_type="coco", json_file=json_file)
    with pytest.raises(ValueError, match=r"no annotation of '.*' has a mask"):
        build_evaluator(make_cfg("boxes_alone"), "boxes_alone", str(tmp_path))
