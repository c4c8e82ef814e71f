"""Predictions of files of a few nodes, by hand; and what is refused, each in one sentence."""

import json
import logging
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.deploy.runtime import OnnxPredictor, Prediction
from tests.deploy.runtime.models import (
    description,
    set_description,
    write_instances,
    write_panoptic,
    write_semantic,
)

BOXES = [[0.1, 0.2, 0.6, 0.7], [0.5, 0.5, 1.2, 1.0], [0.3, 0.3, 0.3, 0.8], [0, 0, 1, 1]]
SCORES = [0.4, 0.9, 0.8, 0.06]
CLASSES = [0, 1, 0, 1]
MASKS = np.stack([np.full((1, 4, 4), share) for share in (1, 0.6, 1, 0.4)])
RUNTIMES = ("onnx", "openvino")
CPU = "CPUExecutionProvider"


@pytest.fixture
def instances(tmp_path):
    return write_instances(tmp_path / "a.onnx", BOXES, SCORES, CLASSES, MASKS)


def grey(height, width):
    return np.full((height, width, 3), 90, np.uint8)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_instances_by_hand(instances, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    predictor = OnnxPredictor(instances, runtime=runtime, confidence=None)
    got = predictor(grey(100, 200))  # seen as 30 x 60
    assert isinstance(got, Prediction)
    assert predictor.has_instances
    # By score; cut at the image; the third has no width.
    np.testing.assert_allclose(
        got.boxes, [[100, 50, 200, 100], [20, 20, 120, 70], [0, 0, 200, 100]], rtol=1e-6
    )
    np.testing.assert_array_equal(got.scores, np.float32([0.9, 0.4, 0.06]))
    assert got.classes.tolist() == [1, 0, 1]
    assert got.class_names == ["big dog", "cat", "big dog"]
    assert 0.97 * 100 * 50 < got.masks[1].sum() < 100 * 50  # corners are rounded
    assert got.masks[1][25:65, 30:110].all()
    assert got.masks[2].sum() == 0  # 0.4 is outside
    results = got.to_coco(5)
    assert [x["category_id"] for x in results] == [18, 17, 18]
    np.testing.assert_allclose(results[1]["bbox"], [20, 20, 100, 50], rtol=1e-6)


@pytest.mark.parametrize(
    ("confidence", "count"), [(None, 3), (0.05, 3), (0.4, 1), (0.5, 1), (1, 0)]
)
def test_confidence_is_a_bound_that_is_not_reached(instances, confidence, count):
    assert len(OnnxPredictor(instances, confidence=confidence)(grey(40, 40)).boxes) == count


@pytest.mark.parametrize("confidence", [0.04, -1, 1.1, float("nan")])
def test_scores_that_the_file_does_not_hold_are_refused(instances, confidence):
    with pytest.raises(ValueError, match=r"confidence is .*scores from 0\.05 .*SCORE_THRESH_TEST"):
        OnnxPredictor(instances, confidence=confidence)


def test_no_instance_at_all(tmp_path):
    path = write_instances(tmp_path / "a.onnx", [], [], [], np.zeros((0, 1, 8, 8)))
    got = OnnxPredictor(path)(grey(50, 70))
    assert (got.boxes.shape, got.classes.shape, len(got.masks)) == ((0, 4), (0,), 0)
    assert np.asarray(got.masks).shape == (0, 50, 70)
    assert (got.draw() == 90).all()
    assert got.to_coco(1) == []


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("image_format", ["BGR", "RGB"])
@pytest.mark.parametrize("output", ["logits", "labels"])
def test_label_maps_by_hand(tmp_path, output, image_format, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    shown = {"min_size": 0, "max_size": 0, "format": image_format, "divisibility": 0}
    path = write_semantic(tmp_path / "a.onnx", output, input=shown)
    image = np.random.default_rng(0).permutation(30 * 41 * 3).astype(np.uint8).reshape(30, 41, 3)
    got = OnnxPredictor(path, runtime=runtime)(image)
    channels = image if image_format == "RGB" else image[:, :, ::-1]
    np.testing.assert_array_equal(got.label_map, channels.argmax(axis=2))
    assert got.label_map.dtype == np.uint8
    assert got.class_info.stuff == ("sky", "road", "sea")
    assert got.boxes is got.label_probabilities is None


@pytest.mark.parametrize(("confidence", "things"), [(None, [1]), (0.3, [1, 0]), (0.95, [])])
def test_segments_by_hand(tmp_path, confidence, things):
    path = write_panoptic(tmp_path / "a.onnx", BOXES[:2], [0.4, 0.9], [0, 1], np.ones((2, 1, 4, 4)))
    image = grey(40, 60)  # seen as it is
    image[:20, :, 1] = 200  # road
    image[20:, :30, 0] = 200  # red is the last channel: sea; the rest, equal in all, is things
    got = OnnxPredictor(path, confidence=confidence)(image)
    assert got.class_info.stuff == ("things", "road", "sea")
    assert got.label_map[0, 0] == 1
    found = [(s["category_id"], s["instance_id"]) for s in got.panoptic.segments if s["isthing"]]
    assert found == [(label, number) for number, label in enumerate(things)]
    stuff = [s for s in got.panoptic.segments if not s["isthing"]]
    assert [s["category_id"] for s in stuff] == [1, 2]
    for segment in stuff:
        assert segment["area"] == (got.panoptic.ids == segment["id"]).sum()
    assert got.draw().shape == (40, 60, 3)


def test_probabilities_are_a_softmax(tmp_path):
    path = write_semantic(tmp_path / "a.onnx", "logits")
    image = np.random.default_rng(0).integers(0, 4, (40, 40, 3)).astype(np.uint8)
    got = OnnxPredictor(path, probabilities=True)(image)
    values = np.exp(image[:, :, ::-1].astype(np.float64))
    expected = (values / values.sum(axis=2, keepdims=True)).transpose(2, 0, 1)
    np.testing.assert_allclose(got.label_probabilities, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"puts out labels, .*--logits"):
        OnnxPredictor(write_semantic(tmp_path / "b.onnx", "labels"), probabilities=True)


def test_resized_labels_are_told_once(tmp_path, caplog):
    predictor = OnnxPredictor(write_semantic(tmp_path / "a.onnx", "labels"))
    assert predictor(grey(40, 40)).label_map.shape == (40, 40)
    assert caplog.text == ""
    for _ in range(2):
        assert predictor(grey(100, 80)).label_map.shape == (100, 80)
    assert caplog.text.count("from 50 x 40 to 100 x 80") == 1
    assert "--logits" in caplog.text


def test_what_is_called_with(instances, tmp_path):
    predictor = OnnxPredictor(instances)
    pixels = grey(30, 50)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    of_all = predictor(
        [tmp_path / "a.png", str(tmp_path / "a.png"), pixels, Image.open(tmp_path / "a.png")]
    )
    assert [x.size_hw for x in of_all] == [(30, 50)] * 4
    assert of_all[0].name == str(tmp_path / "a.png")
    assert len(list(predictor.stream(iter([pixels, pixels])))) == 2
    assert predictor([]) == []
    with pytest.raises(ValueError, match=r"given a generator.*OnnxPredictor\.stream"):
        predictor(x for x in [pixels])
    with pytest.raises(ValueError, match="give boxes to a Predictor"):
        predictor.stream([pixels], [None])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((9, 9, 3), np.float32), "float32; it must be RGB, .* uint8"),
        (np.zeros((9, 9), np.uint8), r"shape \(9, 9\)"),
        (np.zeros((0, 9, 3), np.uint8), "not empty"),
        (None, "not a NoneType"),
        ("nothing.jpg", "'nothing.jpg' does not exist"),
        ("https://example.org/a.jpg", "does not exist"),
        (np.zeros((1, 9000, 3), np.uint8), r"1 x 9000 \(height x width\) cannot be resized"),
    ],
)
def test_images_that_are_refused(instances, image, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        OnnxPredictor(instances)(image)


@pytest.mark.parametrize("size", [(1, 1), (6000, 8000)])
def test_extreme_sizes(tmp_path, size):
    path = write_instances(tmp_path / "a.onnx", [0, 0, 1, 1], [0.9], [1], np.ones((1, 1, 4, 4)))
    got = OnnxPredictor(path)(grey(*size))
    np.testing.assert_allclose(got.boxes, [[0, 0, *size[::-1]]], rtol=1e-6)
    assert got.masks[0].shape == size
    assert got.masks[0].mean() > 0.97  # corners are rounded


def test_rules_of_the_export_read_files(tmp_path, instances):
    shown = {**description()["input"], "white_value": 4095, "max_megapixels": 1}
    path = write_instances(tmp_path / "b.onnx", BOXES, SCORES, CLASSES, MASKS, input=shown)
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(tmp_path / "a.png")
    assert OnnxPredictor(path)(tmp_path / "a.png").image.max() == 255
    assert OnnxPredictor(instances)(tmp_path / "a.png").image.max() == 15
    Image.new("RGB", (1100, 1000)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="is large: 1000 x 1100"):
        OnnxPredictor(path)(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "not one that pointrend_ext has exported"),
        ("{", "description under 'pointrend_ext' is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1}', "is damaged .KeyError: 'input'"),
        (json.dumps(description(format=2)), r"format 2, .* reads 1\. .*pointrend_ext 9\.9"),
        (json.dumps(description("mask_head")), "'mask_head' .*--part model"),
        (json.dumps(description(input={**description()["input"], "format": "HSV"})), "as 'HSV'"),
        (json.dumps(description(input={**description()["input"], "batch_size": 4})), "4 images"),
        (json.dumps(description("semantic", "logits")), "no output 'logits' .*'boxes'"),
        (json.dumps(description(classes=[1, 2])), "is damaged"),
        (json.dumps(description(thresholds={"score": "high"})), "is damaged"),
        (json.dumps(description("panoptic", "labels")), "is damaged .KeyError: 'panoptic'"),
    ],
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_descriptions_that_are_refused(instances, text, words, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    set_description(instances, text)
    with pytest.raises(ValueError, match=words) as caught:
        OnnxPredictor(instances, runtime=runtime)
    assert str(instances) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("damage", ["empty", "cut", "text", "noise"])
def test_damaged_files_are_refused(instances, damage, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    data = instances.read_bytes()
    noise = np.random.default_rng(0).bytes(500)
    damaged = {"empty": b"", "cut": data[: len(data) // 2], "text": b"hello", "noise": noise}
    instances.write_bytes(damaged[damage])
    number = len(damaged[damage])
    words = rf"{re.escape(str(instances))} is no ONNX file, .*\({number} bytes\)"
    with pytest.raises(ValueError, match=words):
        OnnxPredictor(instances, runtime=runtime)


def test_absent_files_and_packages(instances, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"b\.onnx does not exist"):
        OnnxPredictor(tmp_path / "b.onnx")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        OnnxPredictor(tmp_path)
    with pytest.raises(ValueError, match="runtime is 'tensorrt'; choose from onnx, openvino"):
        OnnxPredictor(instances, runtime="tensorrt")
    with pytest.raises(ValueError, match="threads is 0; it must be at least 1"):
        OnnxPredictor(instances, threads=0)
    with pytest.raises(ValueError, match=r"provider .*called 'TPU'; it has \[.*'CPUExecution"):
        OnnxPredictor(instances, providers=["TPU"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"needs onnxruntime.*pip install onnxruntime"):
        OnnxPredictor(instances)


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (
            lambda *args, **options: SimpleNamespace(
                get_providers=lambda: ["CPUExecutionProvider"]
            ),
            r"could not start CUDAExecutionProvider and would use \['CPUExecutionProvider'\]",
        ),
        (None, r"a\.onnx cannot be loaded for CUDAExecutionProvider: .*without providers"),
    ],
)
def test_a_device_that_does_not_start_is_an_error(instances, monkeypatch, session, words):
    providers = ["CUDAExecutionProvider", CPU]
    fake = SimpleNamespace(
        SessionOptions=SimpleNamespace,
        get_available_providers=lambda: providers,
        InferenceSession=session,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    with pytest.raises(ValueError, match=words):
        OnnxPredictor(instances, providers=providers)


def test_nothing_is_logged_for_an_ordinary_image(instances, caplog):
    with caplog.at_level(logging.INFO):
        OnnxPredictor(instances, threads=1)(grey(50, 70))
    assert caplog.text == ""
