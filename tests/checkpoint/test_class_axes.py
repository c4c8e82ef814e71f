"""No tensor that depends on the number of classes is forgotten, whatever the model."""

import itertools
from functools import cache
from pathlib import Path

import pytest
import torch
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
    build_model,
)

from pointrend_ext.checkpoint import INSTANCE, SEMANTIC, ClassMap, adapt_classes
from pointrend_ext.checkpoint.class_axes import count_classes
from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import list_config_files
from pointrend_ext.modeling import POINT_HEAD_REGISTRY

LEAVES = [name for name in list_config_files() if not Path(name).name.startswith("Base-")]
COCO, CITYSCAPES = "COCO-InstanceSegmentation", "Cityscapes-SemanticSegmentation"
POINTREND = f"{COCO}/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
MASK_RCNN = f"{COCO}/mask_rcnn_R_50_FPN_1x_coco.yaml"
PANOPTIC = ["MODEL.META_ARCHITECTURE", "PanopticFPN"]
CASCADE = ["MODEL.ROI_HEADS.NAME", "CascadeROIHeads"]
SHARED_BOXES = ["MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", True]
SHARED_MASKS = ["MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", True]
DEEP = ["MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT", 0.4]
REFINED = [*PANOPTIC, "MODEL.SEM_SEG_HEAD.NAME", "PointRendSemanticHead"]
VARIANTS = {
    "point_rend, shared masks": (POINTREND, SHARED_MASKS),
    "point_rend, shared boxes": (POINTREND, SHARED_BOXES),
    "point_rend, cascade": (POINTREND, [*CASCADE, *SHARED_BOXES]),
    "point_rend, panoptic": (POINTREND, PANOPTIC),
    "point_rend twice, panoptic": (POINTREND, REFINED),
    "coarse prediction in the first layer alone": (
        POINTREND,
        ["MODEL.MASK_POINT_HEAD.COARSE_PRED_EACH_LAYER", False],
    ),
    "mask_rcnn, shared masks": (MASK_RCNN, SHARED_MASKS),
    "mask_rcnn, cascade": (MASK_RCNN, [*CASCADE, *SHARED_BOXES]),
    "mask_rcnn, panoptic": (MASK_RCNN, PANOPTIC),
    **{
        f"{prefix}{head}, deep": (f"{CITYSCAPES}/{prefix}{head}_R_50_cityscapes.yaml", DEEP)
        for prefix in ("", "pointrend_")
        for head in ("sfnet", "alignseg")
    },
}
CASES = {name: (name, []) for name in LEAVES} | VARIANTS


@cache
def build(case, classes):
    """Shapes, without memory, and module types of a model with that many classes of both kinds."""
    name, opts = CASES[case]
    opts = [
        *("MODEL.RESNETS.DEPTH", 50, "MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""),
        *("MODEL.ROI_HEADS.NUM_CLASSES", classes, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", classes),
        *opts,
    ]
    with torch.device("meta"):
        model = build_model(load_cfg(name, opts))
    state = {key: torch.zeros(()).expand(value.shape) for key, value in model.state_dict().items()}
    return state, {type(module).__name__ for module in model.modules()}


@pytest.mark.parametrize("case", CASES)
def test_surgery_knows_every_tensor_that_depends_on_the_classes(case):
    old, new = (build(case, classes)[0] for classes in (1203, 2))  # LVIS has 1203
    assert set(old) == set(new)
    different = [key for key in old if old[key].shape != new[key].shape]
    assert different
    got, entries = adapt_classes(old, new)
    assert [key for key in got if got[key].shape != new[key].shape] == []
    assert [entry.name for entry in entries] == different
    # and no other one, when classes are mapped that are as many
    permutation = dict.fromkeys((INSTANCE, SEMANTIC), ClassMap((1, 0), 2))
    _, entries = adapt_classes(new, new, class_map=permutation)
    assert [entry.name for entry in entries] == different
    assert {count_classes(old, kind) for kind in (INSTANCE, SEMANTIC)} - {None} == {1203}


def test_these_models_have_every_head_of_the_package():
    found = set().union(*(build(case, 2)[1] for case in CASES))
    entries = itertools.chain(
        *(META_ARCH_REGISTRY, ROI_MASK_HEAD_REGISTRY, SEM_SEG_HEADS_REGISTRY, POINT_HEAD_REGISTRY)
    )
    ours = {name for name, entry in entries if entry.__module__.startswith("pointrend_ext.")}
    assert ours == {
        *("PointRendSemanticSegmentor", "PointRendROIMaskHead", "PointRendSemanticHead"),
        *("ImplicitPointRendROIMaskHead", "ImplicitPointHead"),
        "PointRendPanopticFPN",
        *("SFNetHead", "SFNetLiteHead", "AlignSegHead"),
        *("DeepLabV3LogitsHead", "DeepLabV3PlusLogitsHead"),
        "StandardPointHead",
    }
    assert ours <= found
