"""Every YAML file of ``configs/``: it merges, says nothing twice, and its model builds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

from pointrend_ext.data import check_num_classes, register_description
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import (
    get_config_file,
    get_dataset_file,
    list_config_files,
    list_dataset_files,
)

FILES = list_config_files()
DESCRIPTIONS = list_dataset_files()
LEAVES = [name for name in FILES if not Path(name).name.startswith("Base-")]
REQUIRED = {
    "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml",
    "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml",
    "COCO-InstanceSegmentation/pointrend_rcnn_R_101_FPN_3x_coco.yaml",
    "COCO-InstanceSegmentation/pointrend_rcnn_X_101_32x8d_FPN_3x_coco.yaml",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_coco.yaml",
    "Cityscapes-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_cityscapes.yaml",
}
NOT_COMPARED = {"VERSION", "_BASE_"}


def read(name):
    return yaml.safe_load(Path(get_config_file(name)).read_text())


def leaf_keys(node, path=()):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaf_keys(value, (*path, key))
        elif key not in NOT_COMPARED:
            yield (*path, key)


def without(node, path):
    copy = dict(node)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(node[path[0]], path[1:])
    return copy


def test_the_names_that_users_rely_on_exist():
    assert set(FILES) >= REQUIRED


@pytest.mark.parametrize("name", FILES)
def test_removing_any_key_changes_the_configuration(name, tmp_path):
    full, content = load_cfg(name), read(name)
    if "_BASE_" in content:
        base = Path(get_config_file(name)).parent / content["_BASE_"]
        content["_BASE_"] = str(base.resolve())
    redundant = []
    for path in leaf_keys(content):
        shorter = tmp_path / "shorter.yaml"
        shorter.write_text(yaml.safe_dump(without(content, path) | {"VERSION": 2}))
        if load_cfg(shorter) == full:
            redundant.append(".".join(path))
    assert redundant == []


@pytest.mark.parametrize("name", LEAVES)
def test_experiments_are_short(name):
    lines = [x for x in Path(get_config_file(name)).read_text().splitlines() if x.strip()]
    assert len(lines) <= 20
    assert "_BASE_" in read(name)


@pytest.fixture
def catalogs(tmp_path, monkeypatch):
    """The data sets of a bare machine; what a test registers is taken out again."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    before = set(DatasetCatalog.list())
    yield tmp_path
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name)


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions_register_data_sets_below_the_data_root(name, catalogs):
    for registered in register_description(name):
        assert registered.startswith(f"{Path(name).stem}_")  # the file is named as its data sets
        root = Path(MetadataCatalog.get(registered).image_root)
        assert root.is_relative_to(catalogs / Path(name).stem)
    content = yaml.safe_load(Path(get_dataset_file(name)).read_text())
    assert content.get("ignore_value") != 255  # what is the default is not said


@pytest.mark.parametrize("name", LEAVES)
def test_data_sets_are_known_and_fit_the_model(name, catalogs):
    cfg = load_cfg(name)
    assert set(cfg.DATASETS.DESCRIPTIONS) <= set(DESCRIPTIONS)
    described = [n for file in cfg.DATASETS.DESCRIPTIONS for n in register_description(file)]
    names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    assert names
    assert not set(described) - set(names)  # no description is named for nothing
    register_toy_datasets(catalogs)
    assert set(names) <= set(DatasetCatalog.list())
    check_num_classes(cfg, names)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_of_version_2(name):
    assert load_cfg(name).VERSION == 2


@pytest.mark.parametrize("name", [n for n in LEAVES if "Semantic" not in n and "semantic" not in n])
def test_the_model_of_an_instance_configuration_builds(name):
    # On the meta device: the published sizes, without memory and time for weights.
    cfg = load_cfg(name, ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""])
    with torch.device("meta"):
        model = build_model(cfg)
    head = model.roi_heads.mask_head
    if "pointrend" in name:
        assert type(head).__name__ == "PointRendROIMaskHead"
        assert head.subdivision.final_side >= 112
    else:
        assert type(head).__name__ == "MaskRCNNConvUpsampleHead"


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_schedules(name):
    cfg = load_cfg(name)
    if "cityscapes" in name:
        expected = (8, 0.01, (18000,), 24000, 8)
    elif "3x" in name:
        expected = (16, 0.02, (210000, 250000), 270000, 80)
    else:
        expected = (16, 0.02, (60000, 80000), 90000, 80)
    solver = cfg.SOLVER
    got = (solver.IMS_PER_BATCH, solver.BASE_LR, solver.STEPS, solver.MAX_ITER)
    assert (*got, cfg.MODEL.ROI_HEADS.NUM_CLASSES) == expected


@pytest.mark.parity
@pytest.mark.parametrize(
    ("ours", "depth", "stride_in_1x1"),
    [
        ("pointrend_rcnn_R_50_FPN_1x_coco", 50, True),
        ("pointrend_rcnn_R_101_FPN_3x_coco", 101, True),
        ("pointrend_rcnn_X_101_32x8d_FPN_3x_coco", 101, False),
    ],
)
def test_backbones(ours, depth, stride_in_1x1):
    resnet = load_cfg(f"COCO-InstanceSegmentation/{ours}.yaml").MODEL.RESNETS
    got = (resnet.DEPTH, resnet.STRIDE_IN_1X1)
    assert got == (depth, stride_in_1x1)


@pytest.mark.parity
def test_the_base_is_that_of_detectron2s_model_zoo():
    from detectron2 import model_zoo

    theirs, zoo = load_cfg(), "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
    theirs.merge_from_file(model_zoo.get_config_file(zoo))
    ours = load_cfg("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_coco.yaml")
    assert difference(ours, theirs) == {}


def difference(ours, theirs, prefix=""):
    found = {}
    for key, value in ours.items():
        if hasattr(value, "items"):
            found |= difference(value, theirs[key], f"{prefix}{key}.")
        elif value != theirs[key]:
            found[prefix + key] = (value, theirs[key])
    return found
