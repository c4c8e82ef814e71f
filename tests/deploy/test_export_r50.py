"""Models of full width on photographs. ImageNet weights are not in the repository.

POINTREND_R50=R-50.pkl DETECTRON2_DATASETS=... pytest -m slow tests/deploy/test_export_r50.py
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.deploy import scale_semantic_logits
from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.deploy.checks import CheckImages, compare_instances, compare_semantic
from pointrend_ext.deploy.graphs import InstanceGraph, MasksInTurns, SemanticGraph
from pointrend_ext.deploy.recording import record_program, to_onnx
from pointrend_ext.deploy.running import OnnxRunner
from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.unread_keys import build_checked_model

WEIGHTS = os.environ.get("POINTREND_R50", "")
PHOTOGRAPHS = Path(os.environ.get("DETECTRON2_DATASETS", "datasets"), "coco", "val2017")
SIZES_HW = ((320, 448), (448, 320), (333, 501), (480, 640), (607, 405), (800, 1067), (64, 96))
EIGHT_SIZES_HW = (
    *((64, 64), (97, 131), (200, 301), (255, 256), (320, 480), (427, 640), (512, 384), (511, 1023)),
)
NAME = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
SEMANTIC = (
    "pointrend_semantic_R_50_FPN_1x_cityscapes",
    "pointrend_deeplab_v3_R_103_os16_cityscapes",
)


needs_photographs = pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="no photographs")


def images_of(cfg, sizes_hw):
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))[: len(sizes_hw)]
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return replace(CheckImages.of(cfg, pictures), sizes_hw=sizes_hw)


@pytest.mark.slow
@needs_photographs
@pytest.mark.parametrize("name", SEMANTIC)
def test_eight_sizes_of_semantic_models(name):
    """The backbone's weights are random: R-103 has none here, and logits are scaled anyway."""
    cfg = load_cfg(f"Cityscapes-SemanticSegmentation/{name}.yaml", ["MODEL.DEVICE", "cpu"])
    torch.manual_seed(0)
    model, images = build_checked_model(cfg).eval(), images_of(cfg, EIGHT_SIZES_HW)
    scale_semantic_logits(model, torch.from_numpy(list(images)[4]))
    graph = SemanticGraph(model, output="logits", num_classes=19)
    run = OnnxRunner(to_onnx(record_program(graph), graph, 18))
    found = {x.name: x for x in compare_semantic(run, model=model, images=images, output="logits")}
    print({name: x.value for name, x in found.items()})
    assert found["pixels compared"].value == sum(h * w for h, w in EIGHT_SIZES_HW)
    assert found["labels that differ by the choice of points: share"].value <= 1e-4
    assert [x.name for x in found.values() if not x.holds] == []


@pytest.mark.slow
@needs_photographs
@pytest.mark.skipif(not WEIGHTS, reason="no weights")
def test_seven_sizes_of_photographs():
    opts = ["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0]
    cfg = load_cfg(NAME, opts)
    torch.manual_seed(0)
    model = build_checked_model(cfg).eval()
    PointRendCheckpointer(model, allow_missing=True, cfg=cfg).load(WEIGHTS, checkpointables=[])
    graph = InstanceGraph(model, mask_side=224, form=MasksInTurns)
    run = OnnxRunner(to_onnx(record_program(graph), graph, 18))
    images = images_of(cfg, SIZES_HW)
    found = {x.name: x for x in compare_instances(run, model=model, images=images)}
    print({name: x.value for name, x in found.items()})
    assert found["detections of the model"].value == 700
    assert found["share of detections without a partner"].value == 0
    assert [x.name for x in found.values() if not x.holds] == []
