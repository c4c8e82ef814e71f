"""Tiny whole models, ours and upstream's, and a way to write and load their weights."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from pointrend_ext import add_pointrend_config
from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.model_zoo import get_config_file

CLASSES = 4
TINY = {
    "DEVICE": "cpu",
    "RESNETS.STEM_OUT_CHANNELS": 8,
    "RESNETS.RES2_OUT_CHANNELS": 16,
    "RESNETS.WIDTH_PER_GROUP": 4,
    "FPN.OUT_CHANNELS": 16,
    "ROI_BOX_HEAD.FC_DIM": 8,
    "ROI_HEADS.NUM_CLASSES": CLASSES,
    "ROI_MASK_HEAD.CONV_DIM": 16,
    "SEM_SEG_HEAD.CONVS_DIM": 32,
    "SEM_SEG_HEAD.NUM_CLASSES": CLASSES,
}
MASK = {
    "MASK_ON": True,
    "ROI_MASK_HEAD.POOLER_TYPE": "",
    "ROI_MASK_HEAD.POOLER_RESOLUTION": 4,
    "ROI_MASK_HEAD.FC_DIM": 8,
    "ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION": 3,
}
OURS = {
    **MASK,
    "ROI_MASK_HEAD.NAME": "PointRendROIMaskHead",
    "MASK_POINT_HEAD.FC_DIM": 8,
}
PANOPTIC = {"META_ARCHITECTURE": "PanopticFPN", "SEM_SEG_HEAD.NAME": "SemSegFPNHead"}
ALIGNED = {"BACKBONE.NAME": "build_resnet_aligned_fpn_backbone", "FPN.ALIGNMENT.NAME": "FAM"}
SEMANTIC = {"META_ARCHITECTURE": "SemanticSegmentor"}
DEEP = {
    **SEMANTIC,
    "SEM_SEG_HEAD.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "SEM_SEG_HEAD.CONVS_DIM": 8,
    "SEM_SEG_HEAD.NORM": "BN",
    "SEM_SEG_HEAD.LOSS_TYPE": "cross_entropy",
    "SEM_SEG_HEAD.AUX_LOSS_WEIGHT": 0.4,
}


def _cfg(add_keys, values):
    cfg = get_cfg()
    add_keys(cfg)
    cfg.merge_from_file(get_config_file("Base-RCNN-FPN.yaml"))
    values = {**TINY, **values}
    classes = values["ROI_HEADS.NUM_CLASSES"]
    if "POINT_HEAD" in cfg.MODEL:
        values.update({"POINT_HEAD.NUM_CLASSES": classes, "POINT_HEAD.FC_DIM": 8})
    cfg.merge_from_list([x for k, v in values.items() for x in (f"MODEL.{k}", v)])
    return cfg


def build(kind, classes=CLASSES, seed=0):
    """Build a model of one of the kinds below."""
    mask_rcnn = {"MASK_ON": True, "ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead"}
    values = {
        "point_rend": OURS,
        "mask_rcnn": mask_rcnn,
        "panoptic": {**mask_rcnn, **PANOPTIC},
        "panoptic point_rend": {**OURS, **PANOPTIC},
        "aligned mask_rcnn": {**mask_rcnn, **ALIGNED},
        "aligned point_rend": {**OURS, **ALIGNED},
        "semantic_point_rend": {
            **SEMANTIC,
            "SEM_SEG_HEAD.NAME": "PointRendSemanticHead",
            "SEM_SEG_POINT_HEAD.FC_DIM": 8,
        },
        "semantic_fpn": {**SEMANTIC, "SEM_SEG_HEAD.NAME": "SemSegFPNHead"},
        "AlignSegHead": {**DEEP, "SEM_SEG_HEAD.NAME": "AlignSegHead"},
        "AlignSegHead alone": {
            **DEEP,
            "SEM_SEG_HEAD.NAME": "AlignSegHead",
            "SEM_SEG_HEAD.AUX_LOSS_WEIGHT": 0.0,
        },
    }[kind]
    counts = {"ROI_HEADS.NUM_CLASSES": classes, "SEM_SEG_HEAD.NUM_CLASSES": classes}
    torch.manual_seed(seed)
    return build_model(_cfg(add_pointrend_config, {**values, **counts})).eval()


def build_upstream(kind):
    """Build ``point_rend`` or ``semantic_point_rend`` by Detectron2's own project."""
    point_rend = pytest.importorskip("detectron2.projects.point_rend")
    values = {
        "point_rend": {
            **MASK,
            "ROI_MASK_HEAD.NAME": "PointRendMaskHead",
            "ROI_MASK_HEAD.POINT_HEAD_ON": True,
        },
        "semantic_point_rend": {
            **SEMANTIC,
            "SEM_SEG_HEAD.NAME": "PointRendSemSegHead",
            "POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME": "SemSegFPNHead",
            "POINT_HEAD.COARSE_PRED_EACH_LAYER": False,
        },
    }[kind]
    torch.manual_seed(1)
    return build_model(_cfg(point_rend.add_pointrend_config, values)).eval()


@pytest.fixture(scope="session")
def make_model():
    """Freshly built models; each is built once and copied."""
    built = {}

    def make(kind, classes=CLASSES, *, upstream=False, seed=0):
        key = (kind, classes, upstream, seed)
        if key not in built:
            built[key] = build_upstream(kind) if upstream else build(kind, classes, seed)
        return copy.deepcopy(built[key])

    return make


def as_zoo_pickle(state, path, **extra):
    """Write weights as the model zoo does: a pickle of NumPy arrays."""
    arrays = {name: value.numpy() for name, value in state.items()}
    data = {"model": arrays, "__author__": "Detectron2 Model Zoo", **extra}
    path.write_bytes(pickle.dumps(data))
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Write weights to files."""

    def pth(data, name="weights.pth"):
        torch.save(data, tmp_path / name)
        return str(tmp_path / name)

    return SimpleNamespace(
        folder=tmp_path,
        pth=pth,
        zoo=lambda state, **extra: as_zoo_pickle(state, tmp_path / "weights.pkl", **extra),
    )


@pytest.fixture
def load():
    """Load a file into a model as at the start of a training, or to evaluate; return the report."""

    def run(model, path, *, training=False, **options):
        checkpointer = PointRendCheckpointer(model, for_training=training, **options)
        checkpointer.resume_or_load(path, resume=False)
        return checkpointer.report

    return run
