"""Tiny whole models, ours and upstream's, and a way to write and load their weights."""

import copy
from functools import cache, partial
from types import SimpleNamespace

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from pointrend_ext import add_pointrend_config
from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.model_zoo import get_config_file
from tests.checkpoint.helpers import write_zoo_file

CLASSES = 4
TINY = {
    "DEVICE": "cpu",
    "RESNETS.STEM_OUT_CHANNELS": 8,
    "RESNETS.RES2_OUT_CHANNELS": 16,
    "RESNETS.WIDTH_PER_GROUP": 4,
    "FPN.OUT_CHANNELS": 16,
    "ROI_BOX_HEAD.FC_DIM": 8,
    "ROI_MASK_HEAD.CONV_DIM": 16,
    "SEM_SEG_HEAD.CONVS_DIM": 32,
}
MASK = {
    "MASK_ON": True,
    "ROI_MASK_HEAD.POOLER_TYPE": "",
    "ROI_MASK_HEAD.POOLER_RESOLUTION": 4,
    "ROI_MASK_HEAD.FC_DIM": 8,
    "ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION": 3,
}
OURS = {**MASK, "ROI_MASK_HEAD.NAME": "PointRendROIMaskHead", "MASK_POINT_HEAD.FC_DIM": 8}
MASK_RCNN = {"MASK_ON": True, "ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead"}
PANOPTIC = {"META_ARCHITECTURE": "PanopticFPN", "SEM_SEG_HEAD.NAME": "SemSegFPNHead"}
ALIGNED = {"BACKBONE.NAME": "build_resnet_aligned_fpn_backbone", "FPN.ALIGNMENT.NAME": "FAM"}
SEMANTIC = {"META_ARCHITECTURE": "SemanticSegmentor"}
ALIGNSEG = {
    **SEMANTIC,
    "SEM_SEG_HEAD.NAME": "AlignSegHead",
    "SEM_SEG_HEAD.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "SEM_SEG_HEAD.CONVS_DIM": 8,
    "SEM_SEG_HEAD.NORM": "BN",
    "SEM_SEG_HEAD.LOSS_TYPE": "cross_entropy",
}
KINDS = {
    "point_rend": OURS,
    "mask_rcnn": MASK_RCNN,
    "panoptic": MASK_RCNN | PANOPTIC,
    "panoptic point_rend": OURS | PANOPTIC,
    "aligned mask_rcnn": MASK_RCNN | ALIGNED,
    "aligned point_rend": OURS | ALIGNED,
    "semantic_point_rend": SEMANTIC
    | {"SEM_SEG_HEAD.NAME": "PointRendSemanticHead", "SEM_SEG_POINT_HEAD.FC_DIM": 8},
    "semantic_fpn": SEMANTIC | {"SEM_SEG_HEAD.NAME": "SemSegFPNHead"},
    "AlignSegHead": ALIGNSEG | {"SEM_SEG_HEAD.AUX_LOSS_WEIGHT": 0.4},
    "AlignSegHead alone": ALIGNSEG | {"SEM_SEG_HEAD.AUX_LOSS_WEIGHT": 0.0},
}
# The same by Detectron2's own project.
UPSTREAM = {
    "point_rend": MASK
    | {"ROI_MASK_HEAD.NAME": "PointRendMaskHead", "ROI_MASK_HEAD.POINT_HEAD_ON": True},
    "semantic_point_rend": SEMANTIC
    | {
        "SEM_SEG_HEAD.NAME": "PointRendSemSegHead",
        "POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME": "SemSegFPNHead",
        "POINT_HEAD.COARSE_PRED_EACH_LAYER": False,
    },
}


def build(kind, classes, seed, *, upstream):
    values, add_keys = TINY | (UPSTREAM if upstream else KINDS)[kind], add_pointrend_config
    if upstream:
        add_keys = pytest.importorskip("detectron2.projects.point_rend").add_pointrend_config
        values |= {"POINT_HEAD.NUM_CLASSES": classes, "POINT_HEAD.FC_DIM": 8}
    values |= {"ROI_HEADS.NUM_CLASSES": classes, "SEM_SEG_HEAD.NUM_CLASSES": classes}
    cfg = get_cfg()
    add_keys(cfg)
    cfg.merge_from_file(get_config_file("Base-RCNN-FPN.yaml"))
    cfg.merge_from_list([x for k, v in values.items() for x in (f"MODEL.{k}", v)])
    torch.manual_seed(seed)
    return build_model(cfg).eval()


@pytest.fixture(scope="session")
def make_model():
    """Freshly built models of a kind; each is built once and copied."""
    built = cache(build)
    return lambda kind, classes=CLASSES, *, upstream=False, seed=0: copy.deepcopy(
        built(kind, classes, 1 if upstream else seed, upstream=upstream)
    )


@pytest.fixture
def files(tmp_path):
    """Write weights to files, as torch or as the model zoo does: a pickle of NumPy arrays."""

    def pth(data, name="weights.pth"):
        torch.save(data, tmp_path / name)
        return str(tmp_path / name)

    zoo = partial(write_zoo_file, tmp_path / "weights.pkl")
    return SimpleNamespace(folder=tmp_path, pth=pth, zoo=zoo)


@pytest.fixture
def load():
    """Load a file into a model as at the start of a training, or to evaluate; return the report."""

    def run(model, path, *, training=False, **options):
        checkpointer = PointRendCheckpointer(model, for_training=training, **options)
        checkpointer.resume_or_load(path, resume=False)
        return checkpointer.report

    return run
