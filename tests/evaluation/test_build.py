"""Evaluators by data set; the toy Cityscapes copy end to end with perfect predictions."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.evaluation import LVISEvaluator, SemSegEvaluator
from detectron2.structures import BitMasks, Instances
from pycocotools import mask as mask_util

from pointrend_ext.data.toy import generate_toy_data, register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.evaluation import InstanceEvaluator, build_evaluator


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    generate_toy_data(root, num_train=4, num_val=3)
    register_toy_datasets(root)
    return root


def perfect(record):
    instances = Instances((record["height"], record["width"]))
    masks = [mask_util.decode(a["segmentation"]) for a in record["annotations"]]
    instances.pred_masks = torch.as_tensor(np.stack(masks)).bool()
    instances.pred_boxes = BitMasks(instances.pred_masks).get_bounding_boxes()
    instances.pred_classes = torch.tensor([a["category_id"] for a in record["annotations"]])
    instances.scores = torch.ones(len(masks))
    return {"instances": instances}


def test_cityscapes_instances(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluator = build_evaluator(load_cfg(), "toy_cityscapes_instance_val", str(tmp_path / "out"))
    evaluator.reset()
    for record in DatasetCatalog.get("toy_cityscapes_instance_val"):
        evaluator.process([record], [perfect(record)])
    assert evaluator.evaluate()["segm"] == pytest.approx({"AP": 100, "AP50": 100})
    assert os.listdir(tmp_path) == ["out"]  # cityscapesScripts would have left matches.json here
    assert os.listdir(tmp_path / "out") == ["matches.json"]


def test_cityscapes_semantics(toy, tmp_path):
    name = "toy_cityscapes_sem_seg_val"
    evaluator = build_evaluator(load_cfg(), name, str(tmp_path))
    evaluator.reset()
    for record in DatasetCatalog.get(name):
        labels = torch.as_tensor(read_image(record["sem_seg_file_name"]).copy()).long()
        labels = labels[..., 0] if labels.dim() == 3 else labels
        logits = torch.nn.functional.one_hot(labels.clamp(max=18), 19).permute(2, 0, 1)
        evaluator.process([record], [{"sem_seg": logits.float()}])
    assert evaluator.evaluate()["sem_seg"]["IoU"] == pytest.approx(100)


def test_types(toy, tmp_path):
    cfg = load_cfg()
    cfg.MODEL.MASK_ON = True
    evaluator = build_evaluator(cfg, "toy_val", str(tmp_path))
    assert isinstance(evaluator, InstanceEvaluator)
    assert evaluator._tasks == ("bbox", "segm")  # also when nothing is detected
    semantic = build_evaluator(cfg, "toy_sem_seg_val", str(tmp_path))
    assert isinstance(semantic, SemSegEvaluator)


def test_lvis(toy, tmp_path):
    pytest.importorskip("lvis")
    name = "toy_as_lvis"
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, list)
    json_file = MetadataCatalog.get("toy_val").json_file
    MetadataCatalog.get(name).set(evaluator_type="lvis", json_file=json_file)
    assert isinstance(build_evaluator(load_cfg(), name, str(tmp_path)), LVISEvaluator)


def test_unknown_type_and_unknown_name(tmp_path):
    if "odd_type" not in DatasetCatalog:
        DatasetCatalog.register("odd_type", list)
    MetadataCatalog.get("odd_type").evaluator_type = "odd"
    with pytest.raises(ValueError, match=r"'odd_type' has the evaluator_type 'odd'.*'coco'"):
        build_evaluator(load_cfg(), "odd_type", str(tmp_path))
    with pytest.raises(ValueError, match="'toy_vla' is not a registered data set"):
        build_evaluator(load_cfg(), "toy_vla", str(tmp_path))
