"""The table of agreement between exported files and their models."""

import json

import numpy as np
import pytest

from benchmarks import agreement
from pointrend_ext.inference.prediction import Panoptic, Prediction
from pointrend_ext.structures.classes import Classes
from pointrend_ext.visualization import write_image
from tests.inference.exports.predictions import Masks

IMAGE = np.zeros((4, 5, 3), np.uint8)


def instances(boxes, scores, classes, masks):
    boxes, scores = np.array(boxes, np.float32), np.array(scores, np.float32)
    return Prediction(IMAGE, "", Classes(), boxes, scores, np.array(classes), Masks(masks))


def mask(*cells):
    found = np.zeros((4, 5), bool)
    found.flat[list(cells)] = True
    return found


BOX, OTHER = [0, 0, 4, 3], [1, 1, 5, 4]


@pytest.fixture
def comparison():
    """Of three objects of the model the file finds two, in the other order, and one more."""
    found = agreement.Comparison()
    theirs = instances([BOX, OTHER, OTHER], [0.9, 0.8, 0.7], [0, 0, 1], [mask(1, 2)] * 3)
    near = [1, 1.0078125, 5, 4]
    ours = instances(
        [near, BOX, OTHER], [0.85, 0.9, 0.6], [0, 0, 2], [mask(1), mask(2, 3), mask(1)]
    )
    found.add(ours, theirs)
    return found


def test_partners_and_their_masks(comparison):
    counts = comparison.counts()
    assert counts["detections"] == {
        "number": 3,
        "unmatched": 2,
        "box_px": 0.0078125,
        "score": pytest.approx(0.05, abs=1e-6),
    }
    assert counts["masks"] == [1 + 2, 2 * 20]
    assert counts["labels"] == counts["segments"] == [0, 0]


def test_maps(comparison):
    labels = np.arange(20).reshape(4, 5)
    ids = np.zeros((4, 5), np.int32)
    for wrong in (0, 3):
        theirs = Prediction(IMAGE, "", Classes(), label_map=labels, panoptic=Panoptic(ids, []))
        changed = np.where(labels < wrong, 99, labels)
        ours = Prediction(
            IMAGE, "", Classes(), label_map=changed, panoptic=Panoptic(ids + (labels == 7), [])
        )
        comparison.add(ours, theirs)
    counts = comparison.counts()
    assert counts["pictures"] == 3
    assert (counts["labels"], counts["segments"]) == ([3, 40], [2, 40])


def test_a_row_takes_the_place_of_its_own_alone(tmp_path, monkeypatch, capsys):
    class Fake:
        read_image = staticmethod(lambda path: IMAGE)

        def __init__(self, *args, **options):
            assert options["confidence"] is None

        def __call__(self, image):
            return instances([BOX], [0.5], [0], [mask(1)])

    monkeypatch.setattr(agreement, "OnnxPredictor", Fake)
    monkeypatch.setattr(agreement.Predictor, "from_config", Fake)
    for number in range(3):
        write_image(tmp_path / f"{number}.png", IMAGE)
    words = [
        "--model",
        "m",
        "--config-file",
        "c",
        "--weights",
        "w",
        "--input",
        str(tmp_path / "*.png"),
    ]
    for name, number in (("one", 1), ("two", 2), ("one", 3)):
        agreement.main(
            [*words, "--name", name, "--number", str(number), "--output", str(tmp_path / "out")]
        )
    rows = json.loads((tmp_path / "out/agreement.json").read_text())["rows"]
    assert {name: row["pictures"] for name, row in rows.items()} == {"one": 3, "two": 2}
    last = (tmp_path / "out/agreement.md").read_text().splitlines()[-1]
    assert last == "| two | 2 | 0 of 2 | 0 | 0 | 0 of 0.0 million |  |  |"
    with pytest.raises(SystemExit):
        agreement.main([*words[:-1], str(tmp_path / "none*"), "--name", "x", "--output", "o"])
    assert "none*" in capsys.readouterr().err


def test_what_the_model_alone_or_the_file_alone_finds():
    """A model that finds nothing does not hide what its file finds."""
    comparison = agreement.Comparison()
    comparison.add(instances([BOX], [0.5], [0], [mask(1)]), Prediction(IMAGE, "", Classes()))
    assert "| x | 1 | 1 of 0 | 0 | 0 |" in agreement.table({"x": comparison.counts()})
    labels = Prediction(IMAGE, "", Classes(), label_map=np.zeros((4, 5), int))
    with pytest.raises(ValueError, match="that the other one does not"):
        comparison.add(labels, Prediction(IMAGE, "", Classes()))
