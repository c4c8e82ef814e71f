"""Evaluators by data set; those of Cityscapes end to end, on toy scenes in its layout."""

import os

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import CityscapesSemSegEvaluator
from torch.nn.functional import one_hot

from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.evaluation import InstanceEvaluator, SemanticEvaluator, build_evaluator
from pointrend_ext.evaluation.results_findings import Limit
from tests.toy_cityscapes import INSTANCES, register_toy_cityscapes
from tests.toy_cityscapes import LABELS as CITYSCAPES
from tests.toy_instances import as_instances, as_lvis


@pytest.fixture
def toy(toy_root):
    register_toy_datasets(toy_root)


@pytest.fixture
def cityscapes(own_catalogs, tmp_path_factory):
    register_toy_cityscapes(tmp_path_factory.mktemp("cityscapes"))


def test_cityscapes_instances(cityscapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluator = build_evaluator(load_cfg(), INSTANCES, str(tmp_path / "out"))
    evaluator.reset()
    for record in DatasetCatalog.get(INSTANCES):
        perfect = [{**a, "score": 1.0} for a in record["annotations"]]
        size_hw = record["height"], record["width"]
        evaluator.process([record], [as_instances(perfect, size_hw, range(8))])
    assert evaluator.evaluate()["segm"] == pytest.approx({"AP": 100, "AP50": 100})
    assert os.listdir(tmp_path) == ["out"]  # cityscapesScripts would have left matches.json here
    assert os.listdir(tmp_path / "out") == ["matches.json"]


def run(evaluator, records, predict):
    evaluator.reset()
    for record in records:
        evaluator.process([record], [{"sem_seg": predict(record)}])
    return evaluator.evaluate()["sem_seg"]


def true_labels(record):
    return torch.from_numpy(read_label_map(record["sem_seg_file_name"]).astype(np.int64))


def logits(labels):
    return one_hot(labels.clamp(max=18), 19).permute(2, 0, 1).float()


def shifted_labels(record):
    labels = true_labels(record)
    return torch.roll(torch.where(labels == 255, 0, labels), (2, 3), dims=(0, 1))


@pytest.mark.parametrize("predict", [lambda labels: labels.to(torch.uint8), logits])
def test_cityscapes_semantics(predict, cityscapes, tmp_path):
    cfg = load_cfg()
    cfg.TEST.BOUNDARY = ("boundary_iou", "trimap", "boundary_f")
    evaluator = build_evaluator(cfg, CITYSCAPES, str(tmp_path))
    scores = run(evaluator, DatasetCatalog.get(CITYSCAPES), lambda r: predict(true_labels(r)))
    for name in ("IoU", "mIoU", "mBoundaryIoU", "mTrimapIoU3", "mBoundaryF"):
        assert scores[name] == pytest.approx(100)
    known = [v for k, v in scores.items() if not k.startswith("iIoU") and not np.isnan(v)]
    assert known == pytest.approx([100] * len(known))


def test_cityscapes_semantics_equal_detectron2s(cityscapes, tmp_path):
    records = DatasetCatalog.get(CITYSCAPES)
    ours = run(build_evaluator(load_cfg(), CITYSCAPES, str(tmp_path)), records, shifted_labels)
    official = CityscapesSemSegEvaluator(CITYSCAPES)
    theirs = run(official, records, lambda r: logits(shifted_labels(r)))
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, nan_ok=True)
    assert 20 < ours["IoU"] < 99
    # No class is predicted that is nowhere true, so the two ways to average agree.
    assert ours["mIoU"] == pytest.approx(ours["IoU"])
    by_class = [value for name, value in ours.items() if name.startswith("IoU-")]
    assert ours["IoU"] == pytest.approx(np.nanmean(by_class))


def test_cityscapes_semantics_of_a_part(cityscapes, tmp_path, capfd):
    evaluator = build_evaluator(load_cfg(), CITYSCAPES, str(tmp_path))
    with pytest.raises(ValueError, match=f"'{CITYSCAPES}' .* evaluate the whole data set"):
        run(evaluator, DatasetCatalog.get(CITYSCAPES)[:1], true_labels)
    assert "Found no prediction for ground truth" in capfd.readouterr().out


def test_semantics(toy, tmp_path):
    cfg = load_cfg()
    assert build_evaluator(cfg, "toy_sem_seg_val", str(tmp_path)).metrics.boundary == ()
    cfg.DATASETS.TEST = ("toy_val", "toy_sem_seg_val")  # each takes what is of its kind
    cfg.TEST.BOUNDARY = ("boundary_ap", "trimap")
    evaluator = build_evaluator(cfg, "toy_sem_seg_val", str(tmp_path / "out"))
    assert isinstance(evaluator, SemanticEvaluator)
    scores = run(evaluator, DatasetCatalog.get("toy_sem_seg_val"), true_labels)
    assert evaluator.metrics.boundary == ("trimap",)
    assert scores["mIoU"] == scores["mTrimapIoU1"] == 100
    assert (tmp_path / "out" / "sem_seg_predictions.json").is_file()
    cfg.TEST.BOUNDARY = ("boundary_iou", "boundary")
    with pytest.raises(ValueError, match=r"TEST.BOUNDARY contains \['boundary'\]; known are"):
        build_evaluator(cfg, "toy_sem_seg_val", str(tmp_path))


def test_coco(toy, tmp_path):
    cfg = load_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.DATASETS.TEST = ("toy_val", "toy_sem_seg_val")
    for boundary in (("boundary_ap", "trimap"), ("trimap",)):
        cfg.TEST.BOUNDARY = boundary
        evaluator = build_evaluator(cfg, "toy_val", str(tmp_path))
        assert isinstance(evaluator, InstanceEvaluator)
        assert evaluator._tasks == ("bbox", "segm")  # also when nothing is detected
        assert evaluator._boundary_ap == ("boundary_ap" in boundary)
    cfg.TEST.AP_STAR_FILE = str(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        build_evaluator(cfg, "toy_val", str(tmp_path))


def test_lvis(toy, own_catalogs, tmp_path, toy_truth, write_json):
    pytest.importorskip("lvis")
    name = "toy_as_lvis"
    DatasetCatalog.register(name, list)
    json_file = str(write_json(as_lvis(toy_truth.dataset)))
    MetadataCatalog.get(name).set(evaluator_type="lvis", json_file=json_file)
    cfg = load_cfg(None, ["TEST.BOUNDARY", ("boundary_ap",), "MODEL.MASK_ON", True])
    evaluator = build_evaluator(cfg, name, str(tmp_path))
    assert isinstance(evaluator, InstanceEvaluator)
    assert evaluator._tasks == ("bbox", "segm")
    assert evaluator._boundary_ap
    assert evaluator._limit == Limit(300, False, "TEST.DETECTIONS_PER_IMAGE raises that")
    DatasetCatalog.register("no_lvis", list)
    json_file = MetadataCatalog.get("toy_val").json_file
    MetadataCatalog.get("no_lvis").set(evaluator_type="lvis", json_file=json_file)
    with pytest.raises(ValueError, match="is not in LVIS's format"):
        build_evaluator(cfg, "no_lvis", str(tmp_path))


KINDS = {
    "toy_val": {"boundary_ap", "ap_star"},
    "toy_sem_seg_val": {"boundary_iou", "trimap", "boundary_f"},
    "a_lvis": {"boundary_ap"},
    INSTANCES: set(),
    CITYSCAPES: {"boundary_iou", "trimap", "boundary_f"},
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("metric", ["boundary_ap", "ap_star", "boundary_iou", "trimap"])
def test_every_metric_is_computed_or_refused(
    name, metric, toy, cityscapes, toy_truth, write_json, tmp_path
):
    lvis_file = str(write_json(as_lvis(toy_truth.dataset)))
    DatasetCatalog.register("a_lvis", list)
    MetadataCatalog.get("a_lvis").set(evaluator_type="lvis", json_file=lvis_file)
    cfg = load_cfg(None, ["MODEL.MASK_ON", True])
    if metric == "ap_star":
        cfg.TEST.AP_STAR_FILE = lvis_file
    else:
        cfg.TEST.BOUNDARY = (metric,)
    if metric not in KINDS[name]:
        with pytest.raises(ValueError, match=rf"is computed for none of .*'{name}'.*, only for \["):
            build_evaluator(cfg, name, str(tmp_path))
        cfg.DATASETS.TEST = tuple(KINDS)  # there is one that computes it
        build_evaluator(cfg, name, str(tmp_path))
        return
    evaluator = build_evaluator(cfg, name, str(tmp_path))
    if metric == "boundary_ap":
        assert evaluator._boundary_ap
    elif metric == "ap_star":
        assert evaluator._ap_star.path == lvis_file
    else:
        assert evaluator.metrics.boundary == (metric,)


def test_unknown_type_and_unknown_name(own_catalogs, tmp_path, toy_root):
    DatasetCatalog.register("odd_type", list)
    MetadataCatalog.get("odd_type").evaluator_type = "odd"
    with pytest.raises(ValueError, match=r"'odd_type': its evaluator_type is 'odd'.*'coco'"):
        build_evaluator(load_cfg(), "odd_type", str(tmp_path))
    cfg = load_cfg(None, ["DATASETS.TEST", ("odd_type", "toy_val")])  # the user evaluates "odd"
    register_toy_datasets(toy_root)
    assert isinstance(build_evaluator(cfg, "toy_val", str(tmp_path)), InstanceEvaluator)
    with pytest.raises(ValueError, match=r"'toy_vla': .* Is the data set registered"):
        build_evaluator(load_cfg(), "toy_vla", str(tmp_path))
