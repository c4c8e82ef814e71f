"""The mapper on good data: formats, values, semantics."""

import copy
import logging

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.structures import BitMasks, PolygonMasks, polygons_to_bitmask
from PIL import Image

from pointrend_ext.data import build_mapper
from pointrend_ext.data.coco import causes
from tests.data import builders
from tests.data.builders import crop, square, target
from tests.toy_instances import rle

SQUARE = np.zeros((40, 60), dtype=np.uint8)
SQUARE[5:25, 10:30] = 1
RLE = mask_util.encode(np.asfortranarray(SQUARE))
SHAPES = {
    "polygon": [square(10, 5, 30, 25)],
    "two polygons": [square(10, 5, 20, 25), square(20, 5, 30, 25)],
    "rle": RLE,
    "rle as text": rle(SQUARE),
    "uncompressed rle": {"size": [40, 60], "counts": [405, *[20] * 39, 1215]},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1, 2])
def test_every_mask_format_gives_the_same_bitmask(cfg, record, shape, scale):
    cfg.INPUT.MIN_SIZE_TRAIN = (40 * scale,)
    record["annotations"] = [target(segmentation=SHAPES[shape])]
    instances = build_mapper(cfg, is_train=True)(record)["instances"]
    expected = np.kron(SQUARE, np.ones((scale, scale))).astype(bool)
    assert isinstance(instances.gt_masks, BitMasks)
    torch.testing.assert_close(instances.gt_masks.tensor, torch.from_numpy(expected)[None])
    torch.testing.assert_close(
        instances.gt_boxes.tensor, torch.tensor([[10.0, 5.0, 30.0, 25.0]]) * scale
    )
    assert instances.gt_classes.tolist() == [0]


def test_integer_coordinates_are_not_cut_when_resizing(cfg, record):
    cfg.INPUT.MIN_SIZE_TRAIN = (50,)  # scale 1.25
    cfg.INPUT.MASK_FORMAT = "polygon"
    cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    record["annotations"] = [target()]
    instances = build_mapper(cfg, is_train=True)(record)["instances"]
    assert instances.gt_boxes.tensor.tolist() == [[12.5, 6.25, 37.5, 31.25]]
    assert instances.gt_masks.polygons[0][0].tolist() == square(12.5, 6.25, 37.5, 31.25)


@pytest.mark.parametrize("head", ["PointRendROIMaskHead", "ImplicitPointRendROIMaskHead"])
def test_pointrend_gets_bitmasks_whatever_the_config_says(cfg, record, caplog, head):
    cfg.MODEL.ROI_MASK_HEAD.NAME = head
    cfg.INPUT.MASK_FORMAT = "polygon"
    before = cfg.dump()
    with caplog.at_level(logging.INFO, logger="pointrend_ext"):
        mapper = build_mapper(cfg, is_train=True)
    (line,) = (message for message in caplog.messages if "INPUT.MASK_FORMAT" in message)
    assert head in line
    assert cfg.dump() == before
    record["annotations"] = [target()]
    assert isinstance(mapper(record)["instances"].gt_masks, BitMasks)
    cfg.INPUT.MASK_FORMAT = "bitmask"
    caplog.clear()
    build_mapper(cfg, is_train=True)
    assert "INPUT.MASK_FORMAT" not in caplog.text


@pytest.mark.parametrize(("format_", "kind"), [("polygon", PolygonMasks), ("bitmask", BitMasks)])
def test_other_heads_keep_their_format(cfg, record, format_, kind):
    cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    cfg.INPUT.MASK_FORMAT = format_
    mapper = build_mapper(cfg, is_train=True)
    record["annotations"] = [target()]
    assert isinstance(mapper(record)["instances"].gt_masks, kind)
    record["annotations"] = []
    assert isinstance(mapper(record)["instances"].gt_masks, kind)


def test_polygon_format_refuses_rle(cfg, record):
    cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    record["annotations"] = [target(segmentation=RLE)]
    with pytest.raises(ValueError, match="mask_format=='polygon' from the given annotations"):
        build_mapper(cfg, is_train=True)(record)


def test_crop_that_contains_nothing(cfg, record):
    crop(cfg, 4, 4)
    record["annotations"] = [target(segmentation=[square(56, 36, 60, 40)], bbox=[56, 36, 4, 4])]
    mapper = build_mapper(cfg, is_train=True)
    np.random.seed(0)  # noqa: NPY002
    instances = mapper(record)["instances"]
    assert len(instances) == 0
    assert instances.gt_masks.tensor.shape[0] == 0
    assert mapper.drops.counts() == {causes.OUT_OF_CROP: 1}
    record["annotations"] = []
    assert len(mapper(record)["instances"]) == 0


TRIANGLE = [[1.5, 2.5, 50.5, 7.5, 20.5, 35.5]]


def test_cropped_polygon_is_the_crop_of_the_drawn_polygon(cfg, record):
    crop(cfg, 24, 32)
    cfg.INPUT.MIN_SIZE_TRAIN = (24,)  # no resizing after the crop
    whole = polygons_to_bitmask([np.array(p) for p in TRIANGLE], 40, 60)
    record["annotations"] = [
        target(segmentation=mask, bbox=[1.5, 2.5, 49.0, 33.0]) for mask in (TRIANGLE, rle(whole))
    ]
    mapper = build_mapper(cfg, is_train=True)
    np.random.seed(0)  # noqa: NPY002
    for _ in range(20):
        instances = mapper(record)["instances"]
        polygon, mask = instances.gt_masks.tensor
        assert (polygon.shape, polygon.dtype) == ((24, 32), torch.bool)
        torch.testing.assert_close(polygon, mask)
        tight = instances.gt_masks.get_bounding_boxes()
        torch.testing.assert_close(instances.gt_boxes.tensor, tight.tensor)


@pytest.mark.parametrize("cropped", [False, True])
def test_equals_detectron2_on_clean_data(cfg, record, cropped):
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN = (50, 60, 70)
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    cfg.INPUT.CROP.ENABLED = cropped
    record["annotations"] = [
        target(segmentation=RLE, bbox=[10.0, 5.0, 20.0, 20.0]),
        # Often cropped away.
        target(segmentation=rle(np.ones((40, 60))), bbox=[0.0, 0.0, 2.0, 2.0]),
    ]
    if not cropped:  # Detectron2 crops polygons with shapely, which may be missing
        record["annotations"] += [
            target(segmentation=[square(10.0, 5.0, 30.0, 25.0)], bbox=[10.0, 5.0, 20.0, 20.0]),
            target(segmentation=TRIANGLE, bbox=[1.5, 2.5, 49.0, 33.0], category_id=0),
        ]
    ours, theirs = build_mapper(cfg, is_train=True), DatasetMapper(cfg, True)
    for seed in range(5):
        results = []
        for mapper in (ours, theirs):
            np.random.seed(seed)  # noqa: NPY002
            results.append(mapper(record))
        got, expected = results
        torch.testing.assert_close(got["image"], expected["image"])
        for name in ("gt_boxes", "gt_masks"):
            torch.testing.assert_close(
                got["instances"].get(name).tensor, expected["instances"].get(name).tensor
            )
        assert got["instances"].gt_classes.tolist() == expected["instances"].gt_classes.tolist()
        assert got.keys() == expected.keys()


def test_record_is_not_changed_and_inference_has_no_labels(cfg, record):
    record["annotations"] = [target()]
    before = copy.deepcopy(record)
    build_mapper(cfg, is_train=True)(record)
    result = build_mapper(cfg, is_train=False)(record)
    assert record == before
    assert result.keys() == {"file_name", "height", "width", "image_id", "image"}
    expected = np.asarray(Image.open(record["file_name"]))[:, :, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(result["image"].numpy(), expected)


@pytest.fixture
def semantic(cfg, record, tmp_path):
    """A semantic config and a record whose label map holds the column number, but 7 at (0, 0)."""
    builders.semantic(cfg, 60)
    labels = np.repeat(np.arange(60, dtype=np.uint8)[None], 40, axis=0)
    labels[0, 0] = 255
    Image.fromarray(labels).save(tmp_path / "one.png")
    record["sem_seg_file_name"] = str(tmp_path / "one.png")
    return cfg, record, labels


def test_semantic_labels(semantic):
    cfg, record, labels = semantic
    result = build_mapper(cfg, is_train=True)(record)
    assert result["sem_seg"].dtype == torch.int64
    np.testing.assert_array_equal(result["sem_seg"].numpy(), labels)
    assert "instances" not in result


def test_semantic_augmentation_is_used_for_semantic_models_alone(semantic):
    cfg, record, _ = semantic
    crop(cfg, 16, 24)
    cfg.INPUT.MIN_SIZE_TRAIN = (80,)
    for architecture in ("SemanticSegmentor", "PointRendSemanticSegmentor"):
        cfg.MODEL.META_ARCHITECTURE = architecture
        assert build_mapper(cfg, is_train=True)(record)["sem_seg"].shape == (16, 24)
    cfg.MODEL.META_ARCHITECTURE = "PanopticFPN"
    result = build_mapper(cfg, is_train=True)(record)
    assert result["sem_seg"].shape == (80, 120)  # cropped before it is resized
    assert len(result["instances"]) == 0


def test_label_map_with_ids_beyond_a_byte(semantic, tmp_path):
    cfg, record, labels = semantic
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 400
    cfg.INPUT.MIN_SIZE_TRAIN = (80,)
    wide = labels.astype(np.uint16)
    wide[0, 0] = 399
    Image.fromarray(wide).save(record["sem_seg_file_name"])
    got = build_mapper(cfg, is_train=True)(record)["sem_seg"].numpy()
    np.testing.assert_array_equal(got, np.kron(wide, np.ones((2, 2))))


def test_label_map_problems(semantic):
    cfg, record, labels = semantic
    mapper = build_mapper(cfg, is_train=True)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 59
    with pytest.raises(ValueError, match=r"one\.png' contains the values 59 \(40 pixels\)"):
        build_mapper(cfg, is_train=True)(record)
    Image.fromarray(labels[:20]).save(record["sem_seg_file_name"])
    with pytest.raises(ValueError, match=r"one\.png' has \(height, width\) \(20, 60\).*one\.jpg"):
        mapper(record)


@pytest.mark.parametrize("architecture", ["GeneralizedRCNN", "SemanticSegmentor"])
def test_same_seed_same_output(semantic, architecture):
    cfg, record, _ = semantic
    cfg.MODEL.META_ARCHITECTURE = architecture
    cfg.INPUT.MIN_SIZE_TRAIN = (40, 60, 80)
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.COLOR_AUG_SSD = True
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    mapper = build_mapper(cfg, is_train=True)
    results = []
    for seed in (11, 11, 12):
        np.random.seed(seed)  # noqa: NPY002
        results.append(torch.cat([mapper(record)["image"].flatten() for _ in range(3)]))
    torch.testing.assert_close(results[0], results[1])
    assert not torch.equal(results[0], results[2])
