"""Our records from a COCO file: equal to Detectron2's, from a file that is parsed once."""

import json
import re

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import (
    register_coco_instances,
    register_coco_panoptic_separated,
    register_lvis_instances,
)
from PIL import Image

from pointrend_ext.data import build_train_loader, check_datasets
from pointrend_ext.data.coco import file as coco_file
from pointrend_ext.data.coco import picture_paths
from pointrend_ext.data.coco_dataset import listed_images
from pointrend_ext.data.coco_dataset import load_registered as load_with_findings
from pointrend_ext.evaluation.lvis_package import imported_lvis
from tests.data.builders import square


def load_registered(name):
    return load_with_findings(name)[0]


RLE = {"size": [40, 60], "counts": [100, 300, 2000]}


def assert_equal_to_detectron2(json_file, images, name="records"):
    """Compare records and metadata with those of Detectron2's own loader, value for value."""
    for owner in ("ours", "theirs"):
        register_coco_instances(f"{owner}_{name}", {}, str(json_file), str(images))
    ours, theirs = load_registered(f"ours_{name}"), DatasetCatalog.get(f"theirs_{name}")
    assert ours == theirs
    assert len(theirs) > 0
    metadata = [MetadataCatalog.get(f"{owner}_{name}").as_dict() for owner in ("ours", "theirs")]
    assert {**metadata[0], "name": ""} == {**metadata[1], "name": ""}
    return ours


def test_every_kind_of_annotation(coco):
    counts = mask_util.frPyObjects(RLE, 40, 60)["counts"].decode()
    compressed = {"size": [40, 60], "counts": counts}
    base = {"category_id": 7, "bbox": [1, 2, 3.5, 4]}
    data = coco(
        [
            {**base, "image_id": 3, "segmentation": [square()], "iscrowd": 0, "area": 9},
            {**base, "image_id": 1, "segmentation": [square(), [1, 2, 3, 4]], "category_id": 90},
            {**base, "image_id": 1, "segmentation": RLE, "iscrowd": 1},
            {**base, "image_id": 3, "segmentation": compressed, "iscrowd": 1},
            {**base, "image_id": 3, "segmentation": []},
            {**base, "image_id": 3, "segmentation": None, "keypoints": []},
            {**base, "image_id": 3, "keypoints": [1, 2, 2, 30, 5, 0], "num_keypoints": 1},
            {**base, "image_id": 99, "segmentation": [square()]},
        ],
        num_images=3,
        categories=[{"id": 90, "name": "gear"}, {"id": 7, "name": "star"}],
        register=False,
    )
    data.content["images"].reverse()
    data.json_file.write_text(json.dumps(data.content))
    records = assert_equal_to_detectron2(data.json_file, data.images)
    assert [len(record["annotations"]) for record in records] == [2, 0, 5]


def test_without_annotations(coco):
    data = coco()
    del data.content["annotations"]
    data.json_file.write_text(json.dumps(data.content))
    assert [record["annotations"] for record in load_registered(data.name)] == [[], []]


def test_lvis_records(coco):
    lists = {"neg_category_ids": [5], "not_exhaustive_category_ids": [3]}
    base = {"category_id": 3, "bbox": [10, 5, 20, 20], "segmentation": [square()]}
    data = coco(
        [{**base, "image_id": 2}, {**base, "image_id": 1, "category_id": 1203}],
        categories=[{"id": n, "name": f"c{n}"} for n in (3, 5, 1203)],
        register=False,
    )
    images = data.content["images"]
    images[0].update(lists, coco_url=f"http://x.test/images/{images[0]['file_name']}")
    images[1].update(coco_url=f"http://x.test/images/{images[1]['file_name']}", file_name="other")
    data.json_file.write_text(json.dumps(data.content))
    root = f"{data.images.parent}/"
    for name in ("ours_v1", "theirs_v1"):
        register_lvis_instances(name, {}, str(data.json_file), root)
    with imported_lvis():
        theirs = DatasetCatalog.get("theirs_v1")
    assert load_registered("ours_v1") == theirs
    assert [record["annotations"][0]["category_id"] for record in theirs] == [1202, 2]
    assert [entry.file_name for entry in listed_images("ours_v1")] == [
        str(data.images / f"{number}.jpg") for number in (1, 2)
    ]
    metadata = [MetadataCatalog.get(name).as_dict() for name in ("ours_v1", "theirs_v1")]
    assert {**metadata[0], "name": ""} == {**metadata[1], "name": ""}
    register_lvis_instances(
        "few",
        {"thing_classes": ["a"], "thing_dataset_id_to_contiguous_id": {3: 0}},
        str(data.json_file),
        root,
    )
    with pytest.raises(ValueError, match=r"the category id 5 is none of those .* registered with"):
        load_registered("few")


@pytest.mark.real_data
def test_real_annotations(real_data):
    for split in ("train", "val"):
        file = real_data / f"coco/annotations/instances_{split}2017.json"
        assert_equal_to_detectron2(file, real_data / f"coco/{split}2017", split)


def test_panoptic_data_set(coco, tmp_path):
    data = coco(register=False)
    for image_id in (1, 2):
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(data.images / f"{image_id}.png")
    for name in ("ours", "theirs"):
        folders = (str(data.images), str(tmp_path), str(data.json_file), str(data.images))
        register_coco_panoptic_separated(name, {}, *folders, str(data.json_file))
    ours = load_registered("ours_separated")
    assert ours == DatasetCatalog.get("theirs_separated")
    assert ours[0]["sem_seg_file_name"] == str(data.images / "1.png")


def test_another_registered_function_is_called(coco):
    data = coco(register=False)
    DatasetCatalog.register("own", lambda: ["its own"])
    MetadataCatalog.get("own").set(
        evaluator_type="coco", json_file=str(data.json_file), image_root=str(data.images)
    )
    assert load_registered("own") == ["its own"]


def test_what_is_parsed_is_kept_for_test_sets_alone(cfg, coco):
    train, test, other = coco(), coco(), coco()
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (train.name,), (test.name,)
    check_datasets(cfg, [train.name, test.name, other.name])
    files = [str(data.json_file) for data in (train, test, other)]
    assert [file in coco_file._alive for file in files] == [True, True, True]
    build_train_loader(cfg)
    assert [file in coco_file._alive for file in files] == [False, True, False]


def test_a_file_that_changed_is_parsed_again(cfg, coco):
    data = coco()
    check_datasets(cfg, [data.name])
    data.json_file.write_text(json.dumps({**data.content, "annotations": []}))
    assert [record["annotations"] for record in load_registered(data.name)] == [[], []]


# ---- names that lead out of the folder of the images


@pytest.mark.parametrize("name", ["../1.jpg", "/etc/passwd", "a/../../1.jpg", "..\\1.jpg"])
def test_names_of_pictures_stay_below_their_folder(coco, name):
    data = coco()
    (data.images.parent / "1.jpg").write_bytes((data.images / "1.jpg").read_bytes())
    data.content["images"][0]["file_name"] = name
    data.json_file.write_text(json.dumps(data.content))
    message = rf"1 of 2 file names .* out of .*images', such as {re.escape(repr(name))}.*such as /"
    for read in (load_registered, listed_images):
        with pytest.raises(ValueError, match=message):
            read(data.name)


def test_names_that_stay_below_or_may_lead_anywhere(tmp_path):
    inside = [str(tmp_path / "a.jpg"), "b/../c.jpg", "..d.jpg"]
    assert picture_paths(str(tmp_path), inside) == [str(tmp_path / name) for name in inside]
    for folder in ("/", ""):
        assert picture_paths(folder, ["/x/a.jpg"]) == ["/x/a.jpg"]
    with pytest.raises(ValueError, match="1 of 1 file names"):
        picture_paths(str(tmp_path), [f"{tmp_path}_other/a.jpg"])
