"""Records that one process of a machine reads for all of them."""

from unittest import mock

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from pointrend_ext.data import OrderedLoader, build_train_loader, check_datasets
from pointrend_ext.data import coco_dataset as registered
from pointrend_ext.data.coco import file as coco_file
from pointrend_ext.data.coco import share_summaries
from pointrend_ext.data.shared_records import SharedRecords
from pointrend_ext.engine import load_cfg
from tests.parallel import in_processes


def test_sizes_are_known_without_reading_the_records():
    records = SharedRecords([{"width": 4, "height": 3, "a": [1]}, {"width": 5, "height": 6}])
    assert records.sizes.tolist() == [[4, 3], [5, 6]]
    assert [*records] == [{"width": 4, "height": 3, "a": [1]}, {"width": 5, "height": 6}]
    assert SharedRecords([{"width": 4, "height": 3}, {"width": 5}]).sizes is None


def _load(json_file, pictures):
    """What a training finds, and how often this process has read the file and its function."""
    calls, name = {"file": 0, "function": 0}, "of a library"
    read = coco_file._read

    def counted(*args):
        calls["file"] += 1
        return read(*args)

    def own():
        calls["function"] += 1
        return [{"file_name": "a", "width": 4, "height": 3, "image_id": 1, "annotations": [BOX]}]

    registered.register_coco_instances(name, {}, json_file, pictures)
    DatasetCatalog.register("of a user", own)
    opts = ["MODEL.DEVICE", "cpu", "SOLVER.IMS_PER_BATCH", 6]
    cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml", [*opts, "DATASETS.TRAIN", (name,)])
    with mock.patch.object(coco_file, "_read", counted):
        if comm.get_local_rank() == 0:
            check_datasets(cfg, [name])
        share_summaries()
        loader = build_train_loader(cfg)
    cfg.DATASETS.TRAIN, cfg.MODEL.MASK_ON = ("of a user",), False
    cfg.INPUT.MIN_SIZE_TRAIN = (64,)
    users = build_train_loader(cfg)
    metadata = MetadataCatalog.get(name)
    return {
        "records": [*loader._records],
        "sizes": loader._records.sizes,
        "findings": {key: found.lines() for key, found in loader.mapper.drops.at_start.items()},
        "classes": (metadata.thing_classes, metadata.thing_dataset_id_to_contiguous_id),
        "user's": [*users._records],
    }, calls


BOX = {"bbox": [0, 0, 2, 2], "bbox_mode": 0, "category_id": 0}


def test_several_processes_read_a_file_once(own_catalogs, toy_root):
    """But for functions of the user's, which each process calls."""
    files = str(toy_root / "toy/annotations/instances_train.json"), str(toy_root / "toy/train")
    one, calls = _load(*files)
    assert calls == {"file": 1, "function": 1}
    assert len(one["records"]) > 4
    assert len(one["classes"][0]) == 6
    found = in_processes(3, _load, *files)
    assert [calls for _, calls in found] == [calls, calls | {"file": 0}, calls | {"file": 0}]
    for other, _ in found:
        assert torch.equal(other.pop("sizes"), one["sizes"])
        assert other == {key: value for key, value in one.items() if key != "sizes"}


def test_grouping_needs_sizes():
    with pytest.raises(ValueError, match="needs the width and height of every record"):
        OrderedLoader([{"id": 1}], dict, len, batch_size=1, seed=1)
