"""Registering what a description describes, up to a batch of the loader."""

import json

import numpy as np
import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.data import build_train_loader, check_datasets, register_description
from tests.data.builders import semantic


@pytest.fixture
def park(tmp_path):
    """A semantic data set of one pair per split, described beside it."""
    for split in ("train", "val"):
        for file, mode in ((f"{split}/a.png", "RGB"), (f"{split}_labels/a_ids.png", "L")):
            (tmp_path / file).parent.mkdir()
            Image.new(mode, (60, 40)).save(tmp_path / file)
    content = {
        "name": "park",
        "task": "semantic",
        "root": ".",
        "classes": ["grass", "path"],
        "ignore_value": 9,
        "image_suffix": ".png",
        "label_suffix": "_ids.png",
        "colors": [[1, 2, 3], [4, 5, 6]],
        "splits": {s: {"images": s, "labels": f"{s}_labels"} for s in ("train", "val")},
    }

    def write(**changes):
        (tmp_path / "park.yaml").write_text(yaml.safe_dump({**content, **changes}))
        return tmp_path / "park.yaml"

    return write


def describe_coco(data, **changes):
    """Write the description of a data set of the ``coco`` fixture."""
    content = {
        "name": "mine",
        "task": "instance",
        "root": ".",
        "splits": {"train": {"images": "images", "annotations": "instances.json"}},
        **changes,
    }
    path = data.json_file.parent / "mine.json"
    path.write_text(json.dumps(content))
    return path


def test_semantic(park, tmp_path, cfg):
    assert register_description(park()) == ["park_train", "park_val"]
    metadata = MetadataCatalog.get("park_val")
    assert (metadata.stuff_classes, metadata.ignore_label) == (["grass", "path"], 9)
    assert metadata.stuff_colors == [[1, 2, 3], [4, 5, 6]]
    (tmp_path / "val/b.webp").touch()
    (record,) = DatasetCatalog.get("park_val")
    assert record["file_name"] == str(tmp_path / "val/a.png")
    assert record["sem_seg_file_name"] == str(tmp_path / "val_labels/a_ids.png")
    semantic(cfg, 2)
    cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 9
    cfg.DATASETS.TRAIN = ("park_train",)
    assert next(iter(build_train_loader(cfg)))[0]["sem_seg"].shape == (40, 60)


def test_again_and_changed(park):
    register_description(park())
    assert register_description(str(park())) == ["park_train", "park_val"]
    with pytest.raises(
        ValueError,
        match=r"The data set 'park_train' is registered already with stuff_classes "
        r"\['grass', 'path'\], not \['grass', 'way'\]\. Choose another name",
    ):
        register_description(park(classes=["grass", "way"]))


def test_a_taken_name(park):
    DatasetCatalog.register("mine_train", list)
    with pytest.raises(ValueError, match="'mine_train' is registered already"):
        register_description(park(name="mine"))


def test_no_such_description(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match=rf"description 'my\.yaml': .*{tmp_path.name}.*Nearest names: .*datasets/camvid\.yaml",
    ):
        register_description("my.yaml")


@pytest.mark.parametrize("name", ["datasets/camvid.yaml", "configs/datasets/camvid.yaml"])
def test_shipped_and_own_description_of_one_name(name, park, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    assert register_description(name) == ["camvid_train", "camvid_val"]
    metadata = MetadataCatalog.get("camvid_val")
    assert metadata.image_root == str(tmp_path / "data/camvid/val")
    assert (len(metadata.stuff_classes), metadata.ignore_label) == (11, 11)
    own = tmp_path / name
    own.parent.mkdir(parents=True)
    park().rename(own)  # a file that exists wins
    assert register_description(name) == ["park_train", "park_val"]


def test_instances(coco, cfg):
    data = coco(register=False)
    path = describe_coco(data, classes=["star", "gear"])
    assert register_description(path) == register_description(path) == ["mine_train"]
    cfg.DATASETS.TRAIN = ("mine_train",)
    item = next(iter(build_train_loader(cfg)))[0]
    assert item["instances"].gt_classes.tolist() == [0]
    assert item["instances"].gt_masks.tensor.sum() == 400
    metadata = MetadataCatalog.get("mine_train")
    assert (metadata.evaluator_type, metadata.json_file) == ("coco", str(data.json_file))
    assert register_description(path) == ["mine_train"]  # after loading, too


def test_paths_of_a_split(coco, monkeypatch):
    data = coco(register=False)
    folder = data.json_file.parent
    monkeypatch.setenv("HOME", "/home/me")
    for images, expected in (
        ("images", folder / "images"),
        ("../x", folder / "../x"),
        ("/y", "/y"),
        ("~/z", "/home/me/z"),
    ):
        name = f"of_{len(images)}_{images[0] == '.'}"
        splits = {"train": {"images": images, "annotations": "a.json"}}
        register_description(describe_coco(data, name=name, splits=splits))
        metadata = MetadataCatalog.get(f"{name}_train")
        assert metadata.image_root == str(expected)
        assert metadata.json_file == str(folder / "a.json")


def test_stated_classes_that_the_file_contradicts(coco, cfg):
    register_description(describe_coco(coco(register=False), classes=["gear", "star"]))
    cfg.DATASETS.TRAIN = ("mine_train",)
    message = (
        r"2 classes \(gear, star\), but .*instances\.json' has 2 classes \(star, gear\)\. Leave"
    )
    with pytest.raises(ValueError, match=message):
        check_datasets(cfg, cfg.DATASETS.TRAIN)
    with pytest.raises(ValueError, match=message):
        build_train_loader(cfg)


@pytest.mark.real_data
def test_camvid(real_data, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(real_data))
    register_description("datasets/camvid.yaml")
    assert [len(DatasetCatalog.get(f"camvid_{s}")) for s in ("train", "val")] == [367, 101]
    record = DatasetCatalog.get("camvid_val")[0]
    assert (record["height"], record["width"]) == (360, 480)
    ids = np.unique(np.asarray(Image.open(record["sem_seg_file_name"])))
    assert set(ids) <= set(range(12))
