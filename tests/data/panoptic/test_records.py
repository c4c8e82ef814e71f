"""Panoptic data sets from their files alone: described, loaded, checked, mapped, trained on."""

import json
import shutil

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.data import (
    build_mapper,
    check_datasets,
    check_label_maps,
    check_num_classes,
    load_dataset_dicts,
    register_description,
)
from pointrend_ext.data.coco_dataset import listed_images, load_registered
from pointrend_ext.data.panoptic import register_panoptic, segment_picture
from pointrend_ext.data.summary import summarize_dataset
from tests.data.panoptic.builders import BLUE, CROWD, RED, SAND, SKY, id_map, write

DESCRIPTION = """
name: shapes
task: panoptic
root: .
splits:
  train: {images: images, segments: segments, annotations: panoptic.json}
  test: {images: images, segments: segments, annotations: not_there.json}
"""


@pytest.fixture
def data(tmp_path):
    data = write(tmp_path)
    register_panoptic("shapes_train", *data.folders)
    return data


@pytest.fixture
def panoptic_cfg(cfg):
    cfg.MODEL.META_ARCHITECTURE = "PointRendPanopticFPN"
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    cfg.DATASETS.TRAIN = ("shapes_train",)
    cfg.DATASETS.TEST = ()
    return cfg


def test_a_description(tmp_path):
    data = write(tmp_path)
    (tmp_path / "shapes.yaml").write_text(DESCRIPTION)
    for _ in range(2):  # again it does nothing
        names = register_description(tmp_path / "shapes.yaml")
    assert names == ["shapes_train", "shapes_test"]
    metadata = MetadataCatalog.get("shapes_train")
    assert metadata.thing_classes == ["star", "gear"]
    assert metadata.stuff_classes == ["things", "sky", "sand"]
    assert metadata.thing_dataset_id_to_contiguous_id == {2: 0, 3: 1}
    assert metadata.stuff_dataset_id_to_contiguous_id == {0: 0, 7: 1, 9: 2}
    assert metadata.panoptic_json == str(data.json_file)
    assert metadata.evaluator_type == "coco_panoptic_seg"
    assert "thing_classes" not in MetadataCatalog.get("shapes_test").as_dict()
    with pytest.raises(ValueError, match=r"'shapes_train' is registered already with image_root"):
        register_panoptic("shapes_train", "elsewhere", *data.folders[1:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DESCRIPTION.replace("segments: segments, ", ""), r"'splits\.train\.segments' is missing"),
        (DESCRIPTION + "classes: [star]", r"'classes' is no key\..*Known are: name, task, root"),
    ],
)
def test_what_a_description_must_not_be(tmp_path, text, message):
    write(tmp_path)
    (tmp_path / "shapes.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        register_description(tmp_path / "shapes.yaml")


def test_records(data):
    records, findings = load_registered("shapes_train")
    assert records == DatasetCatalog.get("shapes_train")
    first = records[0]
    assert (first["image_id"], first["height"], first["width"]) == (2, 40, 60)
    assert first["file_name"] == f"{data.folders[0]}/2.jpg"
    assert first["sem_seg_file_name"] == f"{data.folders[1]}/2.png"
    objects = [(a["category_id"], a["iscrowd"]) for a in first["annotations"]]
    assert objects == [(0, 0), (1, 0), (0, 1)]
    assert (findings.num_checked, findings.counts) == (6, {})
    assert [entry.size_hw for entry in listed_images("shapes_train")] == [(40, 60)] * 2


def test_images_in_folders_and_without_annotation(tmp_path):
    data = write(tmp_path, folder="town")
    data.content["annotations"].pop()
    data.json_file.write_text(json.dumps(data.content))
    register_panoptic("shapes_town", *data.folders)
    records, findings = load_registered("shapes_town")
    assert [r["file_name"] for r in records] == [f"{data.folders[0]}/town/2.jpg"]
    [line] = findings.lines()
    assert line.startswith("1 of 2 (50.0%) left out: images without panoptic annotation; first: 1.")


def test_images_of_one_name_in_several_folders(tmp_path):
    data = write(tmp_path, folder="town")
    write(tmp_path, folder="village", content=data.content)
    register_panoptic("shapes_twice", *data.folders)
    with pytest.raises(ValueError, match=r"holds '.*/town/2\.jpg' and '.*village/2\.jpg', and"):
        load_registered("shapes_twice")
    for image in data.content["images"]:
        image["file_name"] = f"village/{image['file_name']}"
    data.json_file.write_text(json.dumps(data.content))
    assert load_registered("shapes_twice")[0][0]["file_name"].endswith("images/village/2.jpg")


def test_stuff_may_have_the_category_0(tmp_path, panoptic_cfg):
    """Its label is its own, not that of things."""
    data = write(tmp_path)
    data.content["categories"][0]["id"] = 0
    for annotation in data.content["annotations"]:
        annotation["segments_info"][1]["category_id"] = 0
    data.json_file.write_text(json.dumps(data.content))
    register_panoptic("shapes_train", *data.folders)
    [record, _] = load_dataset_dicts(panoptic_cfg, ["shapes_train"], is_train=True)
    labels = build_mapper(panoptic_cfg, is_train=True)(record)["sem_seg"].numpy()
    np.testing.assert_array_equal(labels == 1, id_map(2) == SKY)


def test_more_stuff_than_a_label_map_holds(tmp_path):
    data = write(tmp_path)
    extra = [{"id": 10 + n, "name": f"stuff {n}", "isthing": 0} for n in range(253)]
    data.content["categories"] += extra
    data.json_file.write_text(json.dumps(data.content))
    with pytest.raises(ValueError, match=r"has 255 classes of stuff, but .* hold 254 beside"):
        register_panoptic("shapes_train", *data.folders)


def test_classes_are_known_once_there_is_a_right_file(tmp_path):
    """In one process, too: neither a missing nor a wrong file is what the name stands for."""
    data = write(tmp_path)
    right = data.json_file.read_text()
    data.json_file.write_text("{}")
    with pytest.raises(ValueError, match="Field required"):
        register_panoptic("shapes_late", *data.folders)
    assert "shapes_late" not in DatasetCatalog
    data.json_file.unlink()
    register_panoptic("shapes_late", *data.folders)
    assert "thing_classes" not in MetadataCatalog.get("shapes_late").as_dict()
    data.json_file.write_text(right)
    register_panoptic("shapes_late", *data.folders)
    assert MetadataCatalog.get("shapes_late").thing_classes == ["star", "gear"]


def test_summary(data, panoptic_cfg):
    """Boxes are in the pictures alone: no size of an object is made up."""
    summary = summarize_dataset(panoptic_cfg, "shapes_train")
    assert (summary.objects, summary.problems) == ({"star": 2, "gear": 2}, [])
    assert "  4 objects\n" in summary.text()


def test_mapped(data, panoptic_cfg):
    """Masks, boxes and labels are the pixels of the picture; a crowd is no object."""
    [record, _] = load_dataset_dicts(panoptic_cfg, ["shapes_train"], is_train=True)
    mapped = build_mapper(panoptic_cfg, is_train=True)(record)
    ids, instances = id_map(2), mapped["instances"]
    assert instances.gt_classes.tolist() == [0, 1]
    masks = instances.gt_masks.tensor.numpy()
    np.testing.assert_array_equal(masks, [ids == RED, ids == BLUE])
    assert instances.gt_boxes.tensor.tolist() == [[8, 7, 30, 17], [40, 10, 50, 30]]
    expected = np.select([ids == 0, ids == SKY, ids == SAND], [255, 1, 2], 0)
    np.testing.assert_array_equal(mapped["sem_seg"].numpy(), expected)
    assert (expected[ids == CROWD] == 0).all()
    again = build_mapper(panoptic_cfg, is_train=True)(record)  # the record is as it was
    np.testing.assert_array_equal(again["instances"].gt_masks.tensor.numpy(), masks)
    tested = build_mapper(panoptic_cfg, is_train=False)(record)
    assert "annotations" not in tested


def test_masks_that_are_no_polygons(data, panoptic_cfg):
    panoptic_cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    with pytest.raises(ValueError, match=r"4 of 4 .* run lengths.*set INPUT\.MASK_FORMAT bitmask"):
        load_dataset_dicts(panoptic_cfg, ["shapes_train"], is_train=True)


def test_all_pictures_are_checked_at_start(data, panoptic_cfg, caplog):
    check_datasets(panoptic_cfg, ["shapes_train"])
    check_num_classes(panoptic_cfg, ["shapes_train"])
    with caplog.at_level("INFO"):
        check_label_maps(panoptic_cfg, ["shapes_train"])
    assert "sand" in caplog.text
    ids = id_map(1)
    ids[20, 20] = 77
    Image.fromarray(segment_picture(ids)).save(f"{data.folders[1]}/1.png")
    with pytest.raises(ValueError, match=r"1\.png': the picture has pixels of the segments 77"):
        check_label_maps(panoptic_cfg, ["shapes_train"])


def test_a_label_depends_on_the_annotation_file_too(data, panoptic_cfg, caplog):
    """What was found in unchanged pictures is not taken for what they mean now."""
    check_label_maps(panoptic_cfg, ["shapes_train"])
    for annotation in data.content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] = {7: 9, 9: 9}.get(segment["category_id"], 2)
    data.json_file.write_text(json.dumps(data.content))
    with caplog.at_level("WARNING"):
        check_label_maps(panoptic_cfg, ["shapes_train"])
    assert "sky" in caplog.text


@pytest.mark.parametrize("key", ["segments", "panoptic.json", "images"])
def test_missing_files(data, panoptic_cfg, key):
    path = data.root / key
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(FileNotFoundError, match=rf"'shapes_train'.*{key}' does not exist"):
        check_datasets(panoptic_cfg, ["shapes_train"])


def test_names_that_lead_out_of_the_folder(data, panoptic_cfg):
    data.content["annotations"][0]["file_name"] = "../../secret.png"
    data.json_file.write_text(json.dumps(data.content))
    with pytest.raises(ValueError, match=r"lead out of"):
        load_dataset_dicts(panoptic_cfg, ["shapes_train"], is_train=True)
