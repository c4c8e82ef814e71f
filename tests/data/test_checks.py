"""Checks of data sets and class counts before training, by their messages."""

import json
import shutil

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.data import check_datasets, check_num_classes
from pointrend_ext.data.coco_audit import audit_coco_file
from tests.data.builders import annotation, square


def test_good_data_set_passes(cfg, coco):
    data = coco()
    check_datasets(cfg, [data.name])
    check_num_classes(cfg, [data.name])


def test_unknown_name_suggests_the_nearest(cfg):
    with pytest.raises(
        ValueError, match=r"'coco_2017_trian' .*Did you mean 'coco_2017_train'.*register_coco_inst"
    ):
        check_datasets(cfg, ["coco_2017_trian"])


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("json", r"the annotation file '.*instances\.json' does not exist"),
        ("images", r"the image folder '.*images' does not exist"),
        ("all", r"the annotation file '.*instances\.json' does not exist"),
    ],
)
def test_missing_files(cfg, coco, monkeypatch, missing, message):
    data = coco()
    if missing == "json":
        data.json_file.unlink()
    elif missing == "images":
        shutil.rmtree(data.images)
    else:
        shutil.rmtree(data.json_file.parent)
    monkeypatch.setenv("DETECTRON2_DATASETS", "some/where")
    with pytest.raises(
        FileNotFoundError,
        match=rf"{data.name}': {message}.*DETECTRON2_DATASETS.*now 'some/where'",
    ):
        check_datasets(cfg, [data.name])
    monkeypatch.delenv("DETECTRON2_DATASETS")
    with pytest.raises(FileNotFoundError, match=r"now not set, which means '\./datasets'"):
        check_datasets(cfg, [data.name])


def test_a_file_where_a_folder_should_be(cfg, coco):
    data = coco()
    shutil.rmtree(data.images)
    data.images.write_text("")
    with pytest.raises(FileNotFoundError, match="the image folder"):
        check_datasets(cfg, [data.name])


@pytest.mark.parametrize(
    ("keys", "in_test", "missing"),
    [
        ({"image_dir": "a", "gt_dir": "b"}, False, "b"),
        ({"image_dir": "b", "gt_dir": "a"}, False, "b"),
        ({"image_root": "a", "sem_seg_root": "b"}, False, "b"),
        ({"image_root": "a", "sem_seg_root": "a", "panoptic_json": "b"}, True, "b"),
        ({"image_root": "a", "sem_seg_root": "a", "panoptic_json": "b"}, False, None),
        ({"image_root": "a", "panoptic_json": "f", "json_file": "b"}, False, None),
        ({"image_root": "a", "panoptic_json": "f", "json_file": "b"}, True, "b"),
        ({"image_root": "s3://bucket/a"}, False, None),
    ],
)
def test_every_path_that_is_needed(cfg, tmp_path, keys, in_test, missing):
    (tmp_path / "a").mkdir()
    (tmp_path / "f").write_text("{}")
    name = f"paths_{tmp_path.name}"
    DatasetCatalog.register(name, list)
    paths = {k: v if "://" in v else str(tmp_path / v) for k, v in keys.items()}
    MetadataCatalog.get(name).set(**paths)
    cfg.DATASETS.TEST = (name,) if in_test else ()
    if missing is None:
        check_datasets(cfg, [name])
    else:
        with pytest.raises(FileNotFoundError, match=rf"{name}.*/{missing}' does not exist"):
            check_datasets(cfg, [name])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [\n{"id": 1,}]}', r"valid JSON: .*: line 2 column \d+ .* has 25 bytes"),
        ("", "valid JSON: Expecting value: line 1 column 1 .* has 0 bytes"),
        ("<html>not found</html>", "valid JSON: Expecting value: line 1"),
        ("[1, 2]", "not in COCO's format.*but holds list"),
        ('{"shapes": [], "version": 1}', r"not in COCO's format.*\['shapes', 'version'\]"),
        ('{"images": {}, "categories": []}', "list of image entries is not a list of dicts"),
        ('{"images": [], "categories": []}', "has no image entry"),
    ],
)
def test_annotation_file_that_is_not_coco_json(cfg, coco, text, message):
    data = coco()
    data.json_file.write_text(text)
    with pytest.raises(ValueError, match=rf"{data.name}/instances\.json' is .*{message}"):
        check_datasets(cfg, [data.name])


def test_annotation_file_that_is_an_archive(cfg, coco):
    data = coco()
    data.json_file.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(
        ValueError, match=r"instances\.json' is not valid JSON: 'utf-8' codec .*archive, unpack"
    ):
        check_datasets(cfg, [data.name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 7}, r"annotation 1 has category_id 7.*ids of 'categories' \(1, 2\)"),
        ({"bbox": []}, r"annotation 1 has bbox \[\], not 4 numbers"),
        ({"bbox": [1, 2, 3, 4, 5]}, "not 4 numbers"),
        ({"segmentation": square()}, "segmentation that is neither"),
        ({"segmentation": "x"}, "segmentation that is neither"),
        ({"ignore": 1}, "annotation 1 has 'ignore' set"),
    ],
)
def test_bad_annotation_is_named(cfg, coco, changes, message):
    data = coco([annotation(**changes)])
    with pytest.raises(ValueError, match=rf"instances\.json' is not valid: .*{message}"):
        check_datasets(cfg, [data.name])


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox"])
def test_missing_key_is_named(cfg, coco, key):
    bad = annotation()
    del bad[key]
    data = coco([bad])
    with pytest.raises(ValueError, match=rf"annotation 1 has no '{key}'"):
        check_datasets(cfg, [data.name])


@pytest.mark.parametrize("what", ["images", "annotations", "categories"])
def test_repeated_ids(cfg, coco, what):
    data = coco()
    content = dict(data.content)
    content[what] = [*content[what], content[what][0]]
    data.json_file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="id 1 occurs more than once"):
        check_datasets(cfg, [data.name])


def test_audit_counts_what_the_loader_drops(coco):
    data = coco(
        [
            annotation(),
            annotation(segmentation=[[1, 2, 3, 4]]),
            annotation(segmentation=[[1, 2, 3, 4], square(), [1, 2, 3, 4, 5, 6, 7]]),
            annotation(image_id=99),
            annotation(segmentation={"size": [40, 60], "counts": [2400]}, iscrowd=1),
        ]
    )
    audit = audit_coco_file(str(data.json_file))
    assert audit.num_annotations == 5
    assert audit.class_names == ("star", "gear")
    assert audit.dropped == {
        "annotations without a polygon of at least 3 points": 1,
        "polygons of fewer than 3 points or an odd number of coordinates": 2,
        "annotations of an image that 'images' does not list": 1,
    }
    assert audit_coco_file(str(data.json_file)).dropped is audit.dropped  # read once
    data.json_file.write_text(json.dumps({**data.content, "annotations": []}))
    assert audit_coco_file(str(data.json_file)).num_annotations == 0  # and again when it changes


def test_wrong_number_of_thing_classes(cfg, coco):
    data = coco()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    with pytest.raises(
        ValueError,
        match=rf"MODEL\.ROI_HEADS\.NUM_CLASSES is 80.*{data.name}' has 2 classes \(star, gear\)",
    ):
        check_num_classes(cfg, [data.name])


def test_wrong_number_of_stuff_classes(cfg):
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3  # of no meaning for this model
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 54
    with pytest.raises(
        ValueError,
        match=r"SEM_SEG_HEAD\.NUM_CLASSES is 54.*has 19 classes \(road, sidewalk, .*, \.\.\.\)",
    ):
        check_num_classes(cfg, ["cityscapes_fine_sem_seg_train"])
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 19
    check_num_classes(cfg, ["cityscapes_fine_sem_seg_train"])


@pytest.mark.parametrize(
    "architecture", ["SemanticSegmentor", "PointRendSemanticSegmentor", "PanopticFPN"]
)
def test_wrong_ignore_value(cfg, architecture):
    cfg.MODEL.META_ARCHITECTURE = architecture
    cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 80, 54
    cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 11
    name = "coco_2017_train_panoptic_separated"
    with pytest.raises(
        ValueError, match=rf"IGNORE_VALUE is 11, .* value 255 in the data set '{name}'\. Set MODEL"
    ):
        check_num_classes(cfg, [name])
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    check_num_classes(cfg, [name])


def test_panoptic_model_checks_both_numbers(cfg):
    cfg.MODEL.META_ARCHITECTURE = "PanopticFPN"
    name = "coco_2017_train_panoptic_separated"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 80, 54
    check_num_classes(cfg, [name])
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 53
    with pytest.raises(ValueError, match=r"SEM_SEG_HEAD\.NUM_CLASSES is 53"):
        check_num_classes(cfg, [name])
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 81
    with pytest.raises(ValueError, match=r"ROI_HEADS\.NUM_CLASSES is 81"):
        check_num_classes(cfg, [name])


def test_other_architectures_are_left_alone(cfg, coco):
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    check_num_classes(cfg, [coco().name])


def test_different_class_lists(cfg, coco):
    first = coco()
    second = coco(categories=[{"id": 1, "name": "gear"}, {"id": 2, "name": "star"}])
    with pytest.raises(
        ValueError,
        match=rf"'{first.name}' and '{second.name}' .* 2 classes \(star, gear\) against 2 classes "
        r"\(gear, star\)",
    ):
        check_num_classes(cfg, [first.name, second.name])
