"""Evaluations on given boxes from the command line on, of PointRend and of Mask R-CNN."""

import json
from pathlib import Path

import pytest
import torch

from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate
from pointrend_ext.evaluation.coco_truth import CocoTruth


@pytest.fixture
def evaluate(tiny_run, tmp_path):
    """Evaluate random weights of a toy configuration; results, and what was written."""

    def evaluate(*opts, config="Toy/pointrend_rcnn_toy.yaml"):
        weights = tmp_path / "weights.pth"
        args = tiny_run("--eval-only", config=config, opts=[*opts, "MODEL.WEIGHTS", str(weights)])
        torch.save({}, weights)
        cfg = setup_cfg(args)
        torch.manual_seed(0)
        torch.save({"model": Trainer.build_model(cfg).state_dict()}, weights)
        results = train_or_evaluate(cfg, eval_only=True)
        file = Path(cfg.OUTPUT_DIR, "inference", "coco_instances_results.json")
        return results, json.loads(file.read_text())

    return evaluate


@pytest.mark.parametrize("name", ["pointrend_rcnn_toy", "mask_rcnn_toy"])
def test_true_boxes(evaluate, toy_root, name):
    results, written = evaluate("TEST.GIVEN_BOXES", "ground_truth", config=f"Toy/{name}.yaml")
    truth = CocoTruth.load(toy_root / "toy" / "annotations" / "instances_val.json")
    objects = {a["id"]: a for a in truth.dataset["annotations"] if not a.get("iscrowd", 0)}
    assert results["bbox"]["AP"] == pytest.approx(100)  # they are the true ones
    quality = results["mask_quality"]
    assert quality["objects"] == len(objects) == len(written)
    assert 0 <= quality["BoundaryIoU"] <= 100
    assert 0 < quality["IoU"] < 100
    assert {r["annotation_id"] for r in written} == objects.keys()
    for result in written:
        assert result["bbox"] == pytest.approx(objects[result["annotation_id"]]["bbox"], abs=0.01)
        assert result["score"] == 1


def test_mask_scores_rank_true_boxes(evaluate):
    opts = ("TEST.GIVEN_BOXES", "ground_truth", "MODEL.ROI_MASK_HEAD.MASK_SCORE", "maskness")
    _, written = evaluate(*opts)
    scores = [result["score"] for result in written]
    assert 0 <= min(scores) < max(scores) < 1


def test_boxes_of_a_file(evaluate, toy_root, tmp_path):
    """Image by image, in their order, with their scores and classes."""
    truth = CocoTruth.load(toy_root / "toy" / "annotations" / "instances_val.json")
    found = [
        {k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": round(0.9 - 0.1 * n, 1)}
        for n, a in enumerate(truth.dataset["annotations"][:4])
    ]
    path = tmp_path / "found.json"
    path.write_text(json.dumps([*found, found[0]]))
    results, written = evaluate("TEST.GIVEN_BOXES", str(path))
    assert "mask_quality" not in results
    assert {"bbox", "segm"} <= results.keys()
    of_image = found[0]["image_id"]
    expected = [f for f in [*found, found[0]] if f["image_id"] == of_image]
    own = [r for r in written if r["image_id"] == of_image]
    assert len(written) == 5
    for result, given in zip(own, expected, strict=True):
        assert result["bbox"] == pytest.approx(given["bbox"], abs=0.01)
        assert result["score"] == pytest.approx(given["score"])
        assert result["category_id"] == given["category_id"]
        assert "annotation_id" not in result


def test_a_training_evaluates_so_and_goes_on(tiny_run):
    opts = ["TEST.GIVEN_BOXES", "ground_truth", "TEST.EVAL_PERIOD", 2]
    results = train_or_evaluate(setup_cfg(tiny_run(opts=opts)))
    assert results["mask_quality"]["objects"] > 0


def test_the_mode_of_a_model_stays(tiny_run):
    cfg = setup_cfg(tiny_run(opts=["TEST.GIVEN_BOXES", "ground_truth"]))
    for mode in (True, False):
        model = Trainer.build_model(cfg).train(mode)
        Trainer.test(cfg, model)
        assert model.training == mode


@pytest.mark.parametrize("eval_only", [False, True])
def test_mistakes_stop_a_run_at_its_start(tiny_run, tmp_path, monkeypatch, eval_only):
    def build(cls, cfg):
        raise AssertionError("too late")

    monkeypatch.setattr(Trainer, "build_model", classmethod(build))
    (tmp_path / "weights.pth").touch()
    opts = ["MODEL.WEIGHTS", str(tmp_path / "weights.pth"), "TEST.GIVEN_BOXES", "truth"]
    cfg = setup_cfg(tiny_run(*["--eval-only"] * eval_only, opts=opts))
    with pytest.raises(FileNotFoundError, match=r"TEST\.GIVEN_BOXES is 'truth', which is neither"):
        train_or_evaluate(cfg, eval_only=eval_only)
