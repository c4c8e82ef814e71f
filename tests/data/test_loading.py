"""Loaders from end to end on tiny data sets: what comes out, and the bad-input list."""

import gc
import itertools
import logging

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.data import (
    build_mapper,
    build_test_loader,
    build_train_loader,
    load_dataset_dicts,
)
from pointrend_ext.data.coco import causes
from tests.data.builders import annotation, semantic, square, without

BOXED = without(annotation(), "segmentation")
PLAIN = ("MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead", "INPUT.MASK_FORMAT", "polygon")
RUNS = annotation(segmentation={"size": [40, 60], "counts": [500, 100, 1800]})


def train_items(cfg, data, mapper=None):
    """The first eight training items by image id."""
    cfg.DATASETS.TRAIN = (data.name,)
    batches = itertools.islice(build_train_loader(cfg, mapper), 8)
    return {item["image_id"]: item for batch in batches for item in batch}


def test_training_items(cfg, coco):
    items = train_items(cfg, coco([annotation(1), annotation(2, category_id=2), annotation(2)]))
    assert items.keys() == {1, 2}
    assert items[1]["image"].shape == (3, 40, 60)
    assert items[2]["instances"].gt_classes.tolist() == [1, 0]
    assert items[2]["instances"].gt_masks.tensor.sum(dim=(1, 2)).tolist() == [400, 400]


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("sampler", ["TrainingSampler", "RepeatFactorTrainingSampler"])
def test_samplers_and_batches(cfg, coco, grouping, sampler):
    data = coco([annotation(i) for i in (1, 2, 3)], num_images=3)
    cfg.DATASETS.TRAIN = (data.name,)
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = grouping
    cfg.DATALOADER.SAMPLER_TRAIN = sampler
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.5
    cfg.SOLVER.IMS_PER_BATCH = 2
    batches = list(itertools.islice(build_train_loader(cfg), 3))
    assert [len(batch) for batch in batches] == [2, 2, 2]
    assert {item["image_id"] for batch in batches for item in batch} == {1, 2, 3}


def test_data_set_is_read_once_and_the_config_is_not_changed(cfg, coco, monkeypatch):
    data = coco()
    calls = []
    load = DatasetCatalog[data.name]
    monkeypatch.setitem(DatasetCatalog.data, data.name, lambda: calls.append(1) or load())
    cfg.DATASETS.TRAIN = (data.name,)
    before = cfg.dump()
    next(iter(build_train_loader(cfg)))
    assert len(calls) == 1
    list(build_test_loader(cfg, data.name))
    assert len(calls) == 2
    assert cfg.dump() == before


def test_test_loader_goes_through_every_image_once(cfg, coco):
    data = coco([annotation(2)], num_images=3)
    cfg.INPUT.MIN_SIZE_TEST = 80
    batches = list(build_test_loader(cfg, data.name))
    assert [len(batch) for batch in batches] == [1, 1, 1]
    assert [batch[0]["image_id"] for batch in batches] == [1, 2, 3]
    assert all(batch[0]["image"].shape == (3, 80, 120) for batch in batches)
    assert all("instances" not in batch[0] for batch in batches)


@pytest.mark.parametrize(("filter_empty", "ids"), [(True, {1}), (False, {1, 2})])
def test_image_without_annotations(cfg, coco, filter_empty, ids):
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = filter_empty
    items = train_items(cfg, coco([annotation(1)]))
    assert items.keys() == ids
    if not filter_empty:
        assert len(items[2]["instances"]) == 0


def test_polygon_with_two_points(cfg, coco, caplog):
    data = coco(
        [
            annotation(1),
            annotation(1, category_id=2, segmentation=[[10, 5, 30, 25]]),
            annotation(2, category_id=2, segmentation=[[10, 5, 30, 25], square()]),
        ]
    )
    with caplog.at_level(logging.WARNING, logger="pointrend_ext"):
        items = train_items(cfg, data)
    assert items[1]["instances"].gt_classes.tolist() == [0]
    assert items[2]["instances"].gt_masks.tensor.sum() == 400
    (line,) = (m for m in caplog.messages if data.name in m)
    assert "2 of 3 (66.7%) left out: polygons of fewer than 3 points" in line
    assert "1 of 3 (33.3%) noted: objects without a mask" in line


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        ("missing", ValueError, r"1\.jpg' does not exist\. Copy it"),
        ("truncated", ValueError, r"Image '.*1\.jpg' is truncated"),
        ("truncated for a worker", ValueError, r"Image '.*1\.jpg' is truncated"),
        ("empty", ValueError, r"Image '.*1\.jpg' is .*\(0 bytes\)"),
        ("size", ValueError, r"1\.jpg. has 40 x 30 .* states 40 x 60"),
    ],
)
def test_damaged_image_is_named(cfg, coco, damage, error, message):
    data = coco(num_images=1)
    path = data.images / "1.jpg"
    if damage == "missing":
        path.unlink()
    elif damage == "size":
        Image.new("RGB", (30, 40)).save(path)
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 1500])
    cfg.DATASETS.TRAIN = (data.name,)
    with pytest.raises(error, match=message):
        next(iter(build_test_loader(cfg, data.name)))
    cfg.DATALOADER.NUM_WORKERS = int("worker" in damage)
    with pytest.raises(error, match=message):
        next(iter(build_train_loader(cfg)))
    gc.collect()  # torch takes 5 seconds to end a worker that raised; do not delay a later test


def test_workers_count_into_the_same_counter(cfg, coco):
    mapper = build_mapper(cfg, is_train=True)
    cfg.DATALOADER.NUM_WORKERS = 2
    data = coco(
        [annotation(1), annotation(1, iscrowd=1), annotation(2, bbox=[1, 1, 0, 0]), annotation(2)]
    )
    train_items(cfg, data, mapper)
    gc.collect()
    counts = mapper.drops.counts()
    assert counts.keys() == {causes.CROWD}  # the box was found before
    assert sum(counts.values()) >= 4


@pytest.mark.parametrize(
    ("annotations", "change", "message"),
    [
        ([annotation()], ("DATASETS.TRAIN", ()), r"DATASETS\.TRAIN is empty"),
        ([], (), r"test_set_0.*' has no image, or none with an annotation"),
        (
            [annotation(iscrowd=1)],
            (),
            r"has 1 annotations and no object .*: 1 of 1 .*noted: crowd",
        ),
        ([BOXED], (), r"no object .* masks with MODEL\.MASK_ON True: .* objects without a mask"),
        (
            [annotation(bbox=[0.2, 0.1, 0.4, 0.5], segmentation=[square(0.2, 0.1, 0.6, 0.6)])],
            (),
            r"no object to train on.*: 1 of 1 .* coordinates are shares of the image",
        ),
        (
            [annotation(), RUNS, RUNS],
            PLAIN,
            "2 of 3 masks as run le.*FORMAT bitmask",
        ),
        ([annotation()], ("MODEL.ROI_HEADS.NUM_CLASSES", 3), "CLASSES is 3, but .* has 2 classes"),
    ],
)
def test_what_cannot_be_trained_on(cfg, coco, annotations, change, message):
    data = coco(annotations)
    cfg.merge_from_list(["DATASETS.TRAIN", (data.name,), *change])
    with pytest.raises(ValueError, match=message):
        build_train_loader(cfg)
    if "CLASSES" in message:
        with pytest.raises(ValueError, match=message):
            build_test_loader(cfg, data.name)
    else:
        assert len(list(build_test_loader(cfg, data.name))) == 2


def test_boxes_alone(cfg, coco):
    cfg.MODEL.MASK_ON = False
    mapper = build_mapper(cfg, is_train=True)
    instances = train_items(cfg, coco([BOXED]), mapper)[1]["instances"]
    assert len(instances) == 1
    assert not instances.has("gt_masks")
    assert mapper.drops.counts() == {}


TARGET = {"category_id": 2, "bbox": [10, 5, 30, 25], "bbox_mode": 0, "segmentation": [square()]}


def bare(record):
    return [without(record, "annotations")]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda record: {}["no_such_key"], "' could not be loaded: KeyError: 'no_such_key'"),
        (lambda record: [], "' has no image"),
        (lambda record: [{**record, "annotations": [TARGET]}], "' has annot.* category_id 2 to 2"),
        (
            lambda record: [{**record, "annotations": [{**TARGET, "bbox": [9, 9, 1, 1]}]}],
            "' has 1 annotations and no object to train on.*left out: objects whose box has",
        ),
        (
            lambda record: [{**record, "annotations": [{**TARGET, "bbox_mode": 1}]}],
            r"' has boxes of another layout: the bbox \[10, 5, 30, 25\] .* look like x0, y0, x1",
        ),
        (
            lambda record: [{**record, "annotations": [TARGET, {**TARGET, "bbox": 5}]}],
            r"' has an annotation that cannot be used: annotation 1 of '.*' has bbox 5, not 4",
        ),
        (bare, "GeneralizedRCNN needs instance annotations"),
        (bare, "SemanticSegmentor needs label maps"),
    ],
)
def test_functions_of_the_user(cfg, record, function, message):
    DatasetCatalog.register("custom", lambda: function(record))
    if message.startswith("Semantic"):
        cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    with pytest.raises(ValueError, match=f"'custom.*{message}"):
        load_dataset_dicts(cfg, ["custom"], is_train=True)


def test_semantic_training(cfg, record, tmp_path):
    labels = np.zeros((40, 60), dtype=np.uint8)
    labels[:, 30:] = 1
    Image.fromarray(labels).save(tmp_path / "one.png")
    record = without(record, "annotations", "height", "width")  # as load_sem_seg leaves it
    record["sem_seg_file_name"] = str(tmp_path / "one.png")
    DatasetCatalog.register("custom", lambda: [record])
    MetadataCatalog.get("custom").stuff_classes = ["left", "right"]
    semantic(cfg, 2)
    cfg.DATASETS.TRAIN = ("custom",)
    item = next(iter(build_train_loader(cfg)))[0]
    torch.testing.assert_close(item["sem_seg"], torch.from_numpy(labels).long())
    assert (item["height"], item["width"]) == (40, 60)


def test_two_data_sets_are_joined(cfg, coco):
    first, second = coco([annotation(1)]), coco([annotation(1), annotation(2)])
    records = load_dataset_dicts(cfg, [first.name, second.name], is_train=True)
    assert len(records) == 3
    assert len({r["file_name"] for r in records}) == 3
