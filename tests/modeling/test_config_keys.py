"""Whatever we register says how its configuration keys get there, when they are missing."""

import pytest
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_HEADS_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
)

from pointrend_ext import add_pointrend_config
from pointrend_ext.data.mapper import PointRendDatasetMapper
from pointrend_ext.modeling import FEATURE_ALIGNMENT_REGISTRY, POINT_HEAD_REGISTRY
from pointrend_ext.modeling.config_keys import reads_own_keys
from tests.fresh_python import run_fresh

MAPS = {f"res{n}": ShapeSpec(channels=8, stride=2**n) for n in range(2, 6)}
# registry: what an entry is called with, besides the configuration or its node
CALLS = {
    BACKBONE_REGISTRY: ((ShapeSpec(channels=3),), {}),
    META_ARCH_REGISTRY: ((), {}),
    PROPOSAL_GENERATOR_REGISTRY: ((MAPS,), {}),
    ROI_HEADS_REGISTRY: ((MAPS,), {}),
    ROI_MASK_HEAD_REGISTRY: ((MAPS,), {}),
    SEM_SEG_HEADS_REGISTRY: ((MAPS,), {}),
    FEATURE_ALIGNMENT_REGISTRY: ((), {"channels": 4}),
    POINT_HEAD_REGISTRY: ((), {"fine_channels": 4, "coarse_channels": 1, "out_channels": 1}),
}
READ_NONE = {"MaskOnlyROIHeads", "PointRendPanopticFPN"}  # of our keys; heads of the latter do
OURS = {
    name: (entry, *call)
    for registry, call in CALLS.items()
    for name, entry in registry
    if entry.__module__.startswith("pointrend_ext.")
}


def test_every_registry_with_entries_of_ours_is_looked_at():
    """A fresh process, because tests register classes of their own."""
    code = """
import gc, detectron2.modeling, pointrend_ext
from detectron2.utils.registry import Registry
for registry in gc.get_objects():
    if type(registry) is Registry:
        for name, entry in registry:
            if entry.__module__.startswith("pointrend_ext."):
                print(name)
"""
    assert set(run_fresh(code).stdout.split()) == set(OURS)
    assert len(OURS) >= 14


@pytest.mark.parametrize("name", sorted(OURS.keys() - READ_NONE))
def test_missing_keys_are_said_with_the_line_to_add(name):
    entry, words, options = OURS[name]
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.ROI_HEADS.NAME = "MaskOnlyROIHeads"  # GivenBoxes asks for it first
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = list(MAPS)
    with pytest.raises(
        ValueError, match=rf"{name} reads the configuration key [A-Z_0-9]+,"
    ) as found:
        entry(cfg, *words, **options)
    line = "import pointrend_ext; pointrend_ext.add_pointrend_config(cfg)"
    assert line in str(found.value)
    assert "python -m pointrend_ext.run SCRIPT" in str(found.value)
    assert found.value.__cause__ is None


def test_the_mapper_too():
    with pytest.raises(ValueError, match=r"PointRendDatasetMapper reads .* key [A-Z_]+, .*add_p"):
        PointRendDatasetMapper(get_cfg(), is_train=False)


def test_the_two_lines_are_enough():
    cfg = get_cfg()
    add_pointrend_config(cfg)
    PointRendDatasetMapper(cfg, is_train=False)


@pytest.mark.parametrize("text", ["'NoneType' object has no attribute 'shape'", "^$"])
def test_other_errors_pass(text):
    @reads_own_keys
    def read(cfg):
        raise AttributeError(text.strip("^$"))

    with pytest.raises(AttributeError, match=text):
        read(get_cfg())
