"""`pointrend data points`: a file with points in the place of masks."""

import json

import pytest

from pointrend_ext import cli
from pointrend_ext.data.coco import read_coco_file
from tests.data.builders import HEIGHT, WIDTH, annotation, square, without


def write(path, annotations):
    image = {"id": 1, "file_name": "1.jpg", "height": HEIGHT, "width": WIDTH}
    categories = [{"id": 1, "name": "star"}]
    annotations = [{"id": i, **a} for i, a in enumerate(annotations, start=1)]
    content = {"images": [image], "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def objects(tmp_path):
    """The left half of its box, all of it, a crowd, and one without a mask."""
    return write(
        tmp_path / "masks.json",
        [
            annotation(segmentation=[square(10, 5, 20, 25)]),
            annotation(area=400.0),
            annotation(iscrowd=1),
            without(annotation(), "segmentation"),
        ],
    )


def run(objects, output, *words):
    assert cli.main(["data", "points", str(objects), "--output", str(output), *words]) == 0
    return read_coco_file(str(output)).annotations


def test_points_in_the_place_of_masks(objects, tmp_path, capsys):
    half, whole, crowd, none = run(objects, tmp_path / "new/points.json", "--points", "50")
    said = capsys.readouterr().out
    inside = sum(half["point_labels"]) + 50
    assert f"50 points of each of 2 objects, {inside / 100:.1%} of them inside" in said
    assert "2 crowds and objects without a mask have none" in said
    for (x, y), label in zip(half["point_coords"], half["point_labels"], strict=True):
        assert label == (x < 20)
        assert 10 < x < 30
        assert 5 < y < 25
    assert whole["point_labels"] == [1] * 50
    assert whole["point_coords"] != half["point_coords"]
    assert (whole["area"], whole["bbox"]) == (400, [10, 5, 20, 20])
    assert (crowd["iscrowd"], len(whole["point_coords"])) == (1, 50)
    for entry in (half, whole, crowd, none):
        assert "segmentation" not in entry
    assert not {"point_coords", "point_labels"} & {*crowd, *none}
    assert not read_coco_file(str(objects)).annotations[0].get("point_coords")  # not changed


def test_json_is_the_result_alone(objects, tmp_path, capsys):
    entries = run(objects, tmp_path / "out.json", "--json")
    result = json.loads(capsys.readouterr().out)
    inside = sum(sum(x.get("point_labels", ())) for x in entries)
    expected = {"objects": 2, "points": 10, "inside": inside, "others": 2}
    assert result == {**expected, "file": str(tmp_path / "out.json")}


def test_the_seed_alone_decides(objects, tmp_path):
    same = [run(objects, tmp_path / f"{n}.json", "--seed", "3") for n in "ab"]
    assert same[0] == same[1]
    assert len(same[0][0]["point_labels"]) == 10
    assert run(objects, tmp_path / "c.json") != same[0]


def test_mistakes_are_one_sentence(objects, tmp_path, capsys):
    without_masks = write(tmp_path / "boxes.json", [without(annotation(), "segmentation")])
    out = str(tmp_path / "out.json")
    for file, words, message in (
        (objects, ["--output", str(objects)], "exists: remove it, or name another file."),
        (without_masks, ["--output", out], "has no object with a mask to draw points from."),
        (tmp_path / "gone.json", ["--output", out], "gone.json"),
    ):
        assert cli.main(["data", "points", str(file), *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        cli.main(["data", "points", str(objects), "--output", out, "--points", "0"])
    assert "--points: 0 is below 1" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
