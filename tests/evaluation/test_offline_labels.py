"""Saved label maps: folders and results files, the same numbers, bad input."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data import register_semantic_folder
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    evaluate_files,
    find_data_set,
    read_evaluation,
    write_evaluation,
    written_tables,
)
from pointrend_ext.evaluation.offline.label_files import open_predicted_labels
from pointrend_ext.evaluation.offline.record import Score


@pytest.fixture
def evaluate(label_data, few_draws):
    def run(options=few_draws, **files):
        return evaluate_files(label_data, {n: str(path) for n, path in files.items()}, options)

    return run


@pytest.fixture
def entries(label_files):
    return json.loads(Path(label_files[0]["json"]).read_text())


def test_folder_and_file_have_the_evaluators_scores(evaluate, label_data, label_files):
    files, expected = label_files
    found = evaluate(folder=files["new"], file=files["json"])
    for model in found.models:
        own = {k: v.value for k, v in model.scores["sem_seg"].items()}
        assert own == pytest.approx({k: None if v != v else v for k, v in expected.items()})
    assert found.differences[0].scores["sem_seg"]["mIoU"] == Score(0, 0, 0)
    assert found.data_set.classes == label_data.class_names


def test_two_models(evaluate, label_files, tmp_path):
    files, _ = label_files
    found = evaluate(old=files["old"], new=files["new"])
    gain = found.differences[0].scores["sem_seg"]["mBoundaryIoU"]
    assert 0 < gain.low < gain.value < gain.high
    scores = [[e.models[n]["mBoundaryIoU"] for n in ("new", "old")] for e in found.examples]
    spreads = [abs(new - old) for new, old in scores]
    assert len(spreads) == 8
    assert spreads == sorted(spreads, reverse=True)
    write_evaluation(found, tmp_path / "e.json")
    assert read_evaluation(tmp_path / "e.json") == found
    found = evaluate(EvaluationOptions(("trimap",), num_draws=0), old=files["old"])
    scores = found.models[0].scores["sem_seg"]
    assert "mTrimapIoU1" in scores
    assert "mBoundaryIoU" not in scores
    assert scores["mIoU"].low is None


def test_bad_folders(evaluate, label_files, tmp_path):
    def refused(message, error=ValueError, folder=tmp_path / "maps"):
        with pytest.raises(error, match=message):
            evaluate(bad=folder)

    refused(r"has no prediction for image '.*\.jpg' \(8 such images of 8\)", folder=tmp_path)
    refused("No such file or directory: '.*gone'", FileNotFoundError, tmp_path / "gone")
    shutil.copytree(label_files[0]["old"], tmp_path / "maps")
    victim = sorted((tmp_path / "maps").iterdir())[3]
    good, labels = victim.read_bytes(), np.array(Image.open(victim))
    Image.new("L", (4, 4)).save(victim.with_name("zebra.png"))
    refused(r"zebra\.png' belongs to no image of data set 'toy_sem_seg_val'")
    victim.with_name("zebra.png").unlink()
    Image.new("L", (4, 5)).save(victim)
    refused(rf"{victim.name}', image '.*jpg': the prediction has \(height, width\) \(5, 4\), the")
    labels[0, 0] = 77
    Image.fromarray(labels).save(victim)
    refused(rf"{victim.name}', image '.*: the prediction contains the values 77 \(1 pixels\)")
    victim.write_bytes(good[:100])
    refused(rf"{victim.name}' is truncated or corrupt")
    victim.write_bytes(good)
    Image.fromarray(labels).save(victim.with_suffix(".tif"))
    refused(rf"{victim.name}' and .*{victim.stem}\.tif' are for one image")


def test_names_that_two_images_share(label_data, tmp_path):
    """They say which image is meant only with their folder."""
    files = {"image_files": ("i/a/x.jpg", "i/b/x.jpg"), "truth_files": ("t/a/x.png", "t/b/x.png")}
    data = dataclasses.replace(label_data, **files, image_root="i", label_root="t")
    for value, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        Image.new("L", (4, 4), value).save(tmp_path / folder / "x.png")
    found = open_predicted_labels(tmp_path, data)
    assert [found.labels(i, (4, 4)).max() for i in range(2)] == [0, 1]
    with pytest.raises(ValueError, match=r"x\.png' belongs to no image"):
        open_predicted_labels(tmp_path / "a", data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file_name": "x.jpg"}, r"entry 1 \('x\.jpg'\) belongs to no image of data set"),
        ({"category_id": 999}, r"entry 1 \(.*its category_id 999 is none of data set"),
        ({"segmentation": {"size": [2, 2], "counts": "4"}}, r"entry 1 .*\(2, 2\), the image"),
        ({"segmentation": {"counts": "4"}}, "entry 1 .*: the run-length mask has the keys"),
        ({"segmentation": [[1, 2, 3, 4]]}, r"1\.segmentation: Input should be"),
        ({"file_name": None}, r"1\.file_name: Input should be"),
    ],
)
def test_bad_entries(evaluate, entries, write_json, change, message):
    entries[1].update(change)
    with pytest.raises(ValueError, match=rf"Results file '.*bad\.json'.*{message}"):
        evaluate(bad=write_json(entries, "bad.json"))


def test_files_of_other_images(evaluate, entries, label_files, write_json):
    last = entries[-1]["file_name"]
    few = write_json([e for e in entries if e["file_name"] != last], "few.json")
    with pytest.raises(ValueError, match=r"no prediction for image .*\(1 such images of 8\)"):
        evaluate(few=few)
    elsewhere = [{**e, "file_name": f"/other/{Path(e['file_name']).name}"} for e in entries]
    found = evaluate(moved=write_json(elsewhere, "moved.json"), here=label_files[0]["new"])
    assert found.models[0].scores == found.models[1].scores


@pytest.fixture
def described(own_catalogs, tmp_path):
    """A factory: two images of a described data set with their label maps, and predictions."""

    def make(truths, predictions, classes=("ground", "thing"), **options):
        for folder, maps in (("labels", truths), ("maps", predictions)):
            (tmp_path / folder).mkdir()
            for index, labels in enumerate(maps):
                Image.fromarray(np.array(labels, np.uint8)).save(tmp_path / folder / f"{index}.png")
        (tmp_path / "images").mkdir()
        for index, labels in enumerate(truths):
            size = np.shape(labels)[1::-1]
            Image.new("RGB", size).save(tmp_path / "images" / f"{index}.jpg")
        folders = tmp_path / "images", tmp_path / "labels"
        register_semantic_folder("mine", *folders, classes, **options)
        options = EvaluationOptions((), num_draws=0)
        return lambda: evaluate_files(find_data_set("mine"), {"m": str(tmp_path / "maps")}, options)

    return make


def test_all_background_is_no_silent_100(described):
    """A mask of 0 and 255 that is described as one of 0 and 1; and one without the class."""
    found = described([[[0, 255, 0]], [[0, 0, 0]]], [[[0, 0, 0]]] * 2)()
    assert found.models[0].scores["sem_seg"]["mIoU"].value == 100
    first, second = found.notices
    assert "no pixel is 'thing', and 16.7% of the pixels (1) do not count. If 255" in first
    assert "means are over 1 of 2 classes: 'ground' alone has true pixels" in second
    assert f"Notice: {first}" in written_tables(found)


@pytest.mark.parametrize(
    ("options", "truth", "prediction"),
    [
        ({"values": [0, 255]}, [[0, 255, 255, 0]], [[0, 255, 0, 0]]),
        ({"ignore_value": 0}, [[1, 2, 2, 1]], [[1, 2, 1, 1]]),
        (
            {"colors": [[9, 0, 0], [0, 9, 0]]},
            [[[9, 0, 0], [0, 9, 0], [0, 9, 0], [9, 0, 0]]],
            [[[9, 0, 0], [0, 9, 0], [9, 0, 0], [9, 0, 0]]],
        ),
    ],
)
def test_predictions_are_read_like_the_truth(described, options, truth, prediction):
    scores = described([truth], [prediction], **options)().models[0].scores["sem_seg"]
    assert scores["IoU-ground"].value == pytest.approx(200 / 3)
    assert scores["IoU-thing"].value == 50


def test_predictions_of_other_values(described):
    """Labels where the numbers of the description are due: refused, or at least said."""
    refused = described([[[0, 255, 255, 0]]], [[[0, 1, 1, 0]]], values=[0, 255])
    with pytest.raises(ValueError, match=r"0\.png' contains the values 1 \(2 pixels\), .*0, 255"):
        refused()


def test_predictions_without_a_class_are_said(described):
    found = described([[[1, 2, 2, 1]]], [[[0, 1, 1, 0]]], ignore_value=0)()
    assert found.models[0].scores["sem_seg"]["mIoU"].value == 0
    assert any("m: 50.0% of the pixels that count are predicted as no" in n for n in found.notices)


def test_bad_truth_is_found_before_anything_is_scored(described):
    with pytest.raises(ValueError, match=r"'mine' has values .* 9 \(1 pixels in 1 label maps\)"):
        described([[[0, 1, 1]], [[0, 9, 1]]], [])()
