"""Pictures of saved predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from pycocotools import mask as mask_util

from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.inspection import comparison
from pointrend_ext.visualization import read_image_rgb


@pytest.fixture
def records(toy_root):
    register_toy_datasets(toy_root)
    return DatasetCatalog.get("toy_val")


def results_file(path, records, names, *, score=0.9, shift=0):
    """Perfect predictions, or ones that are moved ``shift`` pixels to the right."""
    by_contiguous = list(names)
    entries = []
    for record in records:
        truth = comparison._truth(record, names)
        for mask, category_id in zip(truth.masks, truth.category_ids, strict=True):
            moved = np.roll(mask, shift, axis=1)
            rle = mask_util.encode(np.asfortranarray(moved.astype(np.uint8)))
            rle["counts"] = rle["counts"].decode()
            assert category_id in by_contiguous
            entry = {"image_id": record["image_id"], "category_id": category_id, "score": score}
            entries.append({**entry, "segmentation": rle})
    path.write_text(json.dumps(entries))
    return path


def test_pictures_show_images_that_both_models_understood(records, tmp_path):
    names = comparison._category_names("toy_val")
    assert list(names.items())[:2] == [(1, "star"), (2, "gear")]
    predictions = {
        "exact": results_file(tmp_path / "a.json", records, names),
        "moved": results_file(tmp_path / "b.json", records, names, shift=3),
    }
    written = comparison.write_comparisons(predictions, "toy_val", tmp_path / "out", num_pictures=2)
    assert 1 <= len(written) <= 2
    for path in written:
        record = next(r for r in records if path.stem in r["file_name"])
        picture = read_image_rgb(str(path))
        assert picture.shape[1] >= 3 * record["width"]
        assert picture.shape[0] > 1.5 * record["height"]  # the whole image and a zoom below


def test_weak_predictions_are_not_drawn(records, tmp_path):
    names = comparison._category_names("toy_val")
    predictions = {
        "strong": results_file(tmp_path / "a.json", records, names),
        "weak": results_file(tmp_path / "b.json", records, names, score=0.3),
    }
    assert comparison.write_comparisons(predictions, "toy_val", tmp_path / "out") == []


def test_categories_take_turns():
    found = [(1, 0.9, "a"), (1, 0.8, "b"), (2, 0.7, "c"), (2, 0.6, "d"), (1, 0.5, "e")]
    assert [entry[2] for entry in comparison._vary(found)] == ["a", "c", "b", "d", "e"]


def test_the_object_is_the_one_that_the_worse_model_found_best():
    def objects(*spans):
        masks = np.zeros((len(spans), 100, 400), dtype=bool)
        for mask, (start, stop) in zip(masks, spans, strict=True):
            mask[:, start:stop] = True
        return comparison._Objects(masks, [1] * len(spans), [""] * len(spans))

    truth = objects((0, 100), (200, 300), (390, 391))  # the last one is too small
    first = objects((0, 100), (200, 280), (390, 391))  # IoU 1, .8, 1
    second = objects((200, 290), (0, 60), (390, 391))  # IoU .6, .9, 1
    index, iou = comparison._found_by_all(truth, [first, second])
    assert (index, iou) == (1, pytest.approx(0.8))
    assert np.array_equal(second.match(truth.masks[1]), second.masks[0])
    assert comparison._found_by_all(truth, [first, objects()]) == (-1, 0.0)
