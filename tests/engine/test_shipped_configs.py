"""Every configuration that is shipped: published hyper-parameters, and a model of them."""

import functools
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_backbone, build_sem_seg_head

from pointrend_ext.engine import Trainer, load_cfg
from pointrend_ext.modeling.alignment import FAM

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.rglob("*.yaml")
    if not path.name.startswith("Base-") and path.parent.name != "datasets"
)
CITYSCAPES = "Cityscapes-SemanticSegmentation"
META = ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""]
HEADS = {  # of the coarse logits, its stride and that of what they are predicted from, refinements
    "semantic_R_50_FPN_1x": ("SemSegFPNHead", 4, 32, 2),
    "semantic_R_101_FPN_1x": ("SemSegFPNHead", 4, 32, 2),
    "deeplab_v3_R_103_os16": ("DeepLabV3LogitsHead", 16, 16, 4),
    "deeplab_v3_R_103_os8": ("DeepLabV3LogitsHead", 8, 8, 3),
    "deeplab_v3_plus_R_103_os16": ("DeepLabV3PlusLogitsHead", 4, 16, 2),
    "sfnet_R_50": ("SFNetHead", 4, 32, 2),
    "sfnet_R_18": ("SFNetHead", 4, 32, 2),
    "sfnet_lite_R_18": ("SFNetLiteHead", 4, 32, 2),
    "alignseg_R_50": ("AlignSegHead", 4, 32, 2),
}
SOLVER = ("IMS_PER_BATCH", "BASE_LR", "MAX_ITER", "LR_SCHEDULER_NAME", "SEM_SEG_HEAD_LR_FACTOR")
RECIPES = {  # the above; size of a crop; colours are changed; of the point head: points, features
    "semantic": ((32, 0.01, 65000, "WarmupMultiStepLR", 1), (512, 1024), True, 2048, ["p2"]),
    "deeplab": ((16, 0.01, 90000, "WarmupPolyLR", 10), (768, 768), False, 2304, ["res2"]),
    "sfnet": ((16, 0.01, 55800, "WarmupPolyLR", 1), (1024, 1024), True, 4096, ["res2"]),
    "alignseg": ((8, 0.01, 120000, "WarmupPolyLR", 1), (872, 872), False, 2970, ["res2"]),
}
TRAIN, TEST = ("cityscapes_fine_sem_seg_train",), ("cityscapes_fine_sem_seg_val",)
SIZES = (512, 768, 1024, 1280, 1536, 1792, 2048)
KEYS = {  # of the families above, in their order; an ellipsis where it is not stated
    "SOLVER.STEPS": ((40000, 55000), ..., ..., ...),
    "SOLVER.POLY_LR_POWER": (..., 0.9, 1.0, 0.9),
    "SOLVER.WARMUP_ITERS": (..., ..., 0, 0),
    "SOLVER.WEIGHT_DECAY": (..., ..., 0.0001, 0.0005),
    "SOLVER.WEIGHT_DECAY_NORM": (..., ..., 0.0001, 0.0005),
    "SOLVER.WEIGHT_DECAY_BIAS": (..., ..., None, None),  # that of the weights
    "MODEL.BACKBONE.FREEZE_AT": (0, 0, ..., ...),
    "MODEL.RESNETS.NORM": ("FrozenBN", "SyncBN", ..., ...),
    "MODEL.SEM_SEG_HEAD.NORM": ("GN", "SyncBN", ..., ...),
    "MODEL.SEM_SEG_HEAD.LOSS_TYPE": (..., "hard_pixel_mining", "ohem", "cross_entropy"),
    "MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT": (..., ..., 0.0, 0.1),
    "MODEL.SEM_SEG_HEAD.OHEM_THRESHOLD": (..., ..., 0.7, 0.7),
    "MODEL.SEM_SEG_HEAD.OHEM_MIN_KEPT": (..., ..., 10000, 10000),
    "INPUT.FORMAT": ("BGR", "RGB", "RGB", "RGB"),
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": (0.75, ..., ..., ...),
    "INPUT.MIN_SIZE_TRAIN": (SIZES, SIZES, ..., ...),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "choice", ..., ...),
    "INPUT.MAX_SIZE_TRAIN": (4096, 4096, ..., ...),
    "INPUT.MIN_SIZE_TEST": (1024, 1024, ..., ...),
    "INPUT.MAX_SIZE_TEST": (2048, 2048, ..., ...),
    "DATASETS.TRAIN": (TRAIN, TRAIN, TRAIN, TRAIN),
    "DATASETS.TEST": (TEST, TEST, TEST, TEST),
}


@functools.cache
def built(name):
    """A model of the published sizes, on a device that has no memory."""
    with torch.device("meta"):
        return Trainer.build_model(load_cfg(name, META))


def test_there_are_some():
    assert len(NAMES) >= 46


@pytest.mark.parametrize("name", NAMES)
def test_builds(name):
    keys = list(built(name).state_dict())  # also of a point head without parameters of its own
    assert any("point_head." in key for key in keys) == ("pointrend" in name)
    has_alignment = any("align" in key or "delta_gen" in key for key in keys)
    assert has_alignment == any(word in name for word in ("FAM", "sfnet", "alignseg"))


@pytest.mark.parametrize("name", HEADS)
def test_heads_of_semantic_models(name):
    names = [f"{CITYSCAPES}/{prefix}{name}_cityscapes.yaml" for prefix in ("", "pointrend_")]
    plain, model = map(built, names)
    nodes = [load_cfg(name).MODEL for name in names]
    assert (nodes[0].BACKBONE, nodes[0].RESNETS) == (nodes[1].BACKBONE, nodes[1].RESNETS)
    kind, stride, coarsest, steps = HEADS[name]
    aligns = name.startswith(("sfnet", "alignseg"))
    segmentor = "PointRendSemanticSegmentor" if aligns else "SemanticSegmentor"
    assert type(plain).__name__ == segmentor
    assert type(model).__name__ == "PointRendSemanticSegmentor"
    head = model.sem_seg_head
    assert (type(head).__name__, head.subdivision.steps) == ("PointRendSemanticHead", steps)
    shapes = model.backbone.output_shape()
    assert max(shapes[k].stride for k in nodes[1].SEM_SEG_HEAD.IN_FEATURES) == coarsest
    if aligns:
        stem = type(model.backbone.stem).__name__
        assert stem == ("CeilPoolStem" if name.startswith("alignseg") else "DeepLabStem")
        assert [shapes[f"res{i}"].stride for i in (2, 3, 4, 5)] == [4, 8, 16, 32]
    for coarse in (head.coarse_sem_seg_head, plain.sem_seg_head):
        assert (type(coarse).__name__, coarse.common_stride) == (kind, stride)
        width = 128 if "FPN" in name or "R_18" in name else 256
        assert coarse.predictor.weight.shape[:2] == (19, width)
        if aligns:
            assert bool(coarse.auxiliary_strides) == ("alignseg" in name)


@pytest.mark.parametrize("prefix", ["", "pointrend_"])
@pytest.mark.parametrize("name", HEADS)
def test_hyper_parameters(name, prefix):
    cfg = load_cfg(f"{CITYSCAPES}/{prefix}{name}_cityscapes.yaml")
    family = name.split("_")[0]
    solver, crop, color, points, features = RECIPES[family]
    if "lite" in name:  # 1000 epochs instead of 300
        solver = (*solver[:2], 186000, *solver[3:])
    assert tuple(cfg.SOLVER[key] for key in SOLVER) == solver
    assert (tuple(cfg.INPUT.CROP.SIZE), cfg.INPUT.COLOR_AUG_SSD) == (crop, color)
    for key, values in KEYS.items():
        expected = values[list(RECIPES).index(family)]
        if expected is not ...:
            assert functools.reduce(getattr, key.split("."), cfg) == expected, key
    red, _, blue = cfg.MODEL.PIXEL_MEAN
    assert (red > blue) == (cfg.INPUT.FORMAT == "RGB")
    if prefix:
        node = cfg.MODEL.SEM_SEG_POINT_HEAD
        assert (node.TRAIN_NUM_POINTS, list(node.IN_FEATURES)) == (points, features)
        assert points == crop[0] * crop[1] // 16**2
        assert (node.SUBDIVISION_NUM_POINTS, node.COARSE_PRED_EACH_LAYER) == (8192, False)


def test_a_forgotten_dilation_is_found():
    opts = [*META, "MODEL.RESNETS.RES5_DILATION", 1, "MODEL.RESNETS.DEPTH", 50]
    cfg = load_cfg(f"{CITYSCAPES}/deeplab_v3_R_103_os16_cityscapes.yaml", opts)
    with torch.device("meta"):
        shapes = build_backbone(cfg).output_shape()
        assert shapes["res5"].stride == 32
        with pytest.raises(ValueError, match=r"COMMON_STRIDE is 16.*, 32.*RES5_DILATION 2"):
            build_sem_seg_head(cfg, shapes)


@pytest.mark.parametrize("architecture", ["GeneralizedRCNN", "PanopticFPN"])
def test_aligned_pyramids_under_instances(architecture):
    name = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FAM_FPN_1x_coco.yaml"
    with torch.device("meta"):
        cfg = load_cfg(name, [*META, "MODEL.META_ARCHITECTURE", architecture])
        model = Trainer.build_model(cfg)
    modules = {k for k, m in model.named_modules() if isinstance(m, FAM)}
    assert modules == {f"backbone.fpn_align{stage}" for stage in (2, 3, 4)}
    assert type(model.roi_heads.mask_head).__name__ == "PointRendROIMaskHead"
