"""The configuration function: keys, defaults, idempotence, and its order among others."""

from itertools import permutations

import pytest
from detectron2.config import get_cfg
from detectron2.projects import deeplab, point_rend

from pointrend_ext import add_pointrend_config
from pointrend_ext.modeling.recording import leaves

OURS = add_pointrend_config
UPSTREAM = point_rend.add_pointrend_config
DEEPLAB = deeplab.add_deeplab_config


def config(*functions):
    """Detectron2's configuration, given to these functions in turn."""
    cfg = get_cfg()
    for add in functions:
        add(cfg)
    return cfg


def ours():
    return config(OURS)


# Upstream's last three are said elsewhere in our configuration.
SHARED_KEYS = set(config(UPSTREAM).MODEL.POINT_HEAD) - {
    *("NUM_CLASSES", "CLS_AGNOSTIC_MASK", "COARSE_SEM_SEG_HEAD_NAME")
}
POINT_KEYS = SHARED_KEYS | {"LOSS_WEIGHT"}


def test_keys_of_the_point_heads():
    assert set(ours().MODEL.MASK_POINT_HEAD) == POINT_KEYS
    node = ours().MODEL.SEM_SEG_POINT_HEAD
    assert set(node) == POINT_KEYS | {"COARSE_HEAD_NAME", "OUTPUT"}
    assert (node.TRAIN_NUM_POINTS, node.OVERSAMPLE_RATIO) == (1024, 3)
    assert (node.SUBDIVISION_STEPS, node.SUBDIVISION_NUM_POINTS) == (-1, 8192)
    assert not node.COARSE_PRED_EACH_LAYER
    assert "POINT_HEAD" not in ours().MODEL  # upstream's


@pytest.mark.parity
def test_deeplab_keys_have_detectron2s_defaults():
    theirs, cfg = config(DEEPLAB), ours()
    for node, base in [
        (theirs.SOLVER, cfg.SOLVER),
        (theirs.MODEL.RESNETS, cfg.MODEL.RESNETS),
        (theirs.MODEL.SEM_SEG_HEAD, cfg.MODEL.SEM_SEG_HEAD),
    ]:
        own = dict(leaves(base))  # SOLVER.AMP has a key of ours, too
        assert {key: own[key] for key, _ in leaves(node)} == dict(leaves(node))


@pytest.mark.parity
def test_shared_keys_have_upstreams_defaults():
    theirs, cfg = config(UPSTREAM), ours()
    assert cfg.MODEL.MASK_POINT_HEAD.LOSS_WEIGHT == 1  # upstream has none
    for key in SHARED_KEYS:
        assert cfg.MODEL.MASK_POINT_HEAD[key] == theirs.MODEL.POINT_HEAD[key], key
    for key in ("IN_FEATURES", "FC_DIM", "NUM_FC", "OUTPUT_SIDE_RESOLUTION", "CONV_DIM"):
        assert cfg.MODEL.ROI_MASK_HEAD[key] == theirs.MODEL.ROI_MASK_HEAD[key], key
    assert cfg.INPUT.COLOR_AUG_SSD == theirs.INPUT.COLOR_AUG_SSD
    crop = "SINGLE_CATEGORY_MAX_AREA"
    assert cfg.INPUT.CROP[crop] == theirs.INPUT.CROP[crop]


@pytest.mark.parametrize(
    "order",
    permutations([OURS, UPSTREAM, DEEPLAB]),
    ids=lambda order: "-".join(f.__module__.split(".")[-2] for f in order),
)
def test_every_order_gives_the_same(order):
    cfg, reference = config(*order), config(OURS, UPSTREAM, DEEPLAB)
    assert cfg == reference
    assert cfg.dump() == reference.dump()


def test_values_that_are_set_stay():
    cfg = ours()
    changes = {
        "MODEL.MASK_POINT_HEAD.TRAIN_NUM_POINTS": 49,
        "MODEL.MASK_POINT_HEAD.IN_FEATURES": ("p2", "p3"),
        "MODEL.ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION": 14,
        "INPUT.COLOR_AUG_SSD": True,
        "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": 0.75,
    }
    cfg.merge_from_list([x for pair in changes.items() for x in pair])
    before = cfg.dump()
    add_pointrend_config(cfg)
    assert cfg.dump() == before


def test_detectron2s_defaults_are_untouched():
    before = get_cfg().dump()
    cfg = ours()
    cfg.MODEL.MASK_POINT_HEAD.FC_DIM = 1
    assert get_cfg().dump() == before
    assert ours().MODEL.MASK_POINT_HEAD.FC_DIM == 256


def test_only_adds_keys():
    cfg = ours()
    cfg.merge_from_other_cfg(get_cfg())  # raises at a key that is not there
    assert cfg == ours()
