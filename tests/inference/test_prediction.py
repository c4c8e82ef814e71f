"""What is said of predictions."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.demo import telling
from pointrend_ext.inference.demo.inputs import Found
from pointrend_ext.inference.demo.run import DemoReport
from pointrend_ext.inference.prediction import Prediction


def test_pixels_of_no_class_are_no_class():
    labels = np.array([[0, 1], [2, 2]], np.uint8)
    image = np.zeros((2, 2, 3), np.uint8)
    whole = Prediction(image, "", Classes(stuff=("sky", "road", "tree")), label_map=labels)
    assert repr(whole) == "Prediction(array: 2 x 2, label map of 3 classes)"
    assert repr(whole.filter(["sky"])) == "Prediction(array: 2 x 2, label map of 1 classes)"


def test_a_folder_whose_name_is_not_of_utf_8(monkeypatch, capsys):
    monkeypatch.setattr(telling, "run_demo", lambda inputs, options: DemoReport(num_images=1))
    options = SimpleNamespace(writer=SimpleNamespace(folder=Path("seen\udcff")))
    assert telling.run_and_tell(Found([], [], []), options) == 0
    assert capsys.readouterr().out.endswith("results in seen\\udcff\n")
