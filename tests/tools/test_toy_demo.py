"""The demo in small, and the detector that it ships."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.checkpoint.report import NOT_LOADED, UNEXPECTED, component_of
from pointrend_ext.data.toy import generate_toy_data
from pointrend_ext.data.toy.layout import sample_scene
from pointrend_ext.data.toy.render import render_image
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.loading import LoadOptions
from pointrend_ext.evaluation.offline import read_evaluation
from pointrend_ext.evaluation.offline.record import (
    DataSetRecord,
    Difference,
    Evaluation,
    Intervals,
    ModelRecord,
    Score,
)
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.model_zoo import SHIPPED, get_weights_file, list_weights_files
from pointrend_ext.modeling.unread_keys import build_checked_model

CONFIGS = ("Toy/mask_rcnn_mask_head_toy.yaml", "Toy/pointrend_mask_head_toy.yaml")
SMALL = ("SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0")


@pytest.fixture
def tool(load_tool):
    return load_tool("toy_demo")


@pytest.fixture
def _levels():
    """The demo says less than other tools: undo it."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "pointrend_ext")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def test_the_shipped_weights_are_small_and_those_of_their_checksum():
    assert list_weights_files() == ["detector_toy.pth"]
    file = Path(get_weights_file("detector_toy.pth"))
    assert file.stat().st_size < 8e6
    lines = (file.parent / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}"]
    tensors = torch.load(file, weights_only=True)["model"]
    assert {t.dtype for t in tensors.values() if t.dim() > 1} == {torch.float16}
    assert all(t.isfinite().all() for t in tensors.values())


def test_other_weights_of_the_package_are_refused_with_those_that_there_are():
    with pytest.raises(FileNotFoundError, match=r"gone\.pth are no part.*detector_toy\.pth"):
        load_cfg(opts=["MODEL.WEIGHTS", f"{SHIPPED}gone.pth"])


@pytest.mark.parametrize("config", CONFIGS)
def test_the_detector_fills_all_but_the_mask_head(config):
    cfg = load_cfg(config, ["MODEL.DEVICE", "cpu"])
    model = build_checked_model(cfg)
    checkpointer = PointRendCheckpointer(model, for_training=True, cfg=cfg)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=False)
    report = checkpointer.report
    missing = [n for n in report.names(*NOT_LOADED) if not n.endswith("num_batches_tracked")]
    assert {component_of(name) for name in missing} == {"mask head"}
    assert report.names(UNEXPECTED) == []


def test_both_models_find_the_same_objects_to_the_last_bit():
    image = render_image(sample_scene("val", 5))
    found = []
    for config in CONFIGS:
        weights = load_cfg(config).MODEL.WEIGHTS
        predictor = Predictor.from_config(
            config, weights, device="cpu", load_options=LoadOptions(allow_missing=True)
        )
        result = predictor(image)
        found.append((result.boxes, result.scores, result.classes))
    assert len(found[0][0]) > 2
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.usefixtures("_levels")
def test_the_demo_in_small(tool, tmp_path, monkeypatch, capsys, own_catalogs):
    root = generate_toy_data(tmp_path / "data", num_train=4, num_val=3).parent
    monkeypatch.setattr(tool, "ensure_toy_data", lambda root: root)
    monkeypatch.setenv("DETECTRON2_DATASETS", "")  # which the demo sets
    words = ("--data-root", str(root), "--output", str(tmp_path / "out"), *SMALL)
    tool.run(tool.build_parser().parse_args(words))
    text = capsys.readouterr().out
    assert "Boundary AP on toy_val" in text
    assert "Boxes are the same." in text
    assert "configs/Toy/pointrend_rcnn_toy.yaml" in text
    evaluation = read_evaluation(tmp_path / "out/evaluation.json")
    first, second = evaluation.models
    assert first.scores["bbox"] == second.scores["bbox"]
    assert first.scores["bbox"]["AP50"].value > 10
    assert (tmp_path / "out/report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("ap75", "words"), [((10.0, 25.0), "25.00 against 10.00, 2.5 times;"), ((0.0, 5.0), "0.00;")]
)
def test_the_verdict_is_of_outlines_and_divides_by_no_zero(tool, ap75, words):
    models = tuple(
        ModelRecord(name, "", 1, {"segm": {"AP75": Score(value)}})
        for name, value in zip(("Mask R-CNN", "PointRend"), ap75, strict=True)
    )
    gain = Difference("PointRend", "Mask R-CNN", {"boundary": {"AP": Score(6.0, 4.5, 7.5)}})
    data_set = DataSetRecord("toy_val", "instances", "", 1, ())
    line = tool.verdict(Evaluation(data_set, Intervals(300, 0, 0.95), models, (gain,), ()))
    assert line.startswith("PointRend: mask AP75")
    assert words in line
    assert "Boundary AP +6.00 [+4.50, +7.50]" in line
