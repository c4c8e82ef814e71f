"""Whole annotation files: ids, layouts of boxes, what is remembered and what is let go."""

import copy
import json

import pytest

from pointrend_ext.data.coco import (
    causes,
    check_records,
    read_coco_file,
    release_coco_files,
    summarize_coco_file,
)
from pointrend_ext.data.coco import file as coco_file
from tests.data.builders import annotation, square, target, without

BOXES = [(3, 4, 20, 9), (30, 10, 12, 22), (8, 21, 40, 15), (1, 1, 6, 30), (22, 3, 9, 9)]


@pytest.fixture
def write(tmp_path):
    def write(annotations, **changes):
        content = {
            "images": [
                {"id": i, "file_name": f"{i}.jpg", "height": 40, "width": 60} for i in (1, 2)
            ],
            "categories": [{"id": 1, "name": "star"}],
            "annotations": [{"id": i, **a} for i, a in enumerate(annotations, start=1)],
            **changes,
        }
        path = tmp_path / "a.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def objects(boxes=BOXES, change=lambda x, y, w, h: [x, y, w, h]):
    polygons = [square(x, y, x + w, y + h) for x, y, w, h in boxes]
    return [
        annotation(bbox=change(*box), segmentation=[polygon], area=50)
        for box, polygon in zip(boxes, polygons, strict=True)
    ]


def test_a_clean_file_is_kept_as_it_is(write):
    file = read_coco_file(write(objects()))
    assert file.annotations == [{"id": i, **a} for i, a in enumerate(objects(), start=1)]
    assert file.summary.findings.counts == {}
    assert (file.summary.num_annotations, file.summary.class_names) == (5, ("star",))
    assert file.sizes_hw == {1: (40, 60), 2: (40, 60)}


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda x, y, w, h: [x, y, x + w, y + h], r"x0, y0, x1, y1 \(corners\)"),
        (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], "centre x, centre y, width, height"),
        (lambda x, y, w, h: [y, x, h, w], "rows first"),
        (lambda x, y, w, h: [10 * x / 6, 2.5 * y, 10 * w / 6, 2.5 * h], "per cent of the image"),
    ],
)
def test_boxes_of_another_layout(write, change, phrase):
    with pytest.raises(
        ValueError, match=rf"bbox \[.*\] of annotation \d is .*look like .*{phrase}"
    ):
        read_coco_file(write(objects(change=change)))


def test_few_or_unexplained_differences_are_noted(write):
    other = objects()
    other[2]["bbox"] = [8, 10, 40, 15]
    found = summarize_coco_file(write(other)).findings
    assert found.counts == {causes.UNLIKE_MASK: 1}
    assert found.first == {causes.UNLIKE_MASK: "annotation 3 of image 1"}


def test_masks_in_shares_beside_boxes_in_pixels(write):
    entries = objects()
    for entry in entries:
        (polygon,) = entry["segmentation"]
        entry["segmentation"] = [[v / (60, 40)[k % 2] for k, v in enumerate(polygon)]]
    with pytest.raises(ValueError, match="the masks look like shares of the image, the boxes like"):
        read_coco_file(write(entries))


@pytest.mark.parametrize("is_box", [True, False])
def test_x_and_y_exchanged_in_either(write, is_box):
    """Which of the two is wrong cannot be told: both are named."""
    entries = objects([(x, y, w, h) for x, y, w, h in BOXES if x + w < 40])
    for entry in entries:
        (polygon,), (x, y, w, h) = entry["segmentation"], entry["bbox"]
        if is_box:
            entry["bbox"] = [y, x, h, w]
        else:
            entry["segmentation"] = [[polygon[k ^ 1] for k in range(len(polygon))]]
    with pytest.raises(ValueError, match=r"boxes look like y, x, .*, or x and y of the masks are"):
        read_coco_file(write(entries))


@pytest.mark.parametrize(
    ("runs_of", "message"),
    [
        (lambda x, y, w, h: [y * 60 + x, *[w, 60 - w] * (h - 1), w], "go along the rows"),
        (lambda x, y, w, h: [0, x * 40 + y, *[h, 40 - h] * (w - 1), h], "be those of the backgr"),
    ],
)
def test_run_lengths_of_another_order_or_of_the_background(write, runs_of, message):
    entries = []
    for box in BOXES:
        runs = runs_of(*box)
        mask = {"size": [40, 60], "counts": [*runs, 2400 - sum(runs)]}
        entries.append(annotation(bbox=list(box), area=50, segmentation=mask))
    with pytest.raises(ValueError, match=f"run lengths seem to {message}"):
        read_coco_file(write(entries))


def test_objects_listed_twice(write):
    """Equal but for ids; another class, image, box or mask makes another object."""
    others = [{"category_id": 2}, {"image_id": 2}, {"bbox": [10, 5, 20, 21]}]
    others += [{"segmentation": [square(11, 5)]}, {"segmentation": None}]
    entries = [annotation(**change) for change in [{}, *others, {}, *others[-1:], {}]]
    entries += [annotation(iscrowd=1)] * 2  # does no harm
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    found = summarize_coco_file(write(entries, categories=categories)).findings
    assert found.counts[causes.TWICE] == 3
    assert found.first[causes.TWICE] == "annotation 7 of image 1"
    records = [
        {"file_name": name, "height": 40, "width": 60, "annotations": [target(), target()][:number]}
        for number, name in enumerate("abc")
    ]
    _, found = check_records(records)
    assert found.counts == {causes.TWICE: 1}
    assert found.first == {causes.TWICE: "annotation 1 of 'c'"}


def test_ids_of_any_kind(write):
    ids = [0, -5, "a", 2.5, None]
    file = read_coco_file(write([{**a, "id": i} for a, i in zip(objects(), ids, strict=True)]))
    assert [a["id"] for a in file.annotations] == [0, -5, "a", 2.5, "number 5"]
    assert file.summary.findings.counts == {causes.NO_ID: 1}
    with pytest.raises(ValueError, match=r"annotation number 1 has id \[1\]"):
        read_coco_file(write([{**annotation(), "id": [1]}]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": "1"}, r"category_id '1', .* \(1\): a number in quotes is a text"),
        (
            {"category_id": 5},
            r"category_id 5, which is not among the ids of 'categories' \(1\): cor",
        ),
        ({"category_id": [1]}, "annotation 1 "),
        ({"image_id": {"a": 1}}, "annotation 1 "),
        ({"bbox": [10**4000, 1, 5, 5]}, r"\.json' has a number of 309 digits or more"),
        (
            {"segmentation": [[10**4000, 1, 5, 5, 9, 9]]},
            r"annotation 1 has a segmentation with 10{59} where a finite",
        ),
        ({"category_id": 10**4000}, r"annotation 1 has category_id 10{59}, which is not"),
    ],
)
def test_bad_references(write, changes, message):
    with pytest.raises(ValueError, match=message):
        read_coco_file(write([annotation(**changes)]))


def test_annotations_of_no_image_are_left_out_and_counted(write):
    wrong = [annotation(image_id=i, area=400) for i in ("2", 7, 2)]
    file = read_coco_file(write(wrong))
    assert [a["image_id"] for a in file.annotations] == [2]
    assert file.summary.findings.counts == {causes.IMAGE_ID_AS_TEXT: 1, causes.UNKNOWN_IMAGE: 1}


def test_one_content_for_all_and_none_when_nobody_holds_it(write):
    path = write(objects())
    file = read_coco_file(path)
    assert read_coco_file(path) is file
    assert summarize_coco_file(path) is file.summary
    del file
    assert path not in coco_file._alive
    assert summarize_coco_file(path).num_annotations == 5  # from memory
    assert path not in coco_file._alive
    summarize_coco_file(path, keep=True)
    assert path in coco_file._alive
    release_coco_files(but=[path])
    assert path in coco_file._alive
    release_coco_files()
    assert path not in coco_file._alive
    write(objects()[:2])
    assert summarize_coco_file(path).num_annotations == 2


def test_the_second_check_of_a_large_file_is_the_first(write, monkeypatch, tmp_path):
    monkeypatch.setattr(coco_file, "_CACHED_FROM", 5)
    monkeypatch.setenv("POINTREND_CACHE", str(tmp_path / "cache"))
    mask = {"size": [40, 60], "counts": [100, 50, 2250]}
    entries = [
        *objects()[:3],
        annotation(iscrowd=1, area=50, segmentation=mask),
        annotation(bbox=[1, 2, 0, 4]),
        without(annotation(), "area", "bbox"),
        annotation(image_id=9),
        annotation(segmentation=square(), area=7, iscrowd=None),
    ]
    path = write(entries)
    first = read_coco_file(path)
    expected, found = copy.deepcopy(first.annotations), first.summary.findings
    checked = []
    check = coco_file.check_annotation
    monkeypatch.setattr(
        coco_file, "check_annotation", lambda *args: checked.append(1) or check(*args)
    )
    del first
    second = read_coco_file(path)
    assert second.annotations == expected
    assert second.summary.findings == found
    assert len(checked) == 4  # what needs no change is not looked at
    assert len(found.counts) == 9
