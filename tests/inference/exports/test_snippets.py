"""What docs/results.md shows for FiftyOne and SAHI, run where they are installed."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parents[3] / "docs/results.md").read_text(encoding="utf-8")


def run(package, **names):
    """Run the code of the page that imports a package; return its names."""
    (code,) = (x for x in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if package in x)
    exec(code, names)
    return names


def test_fiftyone(predictors, make_picture, tmp_path):
    pytest.importorskip("fiftyone")
    prediction = predictors("instance")(make_picture())
    sample = run("fiftyone", prediction=prediction)["sample"]
    found = sample["pointrend"].detections
    assert [x.label for x in found] == prediction.class_names
    assert [x.confidence for x in found] == pytest.approx(prediction.scores.tolist())
    for detection, mask in zip(found, prediction.masks, strict=True):
        left, top, width, height = np.multiply(detection.bounding_box, (170, 120, 170, 120))
        whole = np.zeros((120, 170), bool)
        rows = slice(round(top), round(top + height))
        whole[rows, round(left) : round(left + width)] = detection.mask
        np.testing.assert_array_equal(whole, mask)


def test_sahi(predictors, make_picture):
    pytest.importorskip("sahi")
    predictor, picture = predictors("instance"), make_picture()
    names = run("sahi", predictor=predictor, picture=picture)
    assert all(x.score.value >= 0.5 for x in names["result"].object_prediction_list)
    model = names["PointRendModel"](model=predictor, confidence_threshold=0.0)
    model.perform_inference(picture)
    model.convert_original_predictions()
    expected, outlined = predictor(picture), names["get_coco_segmentation_from_bool_mask"]
    kept = [n for n, mask in enumerate(expected.masks) if outlined(mask)]
    expected = replace(expected, **{k: x[kept] for k, x in expected.objects._asdict().items()})
    found = model.object_prediction_list
    assert [x.category.name for x in found] == expected.class_names
    assert [x.score.value for x in found] == pytest.approx(expected.scores.tolist())
    for got, mask in zip(found, expected.masks, strict=True):
        filled = got.mask.bool_mask  # without holes
        assert (filled & mask).sum() == mask.sum()
    whole = names["get_sliced_prediction"](picture, model, slice_height=64, slice_width=64)
    assert whole.object_prediction_list
    assert all(x.mask.full_shape == [120, 170] for x in whole.object_prediction_list)
