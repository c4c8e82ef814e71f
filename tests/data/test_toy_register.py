"""Registration: lazy, idempotent, and what Detectron2's loaders make of the files."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image

from pointrend_ext.data.toy import TOY_STUFF_CLASSES, TOY_THING_CLASSES, register_toy_datasets

TYPES = {"toy": "coco", "toy_sem_seg": "sem_seg", "toy_panoptic": "coco_panoptic_seg"}
NAMES = {f"{kind}_{split}" for kind in TYPES for split in ("train", "val")}


@pytest.fixture(autouse=True)
def _without_toy_names(monkeypatch):
    for catalog in (DatasetCatalog, MetadataCatalog):
        others = {name: value for name, value in catalog.items() if name not in NAMES}
        monkeypatch.setattr(catalog, "data", others)


@pytest.fixture
def registered(toy_root):
    return register_toy_datasets(toy_root)


def test_registers_all_names_with_the_evaluators_of_their_kind(registered):
    assert sorted(registered) == sorted(NAMES)
    for name in NAMES:
        assert MetadataCatalog.get(name).evaluator_type == TYPES[name.rsplit("_", 1)[0]]


def test_second_call_does_nothing_and_another_root_replaces(toy_root, registered, tmp_path):
    loaders = {name: DatasetCatalog[name] for name in NAMES}
    metadata = {name: MetadataCatalog.get(name) for name in NAMES}
    assert register_toy_datasets(str(toy_root)) == registered
    assert all(DatasetCatalog[name] is loaders[name] for name in NAMES)
    assert all(MetadataCatalog.get(name) is metadata[name] for name in NAMES)
    register_toy_datasets(tmp_path)
    assert MetadataCatalog.get("toy_val").image_root == str(tmp_path / "toy/val")


def test_registration_needs_no_files_but_loading_says_how_to_make_them(tmp_path):
    register_toy_datasets(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
    assert MetadataCatalog.get("toy_train").thing_classes == list(TOY_THING_CLASSES)
    for name in NAMES:
        with pytest.raises(FileNotFoundError, match=r"make_toy_data\.py --data-root .*absent"):
            DatasetCatalog.get(name)


def test_a_name_of_another_program_is_not_replaced(tmp_path):
    DatasetCatalog.register("toy_val", list)
    with pytest.raises(ValueError, match="'toy_val' is registered already"):
        register_toy_datasets(tmp_path)
    assert DatasetCatalog.get("toy_val") == []


@pytest.mark.parametrize("split", ["train", "val"])
def test_instances_and_panoptic_records_agree(registered, split):
    instances = DatasetCatalog.get(f"toy_{split}")
    assert len(instances) == {"train": 6, "val": 4}[split]
    panoptic = {d["file_name"]: d for d in DatasetCatalog.get(f"toy_panoptic_{split}")}
    semantic = {d["file_name"]: d for d in DatasetCatalog.get(f"toy_sem_seg_{split}")}
    assert panoptic.keys() == semantic.keys() == {d["file_name"] for d in instances}
    for record in instances:
        size = (record["height"], record["width"])
        labels = np.array(Image.open(semantic[record["file_name"]]["sem_seg_file_name"]))
        stuff = np.array(Image.open(panoptic[record["file_name"]]["sem_seg_file_name"]))
        assert labels.shape == stuff.shape == size
        for annotation in record["annotations"]:
            assert annotation["bbox_mode"] == BoxMode.XYWH_ABS
            if isinstance(annotation["segmentation"], list):
                continue
            mask = mask_util.decode(annotation["segmentation"]).astype(bool)
            assert (labels[mask] == len(TOY_STUFF_CLASSES) + annotation["category_id"]).all()
            assert (stuff[mask] == 0).all()
        assert len(panoptic[record["file_name"]]["annotations"]) == len(record["annotations"])
        np.testing.assert_array_equal(stuff == 0, (labels >= 4) & (labels != 255))


def test_metadata_describes_the_label_maps(registered):
    semantic = MetadataCatalog.get("toy_sem_seg_val")
    assert semantic.stuff_classes == [*TOY_STUFF_CLASSES, *TOY_THING_CLASSES]
    assert len(semantic.stuff_colors) == 10
    assert semantic.ignore_label == 255
    panoptic = MetadataCatalog.get("toy_panoptic_val")
    assert panoptic.stuff_classes == ["things", *TOY_STUFF_CLASSES]
    assert panoptic.stuff_dataset_id_to_contiguous_id == {0: 0, 21: 1, 22: 2, 25: 3, 29: 4}
    assert panoptic.thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 5: 2, 7: 3, 9: 4, 12: 5}
