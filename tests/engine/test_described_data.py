"""Data sets of ``DATASETS.DESCRIPTIONS`` in a run: registered, checked, trained and evaluated."""

from __future__ import annotations

import math

import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.engine import setup_cfg, train_or_evaluate


@pytest.fixture
def described(toy_root, tmp_path):
    """A factory of options that train on the toy instances by a description of them."""
    before = set(DatasetCatalog.list())
    splits = {
        split: {"images": split, "annotations": f"annotations/instances_{split}.json"}
        for split in ("train", "val")
    }

    def options(**changes):
        content = {"name": "mine", "task": "instance", "root": "toy", "splits": splits, **changes}
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(content))
        names = {"DESCRIPTIONS": str(path), "TRAIN": "mine_train", "TEST": "mine_val"}
        return [x for key, value in names.items() for x in (f"DATASETS.{key}", (value,))]

    yield options
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name)


def test_a_described_data_set_trains_and_evaluates(tiny_run, described, toy_root):
    cfg = setup_cfg(tiny_run(opts=described()))
    assert MetadataCatalog.get("mine_train").image_root == str(toy_root / "toy/train")
    results = train_or_evaluate(cfg)
    assert set(results) == {"bbox", "segm"}
    assert math.isfinite(results["segm"]["AP"])


def test_a_description_is_checked_against_the_model(tiny_run, described):
    opts = [*described(), "MODEL.ROI_HEADS.NUM_CLASSES", 5]
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 5, but the data set 'mine_train' has 6"):
        setup_cfg(tiny_run(opts=opts))


def test_a_mistake_in_a_description(tiny_run, described):
    with pytest.raises(ValueError, match=r"mine\.yaml': 'rot' is no key .* Did you mean 'root'"):
        setup_cfg(tiny_run(opts=described(rot="x")))


def test_a_name_that_no_description_gives(tiny_run, described):
    opts = [*described(), "DATASETS.TRAIN", ("mine_trian",)]
    with pytest.raises(ValueError, match=r"'mine_trian' .* not registered.*Did you mean 'mine_tra"):
        setup_cfg(tiny_run(opts=opts))


def test_a_description_that_is_not_there(tiny_run):
    opts = ["DATASETS.DESCRIPTIONS", ("nowhere.yaml",)]
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.yaml'.*datasets/camvid\.yaml"):
        setup_cfg(tiny_run(opts=opts))
