"""The benchmarks of several processes: what they draw, and that their forms agree."""

import json

import pytest

from benchmarks import lvis_gather, processes
from benchmarks.lvis_gather import CLASSES, PER_IMAGE, predictions_of, write_lvis_file


def test_annotations_and_predictions_are_lvis_like(tmp_path):
    write_lvis_file(tmp_path / "a.json", 3)
    content = json.loads((tmp_path / "a.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 2, 3]
    assert [c["id"] for c in content["categories"]] == [*range(1, CLASSES + 1)]
    masks = lvis_gather._masks()
    own = predictions_of(1, masks)
    assert own == predictions_of(1, masks) != predictions_of(2, masks)
    assert len(own) == PER_IMAGE
    assert {p["image_id"] for p in own} == {2}
    true = {(a["category_id"], *a["bbox"]) for a in content["annotations"] if a["image_id"] == 2}
    found = {(p["category_id"] + 1, *p["bbox"]) for p in own}  # numbers of the model
    assert true <= found  # each object is found once, with its own mask
    [second] = [image for image in content["images"] if image["id"] == 2]
    assert not set(second["neg_category_ids"]) & {category for category, *_ in true}


@pytest.mark.slow
def test_both_ends_of_an_evaluation_have_the_same_scores():
    ours, upstream = lvis_gather.main(["--images", "20"])
    assert [ours[:2], upstream[:2]] == [["20", "ours"], ["20", "upstream"]]
    assert ours[4] == upstream[4] != ""


@pytest.mark.slow
def test_starts_and_trainings():
    rows = processes.main(["startup", "--scale", "0.0005", "--processes", "1", "2"])
    assert [row[:2] for row in rows] == [
        ["1", "one for all"],
        ["2", "one for all"],
        ["2", "each for itself"],
    ]
    [row] = processes.main(["throughput", "--processes", "2"])
    assert row[:2] == ["2", "2"]
    assert float(row[3]) > 0
