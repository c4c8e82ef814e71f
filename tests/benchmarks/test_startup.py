"""The benchmark of a start: fair and checked, on a file that is what it says."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import DatasetCatalog

from benchmarks import options, startup
from benchmarks.annotation_file import write_annotation_file, write_pictures
from benchmarks.startup import Start
from pointrend_ext.data import check_cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The data of five images, with a cache that is put back."""
    monkeypatch.setenv("POINTREND_CACHE", "")
    write_annotation_file(tmp_path / "annotations.json", 5)
    write_pictures(tmp_path / "pictures", 5)
    return tmp_path


def test_four_cases_that_demand_what_is_promised(tmp_path, monkeypatch):
    asked = []

    def data_folder(images):
        asked.append(images)
        return tmp_path

    monkeypatch.setattr("benchmarks.startup._data_folder", data_folder)
    _, cases = options.parse(startup, ["--scale", "0.1"])
    assert [(case.name, case.min_ratio) for case in cases] == [
        ("annotations, first", 0.77),
        ("annotations, second", 1.0),
        ("with pictures, first", 0.77),
        ("with pictures, second", 1.0),
    ]
    for case in cases:
        assert case.own_process
        assert not case.warm_memory
        assert list(case.build("cpu").run) == ["upstream", "ours"]
    assert asked == [11_800] * 4


@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize("is_second", [False, True])
def test_both_load_the_same_and_a_difference_is_seen(folder, monkeypatch, is_second, is_whole):
    start = Start(folder, is_second=is_second, is_whole=is_whole)
    for form in ("upstream", "ours"):
        start.prepare(form)
        assert len(getattr(start, form)()) == 5
    assert start.check({}).startswith("records are equal: 5 images, ")
    assert startup._NAME not in DatasetCatalog.list()
    records = start.upstream()
    records[0]["annotations"][0]["category_id"] += 1
    monkeypatch.setattr(start, "ours", lambda: records)
    with pytest.raises(AssertionError, match="differ from those of Detectron2"):
        start.check({})


def test_a_start_with_pictures_opens_them(folder):
    (folder / "pictures" / "000000000002.jpg").unlink()
    assert len(Start(folder, is_second=False, is_whole=False).ours()) == 5
    with pytest.raises(FileNotFoundError, match="000000000002"):
        Start(folder, is_second=False, is_whole=True).ours()


def test_a_second_start_finds_what_the_first_kept(folder, monkeypatch):
    def ours(self):
        key = "startup"
        known = check_cache.load_checked(key)
        check_cache.store_checked(key, (known or 0) + 1)
        return known

    monkeypatch.setattr(Start, "ours", ours)
    first = Start(folder, is_second=False, is_whole=False)
    second = Start(folder, is_second=True, is_whole=False)
    for _ in range(2):
        first.prepare("ours")
        assert first.ours() is None
        second.prepare("ours")
        assert second.ours() == 1


def test_the_first_start_of_another_process_may_not_fail(folder, monkeypatch):
    def ours(self):
        raise SystemExit(3)

    monkeypatch.setattr(Start, "ours", ours)
    with pytest.raises(RuntimeError, match="exit code 3"):
        Start(folder, is_second=True, is_whole=False).prepare("ours")


def test_data_are_removed_by_who_wrote_them(tmp_path, monkeypatch):
    at_exit = []
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("atexit.register", lambda *call, **more: at_exit.append((call, more)))
    written = startup._data_folder(3)
    assert startup._data_folder(3) == written
    assert len(list((written / "pictures").iterdir())) == 3
    ((remove, *arguments), more), *others = at_exit
    assert not others
    remove(*arguments, **more)
    assert list(tmp_path.iterdir()) == []


def test_files_are_reproducible_and_as_coco_is(tmp_path):
    for name in "ab":
        write_annotation_file(tmp_path / f"{name}.json", 400, seed=2)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    content = json.loads((tmp_path / "a.json").read_text())
    annotations = content["annotations"]
    assert len(annotations) / 400 == pytest.approx(7.3, abs=0.5)
    assert [a["id"] for a in annotations] == list(range(1, len(annotations) + 1))
    assert len({a["category_id"] for a in annotations}) == len(content["categories"]) == 80
    crowds = [a for a in annotations if a["iscrowd"]]
    assert len(crowds) / len(annotations) == pytest.approx(0.012, abs=0.006)
    for crowd in crowds:
        rle = mask_util.frPyObjects(crowd["segmentation"], 480, 640)
        assert mask_util.area(rle) == crowd["area"]
        assert mask_util.toBbox(rle).tolist() == crowd["bbox"]
    polygons = [p for a in annotations if not a["iscrowd"] for p in a["segmentation"]]
    points = np.array([len(p) // 2 for p in polygons])
    assert np.median(points) == pytest.approx(25, abs=4)
    assert points.max() > 100
    assert min(map(min, polygons)) >= 0
    for a in annotations[:200]:
        if not a["iscrowd"]:
            corners = np.concatenate([np.reshape(p, (-1, 2)) for p in a["segmentation"]])
            x, y, width, height = a["bbox"]
            expected = [*corners.min(axis=0), *corners.max(axis=0)]
            assert [x, y, x + width, y + height] == pytest.approx(expected, abs=0.03)
