"""What docs/results.md shows for FiftyOne and SAHI, run where they are installed."""

import os
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


def masks_of(detections):
    """Masks of a picture of 120 x 170 pixels."""
    for detection in detections:
        left, top, width, height = np.multiply(detection.bounding_box, (170, 120, 170, 120))
        whole = np.zeros((120, 170), bool)
        rows = slice(round(top), round(top + height))
        whole[rows, round(left) : round(left + width)] = detection.mask
        yield whole


@pytest.mark.parametrize("is_stored", [False, True])
def test_fiftyone(is_stored, predictors, make_picture):
    """Stored: by a MongoDB that is running, of which FIFTYONE_DATABASE_URI tells."""
    if is_stored and "FIFTYONE_DATABASE_URI" not in os.environ:
        pytest.skip("no database")
    fiftyone = pytest.importorskip("fiftyone")
    prediction = replace(predictors("instance")(make_picture()), name="photo.jpg")
    sample = run("fiftyone", prediction=prediction)["sample"]
    if is_stored:
        stored = fiftyone.Dataset()
        stored.add_sample(sample)
        sample = stored.view().first()  # as the database gives it
    found = sample["pointrend"].detections
    assert [x.label for x in found] == prediction.class_names
    assert [x.confidence for x in found] == pytest.approx(prediction.scores.tolist())
    np.testing.assert_array_equal([*masks_of(found)], np.asarray(prediction.masks))


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
