"""What the page draws, and what belongs to each pixel of it."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.prediction import Panoptic, Prediction
from pointrend_ext.inspection.stages import Stage
from pointrend_ext.serving import view as module
from pointrend_ext.serving.session import Seen
from pointrend_ext.serving.view import view_of
from pointrend_ext.structures.classes import Classes

INFO = Classes(things=("cat", "dog"), stuff=("sky", "grass", "road"))
BOXES = np.array([[10, 10, 70, 50], [40, 20, 60, 40]], np.float32)  # the second inside the first


def prediction(size_hw=(60, 80), scale=1):
    masks = PastedMasks(np.ones((2, 8, 8)), BOXES * scale, size_hw)
    fields = {"scores": np.array([0.9, 0.4], np.float32), "classes": np.array([1, 0])}
    image = np.full((*size_hw, 3), 200, np.uint8)
    return Prediction(image, "a.png", INFO, BOXES * scale, masks=masks, **fields)


@pytest.fixture(autouse=True)
def _as_small_as_it_is(monkeypatch):
    monkeypatch.setattr(module, "SHOWN_PX", (1, 1600))


def seen(shown, points=(), owners=()):
    empty = Stage("coarse", shown, np.zeros((0, 2)), np.zeros(0), np.zeros(0, int))
    points = np.reshape(points, (-1, 2))
    last = Stage("step 1", shown, points, np.arange(len(points)), np.array(owners, int))
    return Seen("a.png", [empty, last])


def test_what_belongs_to_a_pixel():
    view = view_of(seen(prediction()), 1)
    assert view.labels == ["dog, score 0.90", "cat, score 0.40"]
    assert view.title == "step 1 - 2 objects"
    assert view.numbers[5, 5] == 0
    assert view.numbers[15, 15] == 1
    assert view.numbers[30, 50] == 2  # the smaller one is on top
    large, small = np.asarray(prediction().masks)
    np.testing.assert_array_equal(view.numbers, np.where(small, 2, large))
    assert view_of(seen(prediction()), 0).title == "coarse - 2 objects"
    assert view_of(seen(prediction()), 9).title == "step 1 - 2 objects"
    assert view_of(seen(prediction()), -1).title == "coarse - 2 objects"


def test_weak_objects_go_with_their_points_and_others_keep_their_colours():
    both = seen(prediction(), [[0.3, 0.5], [0.6, 0.5]], [0, 1])
    all_, strong, none = (view_of(both, 1, min_score=x, points=True) for x in (0, 0.5, 1))
    assert strong.labels == ["dog, score 0.90"]
    assert strong.title == "step 1 - 1 of 2 objects"
    assert strong.numbers[30, 50] == 1
    np.testing.assert_array_equal(strong.picture[40:45, 12:18], all_.picture[40:45, 12:18])
    assert none.labels == []
    np.testing.assert_array_equal(none.picture, prediction().image)


def test_points_are_drawn_where_they_lie():
    points = [[0.25, 0.5], [0.9, 0.9]]
    both = seen(prediction(), points, [0, -1])
    changed = (view_of(both, 1, points=True).picture != view_of(both, 1).picture).any(2)
    rows, columns = np.nonzero(changed)
    for x, y in ((20, 30), (72, 54)):
        near = (np.abs(rows + 0.5 - y) < 4) & (np.abs(columns + 0.5 - x) < 4)
        assert near.any()
        assert abs((columns[near] + 0.5).mean() - x) < 0.3
        assert abs((rows[near] + 0.5).mean() - y) < 0.3
        rows, columns = rows[~near], columns[~near]
    assert len(rows) == 0


def test_a_large_picture_is_shown_in_the_size_of_a_screen(monkeypatch):
    monkeypatch.setattr(module, "SHOWN_PX", (1, 160))
    view = view_of(seen(prediction((240, 320), 4)), 1)
    assert view.picture.shape == (120, 160, 3)
    small = view_of(seen(prediction()), 1)
    assert (view.numbers[1::2, 1::2] != small.numbers).mean() < 0.01  # corners are round
    labels = np.zeros((240, 320), np.uint8)
    labels[100:, 200:] = 2
    image = np.zeros((240, 320, 3), np.uint8)
    view = view_of(seen(Prediction(image, "", INFO, label_map=labels)), 1)
    assert view.numbers[49, 150] == view.numbers[70, 99] == 1
    assert view.numbers[50, 100] == 2
    assert view.labels == ["sky", "road"]


def test_a_small_picture_is_enlarged_with_its_points_where_they_were(monkeypatch):
    small = view_of(seen(prediction(), [[0.25, 0.5]], [0]), 1)
    monkeypatch.setattr(module, "SHOWN_PX", (1000, 1600))
    both = seen(prediction(), [[0.25, 0.5]], [0])
    view, with_points = view_of(both, 1), view_of(both, 1, points=True)
    assert view.picture.shape == (750, 1000, 3)
    places = np.ix_(np.arange(60) * 25 // 2 + 6, np.arange(80) * 25 // 2 + 6)
    assert (view.numbers[places] != small.numbers).mean() < 0.01
    rows, columns = np.nonzero((with_points.picture != view.picture).any(2))
    assert abs(columns.mean() + 0.5 - 250) < 1
    assert abs(rows.mean() + 0.5 - 375) < 1


def test_maps_and_segments():
    labels = np.zeros((60, 80), np.uint8)
    labels[:, 40:] = 2
    labels[:5] = 255  # of classes that were taken out
    view = view_of(seen(Prediction(prediction().image, "", INFO, label_map=labels)), 1)
    assert view.labels == ["sky", "road"]
    assert (view.numbers[2, 2], view.numbers[30, 10], view.numbers[30, 70]) == (0, 1, 2)
    segments = [
        {"id": 7, "category_id": 0, "isthing": True, "score": 0.75},
        {"id": 9, "category_id": 1, "isthing": False},
    ]
    ids = np.where(labels == 2, 9, 7).astype(np.int32)
    whole = replace(prediction(), panoptic=Panoptic(ids, segments))
    view = view_of(seen(whole), 1)
    assert view.labels == ["cat, score 0.75", "grass"]
    assert view.title == "step 1 - 2 segments"
    assert view.numbers[30, 70] == 2


@pytest.mark.parametrize("boxes", [0, 300])
def test_a_browser_gets_the_same(boxes):
    shown = prediction().filter(min_score=1) if boxes == 0 else prediction()
    view = view_of(seen(shown), 1)
    view.numbers[0, :] = boxes  # more than a byte holds
    sent = view.to_browser()
    kind, data = sent["numbers"].split(",")
    assert kind == "data:image/png;base64"
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    np.testing.assert_array_equal(pixels[..., 0] + 256 * pixels[..., 1], view.numbers)
    kind, data = sent["picture"].split(",")
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    assert np.abs(picture - view.picture).mean() < 3
    assert sent["labels"] == view.labels
