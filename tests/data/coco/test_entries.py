"""Images and categories of an annotation file."""

import pytest

from pointrend_ext.data.coco import causes
from pointrend_ext.data.coco.entries import check_categories, check_images, check_lists
from pointrend_ext.data.findings import Findings


def image(**changes):
    return {"id": 1, "file_name": "a.jpg", "height": 40, "width": 60, **changes}


def test_good_images_are_not_touched():
    images, findings = [image(), image(id="b", file_name="b.jpg"), {"id": -3, **SIZE}], Findings()
    before = [dict(entry) for entry in images]
    assert check_images(images, findings) == {1: (40, 60), "b": (40, 60), -3: (7, 9)}
    assert images == before
    assert findings.counts == {}


SIZE = {"height": 7, "width": 9}


def test_sizes_and_ids_in_floats_become_whole():
    images, findings = [image(height=40.0, width=60, id=3.0)], Findings(0, others={"images": 1})
    assert check_images(images, findings) == {3: (40, 60)}
    assert [type(images[0][key]) for key in ("id", "height", "width")] == [int, int, int]
    assert findings.lines() == [
        "1 of 1 (100.0%) changed: images whose size is written as 160.0, read as 160; "
        "first: image 3"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 40.5}, "image 1 has height 40.5, not a whole number above 0"),
        ({"width": "60"}, "image 1 has width '60', not a whole"),
        ({"width": 0}, "image 1 has width 0, not a whole"),
        ({"height": -40}, "height -40"),
        ({"height": None}, "height None"),
        ({"height": True}, "height True"),
        ({"id": None}, "image number 0 has id None, not a whole number or text"),
        ({"id": 10**4000}, r"image number 0 has id 10{59}, of more than 64 bits"),
        ({"id": 1e308}, "of more than 64 bits"),
        ({"height": float("inf")}, "image 1 has height inf, not a whole"),
        ({"height": 10**4000}, r"image 1 has 10{19} x 60 pixels .* correct it, or cut it"),
        ({"width": 2**30}, "image 1 has 40 x 1073741824 pixels .* more than 1073741824 are not"),
        ({"id": [1]}, r"image number 0 has id \[1\], not"),
        ({"id": 1.5}, "id 1.5"),
        ({"file_name": 7}, "image 1 has file_name 7, not a text"),
    ],
)
def test_bad_images(changes, message):
    with pytest.raises(ValueError, match=message):
        check_images([image(**changes)], Findings())


@pytest.mark.parametrize("key", ["id", "height", "width"])
def test_keys_that_are_needed(key):
    entry = image()
    del entry[key]
    with pytest.raises(ValueError, match=f"image .* has no '{key}'"):
        check_images([entry], Findings())


def test_one_picture_listed_three_times():
    findings = Findings()
    check_images([image(id=i) for i in range(3)] + [image(id=9, file_name="b.jpg")], findings)
    assert findings.counts == {causes.REPEATED_FILE: 2}
    assert findings.first == {causes.REPEATED_FILE: "'a.jpg'"}


def test_names_become_texts_that_are_told_apart():
    categories = [
        {"id": 3, "name": "disc"},
        {"id": 1, "name": "disc"},
        {"id": 2, "name": 7},
        {"id": "x", "name": "box"},
    ]
    findings = Findings()
    names = check_categories(categories, findings)
    assert list(names.items()) == [(1, "disc (1)"), (2, "7"), (3, "disc (3)"), ("x", "box")]
    assert findings.counts == {causes.REPEATED_NAME: 2, causes.NAME_AS_NUMBER: 1}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", None], "category 2 has name None, not a text"),
        (["a", " "], "category 2 has name ' ', not a text"),
        (["a", True], "category 2 has name True"),
        (["a", "a", "a (1)"], r"two categories are called 'a \(1\)': rename"),
    ],
)
def test_bad_names(names, message):
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    with pytest.raises(ValueError, match=message):
        check_categories(categories, Findings())
    with pytest.raises(ValueError, match="category 1 has no 'name'"):
        check_categories([{"id": 1}], Findings())
    with pytest.raises(ValueError, match="the category id 1 occurs more than once"):
        check_categories([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], Findings())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [1], "categories": []}, "list of image entries is not a list of dicts"),
        ({"images": {}, "categories": []}, "list of image entries is not a list of dicts"),
        ({"images": [image()], "categories": []}, "no category entry"),
        (
            {"images": [image()], "categories": [{}], "annotations": [None]},
            "list of annotation entries is not a list of dicts",
        ),
        ({"images": [image()], "categories": [{}], "annotations": None}, "annotation entries"),
    ],
)
def test_lists(content, message):
    with pytest.raises(ValueError, match=message):
        check_lists(content)
