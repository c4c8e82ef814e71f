"""An exported model predicts through the runtime what the model predicts through ``Predictor``."""

import logging

import numpy as np
import pytest

from pointrend_ext.deploy.export import export_onnx
from pointrend_ext.deploy.runtime import OnnxPredictor

SIZES = [(96, 128), (120, 170), (75, 61), (64, 200)]
logging.getLogger("torch.onnx").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def semantic(predictors, tmp_path_factory):
    """A semantic predictor, and its file."""
    predictor = predictors("semantic")
    path = tmp_path_factory.mktemp("exported") / "logits.onnx"
    classes = predictor.classes
    export_onnx(predictor.model, predictor.cfg, path, output="logits", classes=classes)
    return predictor, path


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_label_maps_are_those_of_the_predictor(semantic, make_picture, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    predictor, path = semantic
    exported = OnnxPredictor(path, runtime=runtime)
    assert exported.classes == predictor.classes
    differing = total = 0
    for number, size in enumerate(SIZES):
        image = make_picture(*size, seed=number)
        expected, got = predictor(image), exported(image)
        assert len(np.unique(expected.label_map)) > 1
        assert got.label_map.dtype == expected.label_map.dtype
        differing += np.count_nonzero(got.label_map != expected.label_map)
        total += expected.label_map.size
        np.testing.assert_array_equal(got.draw().shape, expected.draw().shape)
    assert differing <= 5e-4 * total
