"""The Cityscapes semantic configurations: published hyper-parameters, and models that build."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_backbone, build_model, build_sem_seg_head

import pointrend_ext.modeling.sem_seg.deeplab  # noqa: F401  (registers the heads)
from pointrend_ext.engine import load_cfg

FOLDER = "Cityscapes-SemanticSegmentation"
# name: strides of the coarse logits and of what they are predicted from
STRIDES = {
    "semantic_R_50_FPN_1x_cityscapes": (4, 32),
    "semantic_R_101_FPN_1x_cityscapes": (4, 32),
    "deeplab_v3_R_103_os16_cityscapes": (16, 16),
    "deeplab_v3_R_103_os8_cityscapes": (8, 8),
    "deeplab_v3_plus_R_103_os16_cityscapes": (4, 16),
}
COARSE_HEADS = {
    "semantic": "SemSegFPNHead",
    "deeplab_v3_R": "DeepLabV3LogitsHead",
    "deeplab_v3_plus": "DeepLabV3PlusLogitsHead",
}
HAS_POINTS = [False, True]
META = ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""]


def load(name, has_points, opts=()):
    name = f"pointrend_{name}" if has_points else name
    return load_cfg(f"{FOLDER}/{name}.yaml", opts)


def coarse_head_of(name):
    return next(head for start, head in COARSE_HEADS.items() if name.startswith(start))


@pytest.mark.parametrize("name", STRIDES)
def test_the_models_build(name):
    # On the meta device: the published sizes, without memory and time for weights.
    cfg, baseline = load(name, True, META), load(name, False, META)
    with torch.device("meta"):
        model = build_model(cfg)
        # Same backbone: the head alone is built again.
        shapes = model.backbone.output_shape()
        alone = build_sem_seg_head(baseline, shapes)
    assert type(model).__name__ == "PointRendSemanticSegmentor"
    assert baseline.MODEL.META_ARCHITECTURE == "SemanticSegmentor"
    assert baseline.MODEL.BACKBONE == cfg.MODEL.BACKBONE
    assert baseline.MODEL.RESNETS == cfg.MODEL.RESNETS
    head = model.sem_seg_head
    assert type(head).__name__ == "PointRendSemanticHead"
    assert head.subdivision.steps == {4: 2, 8: 3, 16: 4}[STRIDES[name][0]]
    coarsest = max(shapes[f].stride for f in cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES)
    for coarse in (head.coarse_sem_seg_head, alone):
        assert type(coarse).__name__ == coarse_head_of(name)
        assert (coarse.common_stride, coarsest) == STRIDES[name]
        assert coarse.predictor.weight.shape[0] == 19


@pytest.mark.parametrize("has_points", HAS_POINTS)
@pytest.mark.parametrize("name", STRIDES)
def test_hyper_parameters(name, has_points):
    cfg = load(name, has_points)
    solver, images = cfg.SOLVER, cfg.INPUT
    got = (solver.IMS_PER_BATCH, solver.BASE_LR, solver.MAX_ITER, tuple(images.CROP.SIZE))
    if "deeplab" in name:
        assert got == (16, 0.01, 90000, (768, 768))
        assert (solver.LR_SCHEDULER_NAME, solver.POLY_LR_POWER) == ("WarmupPolyLR", 0.9)
        assert solver.SEM_SEG_HEAD_LR_FACTOR == 10
        assert (cfg.MODEL.RESNETS.NORM, cfg.MODEL.SEM_SEG_HEAD.NORM) == ("SyncBN", "SyncBN")
        assert (images.FORMAT, images.COLOR_AUG_SSD) == ("RGB", False)
        assert cfg.MODEL.SEM_SEG_HEAD.LOSS_TYPE == "hard_pixel_mining"
        points, fine = 2304, ("res2",)
    else:
        assert got == (32, 0.01, 65000, (512, 1024))
        assert solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR"
        assert (solver.STEPS, solver.SEM_SEG_HEAD_LR_FACTOR) == ((40000, 55000), 1)
        assert (cfg.MODEL.RESNETS.NORM, cfg.MODEL.SEM_SEG_HEAD.NORM) == ("FrozenBN", "GN")
        assert (images.FORMAT, images.COLOR_AUG_SSD) == ("BGR", True)
        assert images.CROP.SINGLE_CATEGORY_MAX_AREA == 0.75
        points, fine = 2048, ("p2",)
    assert images.MIN_SIZE_TRAIN == (512, 768, 1024, 1280, 1536, 1792, 2048)
    assert (images.MIN_SIZE_TRAIN_SAMPLING, images.MAX_SIZE_TRAIN) == ("choice", 4096)
    assert (images.MIN_SIZE_TEST, images.MAX_SIZE_TEST) == (1024, 2048)
    assert cfg.DATASETS.TRAIN == ("cityscapes_fine_sem_seg_train",)
    assert cfg.DATASETS.TEST == ("cityscapes_fine_sem_seg_val",)
    assert cfg.MODEL.BACKBONE.FREEZE_AT == 0
    if has_points:
        node = cfg.MODEL.SEM_SEG_POINT_HEAD
        assert cfg.MODEL.META_ARCHITECTURE == "PointRendSemanticSegmentor"
        assert (node.TRAIN_NUM_POINTS, tuple(node.IN_FEATURES)) == (points, fine)
        assert (node.SUBDIVISION_NUM_POINTS, node.COARSE_PRED_EACH_LAYER) == (8192, False)


def test_a_forgotten_dilation_is_found():
    opts = [*META, "MODEL.RESNETS.RES5_DILATION", 1, "MODEL.RESNETS.DEPTH", 50]
    cfg = load("deeplab_v3_R_103_os16_cityscapes", False, opts)
    with torch.device("meta"):
        shapes = build_backbone(cfg).output_shape()
        assert shapes["res5"].stride == 32
        with pytest.raises(ValueError, match=r"COMMON_STRIDE is 16.*, 32.*RES5_DILATION 2"):
            build_sem_seg_head(cfg, shapes)
