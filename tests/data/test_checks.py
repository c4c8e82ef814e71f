"""Checks of data sets and class counts before training, by their messages."""

import json
import shutil
from contextlib import nullcontext

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.data import check_datasets, check_num_classes
from pointrend_ext.data.coco import causes, summarize_coco_file
from tests.data.builders import annotation, square, without

CITYSCAPES = "cityscapes_fine_sem_seg_train"
PANOPTIC = "coco_2017_train_panoptic_separated"


def raising(error, message):
    """Expect an error, or none where there is no message."""
    return pytest.raises(error, match=message) if message else nullcontext()


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
        ("no folder", r"the image folder '.*images' does not exist"),
    ],
)
def test_missing_files(cfg, coco, monkeypatch, missing, message):
    data = coco()
    if missing == "json":
        data.json_file.unlink()
    else:
        shutil.rmtree(data.json_file.parent if missing == "all" else data.images)
    if missing == "no folder":
        data.images.write_text("")
    monkeypatch.setenv("DETECTRON2_DATASETS", "some/where")
    with pytest.raises(
        FileNotFoundError,
        match=rf"{data.name}': {message}.*DETECTRON2_DATASETS.*now 'some/where'",
    ):
        check_datasets(cfg, [data.name])
    monkeypatch.delenv("DETECTRON2_DATASETS")
    with pytest.raises(FileNotFoundError, match=r"now not set, which means '\./datasets'"):
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
    with raising(FileNotFoundError, missing and rf"{name}.*/{missing}' does not exist"):
        check_datasets(cfg, [name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [\n{"id": 1,}]}', r"valid JSON: .*: line 2 column \d+ .* has 25 bytes"),
        (b"PK\x03\x04\xff\xfe", r"not valid JSON: 'utf-8' codec .*archive, unpack"),
        (b"[1, 2]", "not in COCO's format.*but holds list"),
        (b'{"shapes": [], "version": 1}', r"not in COCO's format.*\['shapes', 'version'\]"),
        (b'{"images": [], "categories": []}', "has no image entry"),
    ],
)
def test_annotation_file_that_is_not_coco_json(cfg, coco, content, message):
    data = coco()
    data.json_file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{data.name}/instances\.json' is .*{message}"):
        check_datasets(cfg, [data.name])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (annotation(category_id=7), r"has category_id 7.*ids of 'categories' \(1, 2\)"),
        (annotation(bbox=[]), r"has bbox \[\], not 4 numbers"),
        *((without(annotation(), key), f"no '{key}'") for key in ("image_id", "category_id")),
    ],
)
def test_bad_annotation_is_named(cfg, coco, bad, message):
    data = coco([bad])
    with pytest.raises(
        ValueError, match=rf"instances\.json' is not valid: annotation 1 .*{message}"
    ):
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
    audit = summarize_coco_file(str(data.json_file))
    assert audit.num_annotations == 5
    assert audit.class_names == ("star", "gear")
    assert audit.findings.counts == {
        causes.NO_AREA: 4,
        causes.NO_MASK: 2,
        causes.BAD_POLYGON: 3,
        causes.UNKNOWN_IMAGE: 1,
        causes.CROWD: 1,
        causes.TWICE: 1,  # the third is the first
    }
    assert summarize_coco_file(str(data.json_file)) is audit  # read once


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        (CITYSCAPES, ("SemanticSegmentor", 3, 19), None),  # things have no meaning for this model
        (
            CITYSCAPES,
            ("SemanticSegmentor", 3, 54),
            r"SEM_SEG_HEAD\.NUM_CLASSES is 54.*has 19 classes \(road, sidewalk, .*, \.\.\.\)",
        ),
        (PANOPTIC, ("PanopticFPN", 80, 54), None),
        (PANOPTIC, ("PanopticFPN", 80, 53), r"SEM_SEG_HEAD\.NUM_CLASSES is 53"),
        (PANOPTIC, ("PanopticFPN", 81, 53), r"ROI_HEADS\.NUM_CLASSES is 81"),
        (PANOPTIC, ("GeneralizedRCNN", 80, 54, 11), None),
        *(
            (
                PANOPTIC,
                (architecture, 80, 54, 11),
                rf"IGNORE_VALUE is 11, .* value 255 in the data set '{PANOPTIC}'\. Set MODEL",
            )
            for architecture in ("SemanticSegmentor", "PointRendSemanticSegmentor", "PanopticFPN")
        ),
        (None, ("RetinaNet", 80, 54), None),
        (
            None,
            ("GeneralizedRCNN", 80, 54),
            r"MODEL\.ROI_HEADS\.NUM_CLASSES is 80.*test_set_0.*' has 2 classes \(star, gear\)",
        ),
    ],
)
def test_numbers_of_classes(cfg, coco, name, model, message):
    head = cfg.MODEL.SEM_SEG_HEAD
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.ROI_HEADS.NUM_CLASSES, head.NUM_CLASSES, *ignored = model
    head.IGNORE_VALUE = ignored[0] if ignored else 255
    with raising(ValueError, message):
        check_num_classes(cfg, [name or coco().name])


def test_different_class_lists(cfg, coco):
    first = coco()
    second = coco(categories=[{"id": 1, "name": "gear"}, {"id": 2, "name": "star"}])
    message = r"2 classes \(star, gear\) against 2 classes \(gear, star\)"
    with pytest.raises(ValueError, match=rf"'{first.name}' and '{second.name}' .* {message}"):
        check_num_classes(cfg, [first.name, second.name])
