"""The Python interface gives what an evaluation gives."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling.postprocessing import sem_seg_postprocess
from PIL import Image

from pointrend_ext import Predictor
from pointrend_ext.data import build_mapper
from pointrend_ext.evaluation.semantic_output import predicted_labels
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.postprocess import resized_labels
from pointrend_ext.visualization import write_image
from tests.fresh_python import run_fresh


def evaluated(predictor, path, pixels):
    """What an evaluator is given for this file."""
    height, width = pixels.shape[:2]
    record = {"file_name": str(path), "height": height, "width": width, "image_id": 1}
    with torch.no_grad():
        return predictor.model([build_mapper(predictor.cfg, is_train=False)(record)])[0]


@pytest.fixture
def saved(tmp_path, make_picture):
    pixels = make_picture()
    write_image(tmp_path / "a.png", pixels)
    return tmp_path / "a.png", pixels


def test_instances_are_those_of_an_evaluation(predictors, saved):
    predictor = predictors("instance")
    got, expected = predictor(saved[0]), evaluated(predictor, *saved)["instances"]
    assert len(got.boxes) > 1
    np.testing.assert_array_equal(got.boxes, expected.pred_boxes.tensor.numpy())
    np.testing.assert_array_equal(got.scores, expected.scores.numpy())
    np.testing.assert_array_equal(got.classes, expected.pred_classes.numpy())
    masks = expected.pred_masks.numpy()
    assert 0 < masks.mean() < 0.9
    np.testing.assert_array_equal(np.asarray(got.masks), masks)
    np.testing.assert_array_equal(got.masks[-1], masks[-1])
    assert got.label_map is got.panoptic is None
    assert set(got.class_names) <= {"blob", "star", "gear", "ring", "letter", "plate"}
    assert got.class_info.category_ids()[0] == 1


@pytest.mark.parametrize("output", ["logits", "labels"])
@pytest.mark.parametrize("size", [(120, 170), (96, 128)], ids=["resized", "same size"])
def test_labels_are_those_of_an_evaluation(predictors, tmp_path, make_picture, output, size):
    predictor = predictors("semantic")
    path, pixels = tmp_path / "a.png", make_picture(*size)
    write_image(path, pixels)
    got = predictor(path)
    predictor.model.output = output
    expected = predicted_labels(evaluated(predictor, path, pixels), 10)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(got.label_map, expected)
    assert got.label_map.dtype == np.uint8


def test_segments_are_those_of_an_evaluation(predictors, saved):
    predictor = predictors("panoptic")
    got, expected = predictor(saved[0]), evaluated(predictor, *saved)
    ids, segments = expected["panoptic_seg"]
    assert {s["isthing"] for s in segments} == {True, False}
    np.testing.assert_array_equal(got.panoptic.ids, ids.numpy())
    assert got.panoptic.segments == segments
    np.testing.assert_array_equal(got.label_map, expected["sem_seg"].argmax(0).numpy())
    np.testing.assert_array_equal(np.asarray(got.masks), expected["instances"].pred_masks.numpy())


def test_files_arrays_and_pillow_images_agree(predictors, saved):
    predictor = predictors("instance")
    path, pixels = saved
    of_file, *others = predictor([str(path), pixels, Image.fromarray(pixels)])
    assert of_file.name == str(path)
    for other in (*others, predictor(pixels)):
        np.testing.assert_array_equal(of_file.boxes, other.boxes)
        np.testing.assert_array_equal(np.asarray(of_file.masks), np.asarray(other.masks))
        np.testing.assert_array_equal(of_file.draw(), other.draw())


def test_channel_order_is_that_of_the_model(predictors, make_picture):
    pixels = make_picture()
    bgr = predictors("instance").model_input(pixels)["image"]
    rgb = predictors("instance", "INPUT.FORMAT", "RGB").model_input(pixels)["image"]
    torch.testing.assert_close(bgr, rgb.flip(0), rtol=0, atol=0)
    assert bgr.float().std() > 10


def test_one_class_at_a_time_gives_the_arg_max_of_all():
    for channels in (1, 7):
        logits = torch.randn(channels, 11, 13).round(decimals=1)  # ties, too
        resized = sem_seg_postprocess(logits, (11, 13), 40, 31)
        expected = resized.argmax(0) if channels > 1 else (resized[0] > 0).long()
        torch.testing.assert_close(resized_labels(logits, (40, 31)), expected)


def test_masks_are_a_sequence():
    masks = PastedMasks(torch.rand(3, 8, 8), torch.tensor([[2.0, 1, 9, 7]] * 3), (10, 12))
    whole = np.asarray(masks)
    assert whole.shape == (3, 10, 12)
    np.testing.assert_array_equal(np.stack(list(masks)), whole)
    np.testing.assert_array_equal(np.asarray(masks[1:]), whole[1:])
    np.testing.assert_array_equal(np.asarray(masks[np.array([2, 0])]), whole[[2, 0]])
    with pytest.raises(IndexError):
        masks[3]


def test_filter_keeps_classes_and_scores(predictors, make_picture):
    prediction = predictors("panoptic")(make_picture())
    limit = float(np.median(prediction.scores))
    strong = prediction.filter(min_score=limit)
    assert (strong.scores >= limit).all()
    assert 0 < len(strong.boxes) < 5
    number = int(prediction.classes[0])
    chosen = prediction.filter([prediction.class_info.thing(number)])
    assert set(chosen.classes) == {number}
    assert {s["category_id"] for s in chosen.panoptic.segments} <= {number}
    assert set(np.unique(chosen.label_map)) == {prediction.void_label}
    stuff = int(np.bincount(prediction.label_map.ravel()).argmax())
    kept = prediction.filter([prediction.class_info.stuff_name(stuff)]).label_map
    np.testing.assert_array_equal(kept == stuff, prediction.label_map == stuff)
    assert set(np.unique(kept)) <= {stuff, prediction.void_label}
    name = prediction.class_info.thing(number)
    for same in (name, [number], [f"0{number}"], [f"{number}"]):
        assert set(prediction.filter(same).classes) == {number}
    for unknown in ("ster", 999):
        with pytest.raises(ValueError, match=rf"no class \['{unknown}'\].*from 0 to 5.*star"):
            prediction.filter([unknown])


def test_confidence_is_of_the_score_that_is_shown(predictors, make_picture):
    """With a score of masks that is the product, which is below what the model has compared."""
    predictor = predictors("instance", "MODEL.ROI_MASK_HEAD.MASK_SCORE", "maskness")
    everything, cfg = predictor(make_picture()), predictor.cfg.clone()
    limit = float(everything.scores.min())
    cfg.defrost()
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = limit
    strong = Predictor(predictor.model, cfg.clone())(make_picture())
    assert strong.scores.tolist() == everything.scores[everything.scores > limit].tolist()
    assert 0 < len(strong.scores) < len(everything.scores)


@pytest.mark.parametrize("kind", ["instance", "semantic", "panoptic"])
def test_drawing_and_notebook(predictors, make_picture, kind):
    prediction = predictors(kind)(make_picture())
    drawn = prediction.draw(show_labels=False, contour_px=0, alpha=0.5)
    assert (drawn != prediction.image).any()
    shown = cv2.imdecode(np.frombuffer(prediction._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown[:, :, ::-1], prediction.draw())
    assert repr(prediction).startswith("Prediction(array: 120 x 170, ")
    nothing = prediction.filter([], 1.0)
    np.testing.assert_array_equal(nothing.draw(), prediction.image)


@pytest.mark.parametrize("kind", ["instance", "semantic", "panoptic"])
def test_batches_of_mixed_sizes_give_what_single_images_give(predictors, make_picture, kind):
    predictor = predictors(kind)
    sizes = [(120, 170), (96, 128), (120, 170), (170, 120), (96, 128)]
    pictures = [make_picture(*size, seed=n) for n, size in enumerate(sizes)]
    together = Predictor(predictor.model, predictor.cfg, batch_size=4)(pictures)
    alone = predictor(pictures)
    assert kind == "semantic" or sum(len(one.boxes) for one in alone) > 3
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        if one.boxes is not None:
            np.testing.assert_allclose(one.boxes, other.boxes, atol=0.1)
            differ = np.asarray(one.masks) != np.asarray(other.masks)
            assert differ.sum() <= 0.001 * differ.size
        if one.label_map is not None:
            assert (one.label_map != other.label_map).mean() < 0.001


def test_a_stream_reads_no_further_than_it_must(predictors, make_picture):
    predictor = predictors("instance")
    read = []

    def pictures():
        for number in range(4):
            read.append(number)
            yield make_picture(seed=number)

    stream = predictor.stream(pictures())
    first = next(stream)
    assert read == [0]
    np.testing.assert_array_equal(first.boxes, predictor(make_picture(seed=0)).boxes)
    assert len(list(stream)) == 3


def test_threads_share_a_predictor(predictors, make_picture):
    predictor = predictors("semantic")
    pictures = [make_picture(96, 128), make_picture(120, 170)]  # labels, and resized logits
    right = [predictor(picture).label_map for picture in pictures]
    entered = threading.Barrier(2, timeout=30)
    inner = predictor.model.backbone.forward

    def together(*args):
        entered.wait()  # both calls have begun before either goes on
        return inner(*args)

    predictor.model.backbone.forward = together
    try:
        with ThreadPoolExecutor(2) as pool:
            for _ in range(3):
                found = list(pool.map(predictor, pictures))
                for expected, prediction in zip(right, found, strict=True):
                    np.testing.assert_array_equal(prediction.label_map, expected)
    finally:
        del predictor.model.backbone.forward


@pytest.mark.parametrize("size", [(96, 128), (120, 170)], ids=["same size", "resized"])
def test_probabilities_of_label_maps(predictors, make_picture, size):
    predictor = predictors("semantic")
    picture = make_picture(*size)
    plain = predictor(picture)
    assert plain.label_probabilities is None
    got = Predictor(predictor.model, predictor.cfg, probabilities=True)(picture)
    assert got.label_probabilities.shape == (10, *size)
    np.testing.assert_allclose(got.label_probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(got.label_probabilities.argmax(axis=0), got.label_map)
    assert (got.label_map != plain.label_map).mean() < 0.001
    with torch.no_grad():
        (found,) = predictor.model.predict([predictor.model_input(picture)], "logits")
    logits = found["sem_seg"]
    if size == (96, 128):
        expected = logits.softmax(dim=0).numpy()
        np.testing.assert_allclose(got.label_probabilities, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"opts": ["MODEL.WEIGHTS", ""]}, r"names none in MODEL\.WEIGHTS"),
        ({"weights": "nowhere.pth"}, r"nowhere\.pth"),
        ({"weights": __file__, "confidence": 1.5}, r"confidence is 1\.5"),
        ({"weights": __file__, "confidence": "0.5"}, r"confidence is '0\.5'"),
    ],
)
def test_mistakes_before_a_model_is_built(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):  # no TypeError
        Predictor.from_config("Toy/pointrend_rcnn_toy.yaml", device="cpu", **arguments)


@pytest.mark.parametrize(
    ("images", "message"),
    [("a.jpg", "given a str. One image"), (None, "given a NoneType"), (b"a", "given a bytes")],
)
def test_a_stream_goes_through_images(predictors, images, message):
    """Letters of a name are no files."""
    with pytest.raises(ValueError, match=message):
        next(predictors("instance").stream(images))


def test_wrong_arrays_and_models(predictors):
    predictor = predictors("instance")
    for shape, message in (((5, 6), r"\(5, 6\).*RGB"), ((3, 20000, 3), r"3 x 20000.*Cut it")):
        with pytest.raises(ValueError, match=message):
            predictor(np.zeros(shape, np.uint8))
    for images, message in (
        (None, "NoneType"),
        (b"a.jpg", "not a bytes"),
        (iter([]), r"Predictor\.stream"),
        (torch.zeros(3, 8, 8), r"no tensor .*\(3, 8, 8\).*permute"),
        ([torch.zeros(3, 8, 8)], "no tensor"),
    ):
        with pytest.raises(ValueError, match=message):
            predictor(images)
    predictor.model.train()
    with pytest.raises(ValueError, match="training mode"):
        predictor(np.zeros((32, 32, 3), np.uint8))
    predictor.model.eval()
    for wrapped, name in (
        (torch.nn.DataParallel(predictor.model), "module"),
        (torch.compile(predictor.model), "_orig_mod"),
    ):
        with pytest.raises(ValueError, match=rf"pass model\.{name}"):
            Predictor(wrapped, predictor.cfg)
    cfg = predictor.cfg.clone()
    cfg.defrost()
    cfg.MODEL.MASK_ON = False
    with pytest.raises(ValueError, match="no masks"):
        Predictor(predictor.model, cfg)
    with pytest.raises(ValueError, match="batch_size is 0"):
        Predictor(predictor.model, predictor.cfg, batch_size=0)


def test_importing_the_package_does_not_import_the_predictor():
    code = (
        "import sys, pointrend_ext\n"
        "assert 'pointrend_ext.engine' not in sys.modules\n"
        "assert pointrend_ext.Predictor.__name__ == 'Predictor'\n"
        "assert not hasattr(pointrend_ext, 'Predictr')\n"
    )
    done = run_fresh(code)
    assert done.returncode == 0, done.stderr
