"""The evaluator of panoptic segmentations, on toy data, Cityscapes' layout and real annotations."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from PIL import Image

from pointrend_ext.data.coco_dataset import load_registered
from pointrend_ext.data.panoptic import (
    read_panoptic_file,
    read_predictions,
    read_segment_ids,
    register_panoptic,
)
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.evaluation import PanopticEvaluator, build_evaluator
from pointrend_ext.evaluation.panoptic import read_segments
from pointrend_ext.evaluation.panoptic_quality import PanopticMetrics


@pytest.fixture
def toy(toy_root):
    register_toy_datasets(toy_root)
    return "toy_panoptic_val"


def true_output(name, record, *, move=0, without=()):
    """The truth as a model puts it out, moved to the right, without crowds and some classes."""
    metadata = MetadataCatalog.get(name)
    file = read_panoptic_file(metadata.panoptic_json)
    [annotation] = [a for a in file.annotations if a.image_id == record["image_id"]]
    ids = read_segment_ids(f"{metadata.panoptic_root}/{annotation.file_name}")
    things = metadata.thing_dataset_id_to_contiguous_id
    stuff = metadata.stuff_dataset_id_to_contiguous_id
    ids, infos = np.roll(ids, move, axis=1), []
    for number, s in enumerate(annotation.segments_info, start=1):
        mask = ids == s.id
        ids[mask] = 0
        if s.iscrowd or s.category_id in without:
            continue
        ids[mask] = -number
        is_thing = s.category_id in things
        own = things[s.category_id] if is_thing else stuff[s.category_id]
        infos.append({"id": number, "isthing": is_thing, "category_id": own})
    return {"panoptic_seg": (torch.from_numpy(-ids), infos)}


def evaluate(evaluator, name, **how):
    evaluator.reset()
    for record in load_registered(name)[0]:
        evaluator.process([record], [true_output(name, record, **how)])
    return evaluator.evaluate()["panoptic_seg"]


def test_the_truth_scores_100(toy):
    scores = evaluate(PanopticEvaluator(toy, boundary_pq=True), toy)
    assert {round(v, 9) for v in scores.values() if not math.isnan(v)} == {100}
    assert {"PQ_th", "SQ_st", "BoundaryPQ", "BoundaryRQ_th", "PQ-star", "BoundaryPQ-sky"} < set(
        scores
    )


def test_what_is_left_out_is_missed(toy):
    metadata = MetadataCatalog.get(toy)
    lost = [21, 1]  # the sky, stars
    evaluator = PanopticEvaluator(toy)
    scores = evaluate(evaluator, toy, without=lost)
    assert scores["PQ-sky"] == scores["RQ-star"] == 0
    assert scores["PQ-gear"] == 100
    present = [
        c.name for c in evaluator.metrics.categories if not math.isnan(scores[f"PQ-{c.name}"])
    ]
    assert scores["PQ"] == pytest.approx(100 * (len(present) - 2) / len(present), abs=1e-9)
    assert scores["PQ"] == scores["SQ"] == scores["RQ"]
    assert metadata.thing_classes[0] == "star"


def test_predictions_are_written_as_coco_wants_them(toy, tmp_path):
    evaluator = PanopticEvaluator(toy, str(tmp_path), boundary_pq=True)
    scores = evaluate(evaluator, toy, move=3)
    assert 20 < scores["BoundaryPQ"] < scores["PQ"] < 95
    truth = read_panoptic_file(MetadataCatalog.get(toy).panoptic_json)
    written = read_predictions(tmp_path / "panoptic_predictions.json", truth)
    metrics = PanopticMetrics(truth.categories, with_boundary=True)
    total = metrics.zero_counts()
    for a in truth.annotations:
        pair = (
            read_segments(folder, annotation, truth.categories)
            for folder, annotation in (
                (str(tmp_path / "panoptic_predictions"), written[a.image_id]),
                (MetadataCatalog.get(toy).panoptic_root, a),
            )
        )
        for name, counts in metrics.counts(*pair).items():
            total[name] += counts
    assert metrics.scores(total) == pytest.approx(scores, abs=1e-12, nan_ok=True)
    content = json.loads((tmp_path / "panoptic_predictions.json").read_text())
    first = content["annotations"][0]["segments_info"][0]
    assert first["category_id"] in MetadataCatalog.get(toy).thing_dataset_id_to_contiguous_id


NO_SEGMENTS = {"panoptic_seg": (torch.zeros(4, 4), None)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda o: {"sem_seg": 0},
            r"puts out \['sem_seg'\]; panoptic quality needs 'panoptic_seg'",
        ),
        (lambda o: NO_SEGMENTS, r"needs 'panoptic_seg', ids of pixels and a list of segments"),
        (lambda o: {"panoptic_seg": (o[0][:-1], o[1])}, r"both must have the size of the image"),
        (
            lambda o: {"panoptic_seg": (o[0], o[1][1:])},
            r"pixels of the segments \d+, which are not",
        ),
        (
            lambda o: {"panoptic_seg": (o[0], [{**o[1][0], "category_id": 80}])},
            r"class 80, which is none of the thing_classes of the data set 'toy_panoptic_val'",
        ),
        (  # label 0 is all things: no class of stuff
            lambda o: {"panoptic_seg": (o[0], [{**o[1][0], "isthing": False, "category_id": 0}])},
            r"class 0, which is none of the stuff_classes",
        ),
    ],
)
def test_outputs_that_do_not_fit(toy, change, message):
    evaluator = PanopticEvaluator(toy)
    evaluator.reset()
    record = load_registered(toy)[0][0]
    output = change(true_output(toy, record)["panoptic_seg"])
    with pytest.raises(ValueError, match=rf"Image '.*{record['file_name'][-16:]}': .*{message}"):
        evaluator.process([record], [output])


def test_a_segment_without_pixels_is_none(toy):
    evaluator, record = PanopticEvaluator(toy), load_registered(toy)[0][0]
    ids, infos = true_output(toy, record)["panoptic_seg"]
    for extra in ([], [{"id": 99, "isthing": True, "category_id": 0}]):
        evaluator.reset()
        evaluator.process([record], [{"panoptic_seg": (ids, infos + extra)}])
        assert evaluator.evaluate()["panoptic_seg"]["PQ"] == pytest.approx(100)


def test_another_image_and_none(toy, caplog):
    evaluator = PanopticEvaluator(toy)
    evaluator.reset()
    with pytest.raises(ValueError, match=r"'a\.jpg' is not in the data set 'toy_panoptic_val'"):
        evaluator.process([{"image_id": -1, "file_name": "a.jpg"}], [NO_SEGMENTS])
    assert math.isnan(evaluator.evaluate()["panoptic_seg"]["PQ"])
    assert "No segment of toy_panoptic_val was evaluated" in caplog.text


def test_a_truth_that_contradicts_its_pictures(own_catalogs, toy, toy_root, tmp_path):
    metadata = MetadataCatalog.get(toy)
    content = json.loads(Path(metadata.panoptic_json).read_text())
    first = content["annotations"][0]
    first["segments_info"].append({"id": 5, "category_id": 1, "iscrowd": 0})
    (tmp_path / "a.json").write_text(json.dumps(content))
    register_panoptic("odd", metadata.image_root, metadata.panoptic_root, str(tmp_path / "a.json"))
    evaluator, record = PanopticEvaluator("odd"), load_registered("odd")[0][0]
    evaluator.reset()
    with pytest.raises(
        ValueError, match=r"Picture '.*png': the segments 5 are listed, but have no"
    ):
        evaluator.process([record], [{"panoptic_seg": (0, [])}])


def test_chosen_by_the_data_set(toy, tmp_path):
    cfg = load_cfg("Toy/pointrend_panoptic_fpn_toy.yaml", ["MODEL.WEIGHTS", ""])
    parts = build_evaluator(cfg, toy, str(tmp_path))._evaluators
    assert [type(p).__name__ for p in parts] == [
        "PanopticEvaluator",
        "InstanceEvaluator",
        "SemanticEvaluator",
    ]
    assert parts[0].metrics.with_boundary
    cfg.TEST.BOUNDARY = ()
    assert not build_evaluator(cfg, toy, str(tmp_path))._evaluators[0].metrics.with_boundary
    cfg.TEST.BOUNDARY = ("boundary_pq",)
    cfg.DATASETS.TEST = ("toy_val",)
    with pytest.raises(ValueError, match=r"'boundary_pq' of TEST\.BOUNDARY is computed for none"):
        build_evaluator(cfg, "toy_val", str(tmp_path))


@pytest.mark.real_data
def test_real_annotations(own_catalogs, real_data):
    """COCO's own files: pictures and lists agree, and the truth is a perfect prediction."""
    root = real_data / "panoptic/coco"
    register_panoptic(
        "real",
        str(root / "val2017"),
        str(root / "panoptic_val2017"),
        str(root / "annotations/panoptic_val2017.json"),
    )
    scores = evaluate(PanopticEvaluator("real"), "real")
    assert {round(v, 9) for v in scores.values() if not math.isnan(v)} == {100}
    assert len(MetadataCatalog.get("real").thing_classes) == 80
    assert len(MetadataCatalog.get("real").stuff_classes) == 54


def test_cityscapes(own_catalogs, tmp_path):
    """The files that Cityscapes' own tool writes, images in folders of cities."""
    from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

    from tests.toy_cityscapes import write_scene

    for index in range(2):
        write_scene(tmp_path, index)
    (tmp_path / "gtFine").mkdir()
    (tmp_path / "truth").rename(tmp_path / "gtFine/val")
    convert2panoptic(str(tmp_path / "gtFine"), str(tmp_path / "gtFine"), False, ["val"])
    base = str(tmp_path / "gtFine/cityscapes_panoptic_val")
    register_panoptic("towns", str(tmp_path / "images"), base, f"{base}.json")
    records, _ = load_registered("towns")
    assert [Image.open(r["file_name"]).size for r in records]
    assert len(MetadataCatalog.get("towns").thing_classes) == 8
    assert len(MetadataCatalog.get("towns").stuff_classes) == 12
    scores = evaluate(PanopticEvaluator("towns"), "towns")
    assert {round(v, 9) for v in scores.values() if not math.isnan(v)} == {100}
