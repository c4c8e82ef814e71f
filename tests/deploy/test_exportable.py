"""What cannot be exported is refused in a sentence, before anything is recorded or written."""

import copy
import os
import sys

import pytest
import torch
from torch import nn

from pointrend_ext.deploy import export, packages
from pointrend_ext.deploy.export import export_onnx, export_program
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.predictor import Predictor

DETECTOR = "pointrend_mask_head_toy"


@pytest.fixture
def refused(tmp_path):
    """Export, and return what is said; nothing may be written."""

    def export(model, cfg, *, name="model.onnx", write=export_onnx, **options):
        with pytest.raises((ValueError, ImportError, PermissionError)) as caught:
            write(model, cfg, tmp_path / name, **options)
        assert list(tmp_path.iterdir()) == []
        text = str(caught.value)
        assert "\n" not in text
        return text

    return export


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"opset": 17}, "export.opset is 17; it must be 18."),
        ({"part": "backbone"}, "export.part is 'backbone'; it must be 'model' or 'mask_head'."),
        ({"output": "masks"}, "export.output is 'masks'; it must be 'labels' or 'logits'."),
        ({"output": "logits"}, "for instances: they have no logits of pixels"),
        ({"batch_size": 0}, "export.batch_size is 0; it must be at least 1."),
        ({"check_images": "a.jpg"}, "export.check_images is 'str'; it must be a list of pictures."),
        ({"batch_size": 1.5}, "export.batch_size is 1.5; it must be at least 1."),
        ({"classes": Classes(("a", "b"))}, "export.classes.things is 2; it must be 6, the number"),
        ({"batch_size": 4}, "images have different numbers of objects"),
        ({"name": "model.pth"}, "its name must end in .onnx."),
        ({"name": "model.onnx", "write": export_program}, "its name must end in .pt2."),
    ],
)
def test_options(detector, refused, options, said):
    built = detector()
    assert said in refused(built.model, built.cfg, **options)


def test_options_of_semantic_models(predictors, refused):
    semantic = predictors("semantic")
    said = refused(semantic.model, semantic.cfg, part="mask_head")
    assert said == "export.part is 'mask_head'; it must be 'model': a semantic one has no masks."
    cfg = semantic.cfg.clone()
    cfg.defrost()
    cfg.INPUT.FORMAT = "L"
    assert "INPUT.FORMAT is 'L'; it must be RGB or BGR" in refused(semantic.model, cfg)
    cfg.merge_from_list(["INPUT.FORMAT", "RGB", "MODEL.SEM_SEG_HEAD.ASPP_POOLING", "crop"])
    cfg.MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME = "DeepLabV3LogitsHead"
    assert "'global' to be exported: 'crop' takes one size" in refused(semantic.model, cfg)


def test_options_of_panoptic_models(predictors, refused):
    panoptic = predictors("panoptic")
    said = refused(panoptic.model, panoptic.cfg, part="mask_head", output="logits")
    assert "for instances: they have no logits of pixels" in said
    said = refused(panoptic.model, panoptic.cfg, batch_size=2, output="logits")
    assert "images have different numbers of objects" in said
    cfg = panoptic.cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(["MODEL.SEM_SEG_HEAD.ASPP_POOLING", "crop"])
    cfg.MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME = "DeepLabV3LogitsHead"
    assert "'global' to be exported: 'crop' takes one size" in refused(panoptic.model, cfg)


def test_models_without_a_graph(detector, refused):
    built = detector()
    assert refused(nn.DataParallel(built.model), built.cfg).endswith("export model.module instead.")
    predictor = Predictor(built.model, built.cfg)
    assert refused(predictor, built.cfg).endswith("in a Predictor: export model.model instead.")
    assert "A Identity cannot be exported" in refused(nn.Identity(), built.cfg)
    plain = detector("mask_rcnn_mask_head_toy")
    assert "only a PointRendROIMaskHead is" in refused(plain.model, plain.cfg, part="mask_head")
    given = detector("pointrend_box_to_mask_toy")
    assert "export its mask head (--part mask_head)" in refused(given.model, given.cfg)


class HeadsOfC4(nn.Module):
    """What there is of Detectron2's ``Res5ROIHeads``."""

    mask_on, mask_head, box_predictor = True, nn.Identity(), nn.Identity()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("roi_heads.mask_on", False, "boxes alone (MODEL.MASK_ON False)"),
        ("roi_heads.keypoint_on", True, "keypoints cannot be exported"),
        ("proposal_generator", nn.Identity(), "Models with a Identity cannot be exported"),
        ("roi_heads.mask_head", nn.Identity(), "Models with a Identity cannot be exported"),
        ("proposal_generator", None, "finds no objects by itself"),
        ("roi_heads", HeadsOfC4(), "Models with a HeadsOfC4 cannot be exported"),
    ],
)
def test_parts_without_a_graph(detector, refused, monkeypatch, path, value, said):
    built = detector()
    *parents, name = path.split(".")
    owner = built.model
    for parent in parents:
        owner = getattr(owner, parent)
    monkeypatch.setattr(owner, name, value)
    assert said in refused(built.model, built.cfg)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_floats_are_exported_in_32_bits(detector, refused, monkeypatch, kind):
    """The weights are those of the model; it keeps its own type."""
    built, seen = detector(), []

    def record(graph):
        seen.extend((*graph.parameters(), *graph.buffers()))
        raise ValueError("enough")

    monkeypatch.setattr(export, "record_program", record)
    model = copy.deepcopy(built.model).to(kind)
    assert refused(model, built.cfg) == "enough"
    assert {x.dtype for x in seen if x.is_floating_point()} == {torch.float32}
    assert model.backbone.bottom_up.stem.conv1.weight.dtype == kind


def test_missing_packages_and_old_torch(detector, refused, monkeypatch):
    built = detector()
    monkeypatch.setattr(packages, "OLDEST_TORCH", (99, 0))
    said = refused(built.model, built.cfg)
    assert said.startswith(f"An export needs torch 99.0 or later; this is {torch.__version__}")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install 'pointrend-ext[export]'" in refused(built.model, built.cfg)


def test_a_folder_that_cannot_be_written_to_is_said_at_once(detector, refused, monkeypatch):
    built = detector()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert "cannot be written to: choose another." in refused(built.model, built.cfg)


class Alone(nn.Module):
    def __init__(self, head, *more):
        super().__init__()
        self.head, self.more = head, more

    def forward(self, features):
        return self.head(features, *self.more)


def test_heads_refuse_to_be_recorded_by_others(detector, predictors):
    model, semantic = detector().model, predictors("semantic").model
    features = {"p2": torch.zeros(1, 64, 16, 16)}
    for head, more in ((model.roi_heads.mask_head, [[]]), (semantic.sem_seg_head, [])):
        name = type(head).__name__
        said = rf"{name} cannot be traced: the file would serve .* Use tools/export_model\.py"
        with torch.no_grad(), pytest.raises(ValueError, match=said):
            torch.jit.trace(Alone(head, *more), (features,), strict=False)
        with torch.no_grad(), pytest.raises(ValueError, match=r"recorded by torch\.export: the"):
            torch.export.export(Alone(head, *more), (features,), strict=False)
        with pytest.raises(ValueError, match=f"{name} cannot be scripted"):
            torch.jit.script(head)
    with pytest.raises(ValueError, match=r"PointRendROIMaskHead cannot be scripted"):
        torch.jit.script(model)
