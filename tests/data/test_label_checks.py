"""All label maps of a data set: counted, kept until a file changes, held against its classes."""

import logging
import os
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.data import build_train_loader, label_audit, register_semantic_folder
from pointrend_ext.data.label_audit import audit_label_maps
from pointrend_ext.data.label_checks import check_label_maps, fit_ignore_value, report_label_maps
from pointrend_ext.data.label_encoding import LabelEncoding
from tests.data.builders import semantic

CLASSES = ("sky", "sea", "sand")


@pytest.fixture
def maps(tmp_path):
    """A factory: writes label maps with their images; returns the two folders."""

    def write(*arrays, ending=".png"):
        folders = [tmp_path / name for name in ("images", "labels")]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        for index, labels in enumerate(arrays):
            height, width = labels.shape[:2]
            Image.new("RGB", (width, height)).save(folders[0] / f"{index}.jpg")
            Image.fromarray(labels).save(folders[1] / f"{index}{ending}")
        return folders

    return write


def numbers(*rows, dtype=np.uint8):
    return np.array(rows, dtype=dtype)


@pytest.fixture
def check(maps, cfg, caplog):
    """Check label maps as one training set; returns what is logged as a warning."""

    def run(arrays, classes=CLASSES, *, is_trained=True, ending=".png", **options):
        register_semantic_folder("mine", *maps(*arrays, ending=ending), classes, **options)
        semantic(cfg, len(classes))
        cfg.DATASETS.TRAIN = ("mine",) if is_trained else ()
        caplog.clear()
        with caplog.at_level(logging.INFO, "pointrend_ext"):
            check_label_maps(cfg, ["mine"])
        return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]

    return run


def test_the_table(check, caplog):
    arrays = [numbers([0, 1, 1, 255]), numbers([2, 2, 2, 2]), numbers([0, 0, 0, 1])]
    assert check(arrays) == []
    assert caplog.messages == [
        "mine: 3 label maps\n"
        "    in files  class      pixels  share  label maps\n"
        "           0  sky             4  33.3%           2\n"
        "           1  sea             3  25.0%           2\n"
        "           2  sand            4  33.3%           1\n"
        "         255  (ignored)       1   8.3%           1"
    ]


def test_long_tables_show_what_is_rare(cfg, maps):
    labels = numbers([*range(9), *range(4), 255])
    register_semantic_folder("mine", *maps(labels), [f"c{i}" for i in range(9)])
    semantic(cfg, 9)
    lines = report_label_maps(cfg, "mine").text(max_classes=3).splitlines()
    assert [line.split()[1] for line in lines[2:]] == ["c4", "c5", "c6", "(ignored)", "6"]
    assert lines[-1] == "    and 6 classes with more pixels"


def test_counts_agree_with_a_loop(maps, rng):
    arrays = [np.random.default_rng(i).integers(0, 9, (7 + i, 5)).astype(np.uint8) for i in (0, 1)]
    arrays.append(np.random.default_rng(2).integers(0, 900, (4, 6)).astype(np.uint16))
    images, labels = maps(*arrays)
    files = [[str(path) for path in sorted(folder.iterdir())] for folder in (labels, images)]
    for _ in range(2):  # the second time from the cache
        tally = audit_label_maps("x", *files, LabelEncoding.plain(9, 255))
        for value, found in tally.values.items():
            counts = [int((a == value).sum()) for a in arrays]
            assert found.pixels == sum(counts)
            assert found.maps == sum(map(bool, counts))
            assert found.first == files[0][next(i for i, n in enumerate(counts) if n)]
        assert sum(found.pixels for found in tally.values.values()) == sum(a.size for a in arrays)


def test_files_are_read_again_only_after_a_change(maps, monkeypatch):
    images, labels = maps(numbers([0, 1]), numbers([1, 1]))
    files = [[str(path) for path in sorted(folder.iterdir())] for folder in (labels, images)]
    read = []
    decode = label_audit.decode_label_map
    monkeypatch.setattr(
        label_audit, "decode_label_map", lambda file, enc: read.append(file) or decode(file, enc)
    )
    plain = LabelEncoding.plain(2, 255)
    for number in (2, 2):
        assert audit_label_maps("x", *files, plain).values[1].pixels == 3
        assert len(read) == number
    Image.fromarray(numbers([0, 0])).save(files[0][1])
    os.utime(files[0][1], ns=(1, 1))
    assert audit_label_maps("x", *files, plain).values[1].pixels == 1
    assert len(read) == 4
    colored = LabelEncoding((0, 1), 255, 255, ((0, 0, 0), (1, 1, 1)))
    audit_label_maps("x", *files, colored)  # files may have other meanings
    assert len(read) == 6


OTHER = numbers([0, 1, 2, 2])


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            [OTHER, numbers([0, 9, 9, 1])],
            {},
            r"set 'mine' has values .* neither a class \(0, 1, 2\) nor ignored \(255\): "
            r"9 \(2 pixels in 1 label maps\); first in '.*1\.png'\. If .* state 'ignore_value: 9'",
        ),
        (
            [OTHER, numbers([0, 9, 7, 1])],
            {},
            r"7 \(1 .* label maps\), 9 \(1 .*\. Correct the",
        ),
        ([numbers([1, 2, 3])], {}, r"run from 1 to 3, .* state 'values: \[1, 2, 3\]'"),
        ([numbers([0, 1, 2, 3])], {}, r"run from 0 to 3, .* or state 'ignore_value: 0'"),
        ([numbers([0, 128, 254])], {}, r"in their order, state 'values: \[0, 128, 254\]'"),
        (
            [numbers([0, 255]), numbers([0, 1]) > 0],
            {"classes": ("sky", "sea")},
            r"of one bit, such as '.*1\.png', beside ones with the value 255",
        ),
        ([numbers([255, 255])], {}, "no pixel that counts: all of its 1 label maps hold the ign"),
        (
            [numbers([0, 255, 255, 255])],
            {"classes": ("sky", "sea")},
            r"only the values 0 and 255 .* no pixel is 'sea', and 75\.0% of the pixels \(3\) do "
            r"not count\. If 255 is 'sea', state 'values: \[0, 255\]'",
        ),
        (
            [numbers([0, 255])],
            {"classes": ("sea",)},
            r"no pixel is 'sea', and 50\.0% .* state 'values: \[0, 255\]'",
        ),
        (
            [numbers([0, 1, 2])],
            {"ignore_value": 0},
            r"ignores the value 0, so that its 3 classes are the values 1 to 3, but no pixel has "
            r"the value 3 \('sand'\)\. If 'classes' names .* \('sky'\?\); .* 'values: \[1, 2, 3\]'",
        ),
        (
            [OTHER, numbers([0, 0]).astype(np.float32) / 9 + np.float32(0.1)],
            {"ending": ".tif"},
            r"has 1 of 2 label maps that cannot be used; the first: .*1\.tif' holds 2 numbers that",
        ),
        (
            [np.zeros((1, 3, 3), np.uint8) + numbers([0, 40, 80])[..., None]],
            {"colors": [[0, 0, 0], [40, 40, 40], [9, 9, 9]], "ignore_color": [1, 1, 1]},
            r"label maps, such as '.*0\.png', .* \[80, 80, 80\] \(1 pixels; nearest is \[40",
        ),
    ],
)
def test_refusals(check, arrays, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        check(arrays, **options)
    assert "\n" not in str(caught.value)


def test_another_size_than_the_image(maps, cfg):
    """Found by the description already; here of a data set that is registered otherwise."""
    images, labels = maps(numbers([0, 1]))
    Image.new("RGB", (9, 8)).save(images / "0.jpg")
    record = {"file_name": str(images / "0.jpg"), "sem_seg_file_name": str(labels / "0.png")}
    DatasetCatalog.register("own", lambda: [record])
    MetadataCatalog.get("own").set(stuff_classes=["a", "b"], ignore_label=255)
    semantic(cfg, 2)
    with pytest.raises(ValueError, match=r"0\.png' has \(height, width\) \(1, 2\), .* \(8, 9\)"):
        check_label_maps(cfg, ["own"])


def test_an_ignored_value_that_is_a_class(maps, cfg, caplog):
    images, labels = maps(numbers([0, 0, 1, 2]))
    record = {"file_name": str(images / "0.jpg"), "sem_seg_file_name": str(labels / "0.png")}
    DatasetCatalog.register("own", lambda: [record])
    MetadataCatalog.get("own").set(stuff_classes=["void", "a", "b"], ignore_label=0)
    semantic(cfg, 3)
    report = report_label_maps(cfg, "own")
    assert [row.found.pixels for row in (*report.classes, report.ignored)] == [0, 1, 1, 2]
    assert report.errors == []
    first, second = report.warnings
    assert "the label 0, which is also its class 'void': 50.0% of the pixels are ignored" in first
    assert "few pixels" in second


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ([numbers([0, 0, 1])], {}, r"'mine' has no pixel of the class sand: not trained"),
        ([numbers([0, 0, 255])], {}, r"of the classes sea, sand: .* 33\.3% of the pixels are ign"),
        ([numbers([0, 1, 2, 255, 255, 255])], {}, r"few pixels that count: 50\.0% .* \(value 255"),
        ([numbers([0, 0, 255])], {"classes": ("a", "b"), "is_trained": False}, "If 255 is 'b'"),
        (
            [np.stack([OTHER] * 3, -1), OTHER],
            {},
            r"1 of 2 \(50\.0%\) noted: .* three equal channels",
        ),
        (
            [numbers([1, 1, 2])],
            {"ignore_value": 0, "values": [1, 2, 3]},  # stated, so that it is no question
            "no pixel of the class sand",
        ),
    ],
)
def test_warnings(check, arrays, options, message):
    (warning,) = check(arrays, **options)
    assert re.search(message, warning)


@pytest.mark.parametrize(
    ("arrays", "options", "expected"),
    [
        (numbers([0, 1, 2, 255]), {}, [0, 1, 2, 255]),
        (numbers([0, 1, 2, 3]), {"ignore_value": 0}, [255, 0, 1, 2]),
        (numbers([0, 10, 20, 10]), {"values": [10, 0, 20]}, [1, 0, 2, 0]),
        (
            np.array([[[9, 0, 0], [0, 9, 0], [0, 0, 9], [1, 1, 1]]], np.uint8),
            {"colors": [[0, 0, 9], [9, 0, 0], [0, 9, 0]], "ignore_color": [1, 1, 1]},
            [1, 2, 0, 255],
        ),
    ],
)
def test_what_a_training_gets(check, cfg, arrays, options, expected):
    big = np.repeat(np.repeat(arrays, 40, axis=0), 15, axis=1)
    assert check([big], **options) == []
    notes = fit_ignore_value(cfg, ["mine"])
    assert notes == []
    batch = next(iter(build_train_loader(cfg)))
    assert batch[0]["sem_seg"][20, 7::15].tolist() == expected


def test_the_key_of_the_model_may_be_the_number_in_the_files(check, cfg):
    arrays = [np.repeat(np.repeat(numbers([0, 1, 2, 3]), 40, axis=0), 15, axis=1)]
    check(arrays, ignore_value=0)
    cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 0
    (note,) = fit_ignore_value(cfg, ["mine"])
    assert "The ignored value 0 in the label maps of 'mine' is read as 255" in note
    assert cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE == 255
    assert fit_ignore_value(cfg, ["mine"]) == []
    assert set(next(iter(build_train_loader(cfg)))[0]["sem_seg"].unique().tolist()) == {
        0,
        1,
        2,
        255,
    }


def test_models_without_label_maps_and_data_without_them(maps, cfg, coco):
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    check_label_maps(cfg, ["nothing of that name"])
    semantic(cfg, 3)
    assert report_label_maps(cfg, coco().name) is None
