"""Results files: what is accepted, and that every mistake is named with file and entry."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools import mask as mask_util

from pointrend_ext.data.findings import Findings
from pointrend_ext.evaluation.coco_ap import coco_precision
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_file import (
    BOX_FROM_MASK,
    contiguous_class_ids,
    load_results,
    tasks_of,
)
from tests.toy_instances import ap


@pytest.fixture
def truth(instances):
    mask = np.zeros((20, 30), np.uint8)
    mask[5:10, 5:25] = 1
    return instances.truth([(20, 30), (30, 20)], [(0, 0, mask, False)], ("cat", "dog"))


@pytest.fixture
def good(instances):
    first, second = np.zeros((20, 30)), np.zeros((30, 20))
    first[5:10, 5:20] = second[:4] = 1
    return [instances.prediction(0, 0, first, 0.75), instances.prediction(1, 1, second, 1)]


def test_good_file(truth, good, write_json):
    results = load_results(write_json(good), truth)
    assert results == good
    assert tasks_of(results) == ("bbox", "segm")
    assert ap(coco_precision(truth, results, "segm")) == pytest.approx(60)


def test_uncompressed_masks_are_compressed(truth, good, write_json):
    mask = mask_util.decode(good[0]["segmentation"])
    runs = [5 * 20 + 5, *[5, 15] * 14, 5, 10 * 20 + 10]  # column by column
    uncompressed = copy.deepcopy(good)
    uncompressed[0]["segmentation"] = {"size": [20, 30], "counts": runs}
    results = load_results(write_json(uncompressed), truth)
    np.testing.assert_array_equal(mask_util.decode(results[0]["segmentation"]), mask)


def test_boxes_alone_and_masks_alone(truth, good, write_json):
    boxes, masks = (
        [{k: v for k, v in g.items() if k != unused} for g in good]
        for unused in ("segmentation", "bbox")
    )
    for predictions, tasks in ((boxes, ("bbox",)), (masks, ("segm",)), ([], ())):
        results = load_results(write_json(predictions), truth)
        assert results == predictions
        assert tasks_of(results) == tasks
    with pytest.raises(ValueError, match=r"entry 0 .*its segmentation None is not"):
        load_results(write_json(boxes), truth, ("bbox", "boundary"))
    some = r"file\.json': 1 of 2 predictions have no segmentation, such as entry 1, .*metrics bbox"
    with pytest.raises(ValueError, match=some):
        load_results(write_json([good[0], boxes[1]]), truth)
    assert load_results(write_json([good[0], boxes[1]]), truth, ("bbox",)) == [good[0], boxes[1]]
    neither = {**boxes[0], "bbox": []}
    with pytest.raises(ValueError, match=r"1 of 3 .*neither bbox nor segm.*entry 2: remove"):
        load_results(write_json([*boxes, neither]), truth)


@pytest.mark.parametrize("order", [1, -1])
def test_whether_there_are_masks_is_not_decided_by_the_first(truth, good, write_json, order):
    without = {**good[1], "segmentation": None}
    with pytest.raises(ValueError, match="1 of 2 predictions have no segmentation"):
        tasks_of([good[0], without][::order])


@pytest.mark.parametrize("absent", [None, [], GONE := object()])
def test_a_missing_box_is_that_of_the_mask(truth, good, write_json, absent):
    masks = [good[0], {**good[1], "bbox": absent}]
    masks[1] = {k: v for k, v in masks[1].items() if v is not GONE}
    assert tasks_of(masks) == ("bbox", "segm")
    for tasks in (None, ("bbox",)):
        found = Findings()
        assert load_results(write_json(masks), truth, tasks, found) == good
        assert found.counts == {BOX_FROM_MASK: 1}
        assert found.first == {BOX_FROM_MASK: "entry 1 (image_id 2)"}
    # Where no prediction has one, boxes are scored only if they are asked for.
    none = [{k: v for k, v in g.items() if k != "bbox"} for g in good]
    assert tasks_of(none) == ("segm",)
    found = Findings()
    assert load_results(write_json(none), truth, ("bbox",), found) == good
    assert found.counts == {BOX_FROM_MASK: 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 77}, r"image_id 77 is not among the 2 of 'by hand' \(1, 2\)"),
        ({"image_id": "1"}, r"image_id '1' \(it is text: .*without quotes\) is not among"),
        ({"image_id": True}, "image_id True is not among"),
        ({"image_id": 1.0}, r"image_id 1\.0 \(write 1\) is not among"),
        ({"category_id": "1"}, r"category_id '1' \(it is text"),
        ({"score": "0.5"}, r"score '0\.5' \(it is text.* is not a finite number"),
        ({"image_id": [1]}, r"image_id \[1\] is not among"),
        ({"category_id": 0}, r"category_id 0 is not among the 2 of 'by hand' \(1, 2\)"),
        ({"category_id": None}, "category_id None is not among"),
        ({"score": float("nan")}, "score nan is not a finite number"),
        ({"score": 10**4000}, "0 is not a finite number"),
        ({"bbox": [1, 2, 10**4000, 4]}, "is not 4 numbers"),
        ({"score": "high"}, "score 'high' is not"),
        ({"score": GONE}, "its score None is not"),
        ({"image_id": GONE}, "its image_id None is not among"),
        ({"bbox": [1, 2, 3]}, r"bbox \[1, 2, 3\] is not 4 numbers"),
        ({"bbox": [1, 2, float("inf"), 3]}, "not 4 numbers"),
        ({"bbox": [9, 9, -3, 3]}, "of no negative size"),
        ({"segmentation": [[0, 0, 5, 0, 5, 5]]}, "segmentation .* is not a run-length mask {"),
        ({"segmentation": {"size": [20, 30]}}, r"width\) \(20, 30\), the image \(30, 20\)"),
        ({"segmentation": {"size": 5}}, r"\(height, width\) 5, the image \(30, 20\)"),
        ({"segmentation": {"counts": "\u00e9"}}, "not in COCO's compressed format"),
        ({"segmentation": {"counts": [5, 5]}}, "add up to 10, not to the 600 pixels"),
        ({"segmentation": {"counts": None}}, "counts of the run-length mask are None, neither"),
        ({"segmentation": {"counts": GONE}}, "not 'size' and 'counts'"),
    ],
)
def test_bad_entries(truth, good, write_json, changes, message):
    if isinstance(mask := changes.get("segmentation"), dict):
        mask = {**good[1]["segmentation"], **mask}
        changes = {"segmentation": {k: v for k, v in mask.items() if v is not GONE}}
    good[1] = {k: v for k, v in {**good[1], **changes}.items() if v is not GONE}
    path = write_json(good, "mine.json")
    with pytest.raises(ValueError, match=rf"Results file '.*mine\.json': entry 1.*{message}"):
        load_results(path, truth)


def test_how_many_are_wrong_is_said(truth, good, write_json):
    other = [{**good[n % 2], "image_id": 50 + n} for n in range(5)]
    with pytest.raises(ValueError, match=r"entry 2 \(image_id 50\).*so it is with 5 of 7 predict"):
        load_results(write_json([*good, *other]), truth)
    for image in truth.dataset["images"]:
        image["id"] = str(image["id"])
    words = CocoTruth(truth.dataset, "words")
    with pytest.raises(ValueError, match=r"image_id 1 \(there it is text: '1'\) is not among"):
        load_results(write_json(good), words)


def test_a_byte_order_mark_is_no_mistake(truth, good, tmp_path):
    path = tmp_path / "marked.json"
    path.write_text(json.dumps(good), encoding="utf-8-sig")
    assert load_results(path, truth) == good


def test_truncated_counts(truth, good, write_json):
    counts = good[0]["segmentation"]["counts"]
    cut = r"entry 0 \(image_id 1\): the (run lengths.* add up to|counts.* are not in COCO's)"
    for length in range(len(counts)):
        good[0]["segmentation"]["counts"] = counts[:length]
        with pytest.raises(ValueError, match=cut):
            load_results(write_json(good), truth)


def test_bad_files(truth, good, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        load_results(tmp_path / "gone.json", truth)
    path = tmp_path / "bad.json"
    for content, message in (
        (json.dumps(good).encode()[:-20], " is not valid JSON: .*ends in the middle"),
        (b"\xff\xfe\x00", " is not valid JSON"),
        (b"{}", " is not a list of predictions, but '{}'"),
        (b"[{}, [1, 2]]", r": entry 1 is no prediction, but \[1, 2\]"),
        (json.dumps(good).encode()[:-1] + b', {"score": 1, "score": 0}]', ": the key 'score' is"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^Results file '.*bad\.json'{message}"):
            load_results(path, truth)


def test_ground_truth_files(truth, write_json, tmp_path):
    loaded = CocoTruth.load(write_json(truth.dataset, "truth.json"))
    assert loaded.sizes_hw == {1: (20, 30), 2: (30, 20)}
    assert loaded.class_names == {1: "cat", 2: "dog"}
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        CocoTruth.load(tmp_path / "gone.json")
    with pytest.raises(ValueError, match=r"dict with 'images', 'annotations' and 'categories'"):
        CocoTruth.load(write_json([], "list.json"))
    test_set = {k: v for k, v in truth.dataset.items() if k != "annotations"}
    with pytest.raises(ValueError, match=r"test\.json' has no 'annotations' \(a test set\?\)"):
        CocoTruth.load(write_json(test_set, "test.json"))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"evaluator_type": "lvis"}, {1: 0, 2: 1, 7: 6}),  # as LVIS's records have them
        ({"evaluator_type": "cityscapes_instance"}, {1: 0, 2: 1, 7: 2}),
        ({"evaluator_type": "coco"}, {1: 1, 2: 2, 7: 7}),
        ({"evaluator_type": "lvis", "thing_dataset_id_to_contiguous_id": {7: 3}}, {7: 3}),
    ],
)
def test_numbers_of_classes(metadata, expected):
    with_gap = SimpleNamespace(class_names={1: "a", 2: "b", 7: "g"})
    assert contiguous_class_ids(metadata, with_gap) == expected
