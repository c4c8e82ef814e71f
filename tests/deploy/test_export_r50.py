"""R50-FPN on photographs: the figures of the issue. ImageNet weights are not in the repository.

POINTREND_R50=R-50.pkl DETECTRON2_DATASETS=... pytest -m slow tests/deploy/test_export_r50.py
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.deploy.checks import CheckImages, compare_instances
from pointrend_ext.deploy.graphs import InstanceGraph, MasksInTurns
from pointrend_ext.deploy.recording import record_program, to_onnx
from pointrend_ext.deploy.running import OnnxRunner
from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.unread_keys import build_checked_model

WEIGHTS = os.environ.get("POINTREND_R50", "")
PHOTOGRAPHS = Path(os.environ.get("DETECTRON2_DATASETS", "datasets"), "coco", "val2017")
SIZES_HW = ((320, 448), (448, 320), (333, 501), (480, 640), (607, 405), (800, 1067), (64, 96))
NAME = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS or not PHOTOGRAPHS.is_dir(), reason="no weights or photographs")
def test_seven_sizes_of_photographs():
    opts = ["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0]
    cfg = load_cfg(NAME, opts)
    torch.manual_seed(0)
    model = build_checked_model(cfg).eval()
    PointRendCheckpointer(model, allow_missing=True, cfg=cfg).load(WEIGHTS, checkpointables=[])
    graph = InstanceGraph(model, mask_side=224, form=MasksInTurns)
    run = OnnxRunner(to_onnx(record_program(graph), graph, 18))
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))[: len(SIZES_HW)]
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    images = replace(CheckImages.of(cfg, pictures), sizes_hw=SIZES_HW)
    found = {x.name: x for x in compare_instances(run, model=model, images=images)}
    print({name: x.value for name, x in found.items()})
    assert found["detections of the model"].value == 700
    assert found["share of detections without a partner"].value == 0
    assert [x.name for x in found.values() if not x.holds] == []
