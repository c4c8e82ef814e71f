"""The demo on boxes of another detector: every one gets a mask, and what is not used is said."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest

from pointrend_ext.inference.demo import CocoIds, Detections, find_inputs
from pointrend_ext.visualization import write_image


@pytest.fixture
def detections(toy_truth):
    """The true boxes in no order, one of them twice, as another detector would write them."""
    found = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": a["bbox"],
            "score": round(0.99 - 0.01 * number, 2),
        }
        for number, a in enumerate(reversed(toy_truth.dataset["annotations"]))
    ]
    return [*found, found[0]]


@pytest.fixture
def command(call_tool, tmp_path, toy_root, toy_json, ready_models, predictors):
    kinds = {"c.yaml": "instance", "d.yaml": "panoptic", "s.yaml": "semantic"}
    ready_models({name: predictors(kind) for name, kind in kinds.items()})

    def run(results, *words, inputs=None, config="c.yaml"):
        (tmp_path / "boxes.json").write_text(json.dumps(results))
        return call_tool(
            "demo",
            *("--config-file", config, "--weights", "w.pth", "--output", tmp_path / "out"),
            *(
                "--input",
                *(inputs or [toy_root / "toy" / "val"]),
                "--boxes",
                tmp_path / "boxes.json",
            ),
            *("--image-ids", toy_json, "--save", "json", "overlay", "--no-progress", *words),
        )

    return run


def written(tmp_path):
    return json.loads((tmp_path / "out" / "coco_results.json").read_text())


def by_image(results):
    numbers = {x["image_id"] for x in results}
    return {n: [x for x in results if x["image_id"] == n] for n in numbers}


def test_every_box_gets_a_mask(tmp_path, toy_root, toy_truth, command, detections, predictors):
    detections[3]["bbox"] = [-30, 5, 60, 40]  # half of it is beyond the image
    assert command(detections, "--batch-size", "3") == 0
    results = by_image(written(tmp_path))
    expected = by_image(detections)
    assert results.keys() == expected.keys()
    names = {x["id"]: x["file_name"] for x in toy_truth.dataset["images"]}
    for image_id, own in results.items():
        given = expected[image_id]
        assert [x["category_id"] for x in own] == [x["category_id"] for x in given]
        np.testing.assert_allclose([x["score"] for x in own], [x["score"] for x in given], 1e-6)
        boxes = np.array([x["bbox"] for x in given])
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).clip(0)
        boxes[:, 2:] = corners[:, 2:] - corners[:, :2]
        np.testing.assert_allclose([x["bbox"] for x in own], boxes.clip(0), atol=1e-3)
        predictor = predictors("instance")
        masks = predictor(
            toy_root / "toy" / "val" / names[image_id],
            corners,
            classes=[toy_truth.class_names[x["category_id"]] for x in given],
        ).masks
        for mask, x in zip(masks, own, strict=True):
            np.testing.assert_array_equal(mask_util.decode(x["segmentation"]), mask)
    assert len(list((tmp_path / "out").glob("*.jpg"))) == len(names)


def test_what_is_not_used_is_said_once(tmp_path, toy_root, command, detections, caplog, toy_truth):
    names = {x["id"]: x["file_name"] for x in toy_truth.dataset["images"]}
    first, second, *others = by_image(detections)
    wanted = [toy_root / "toy" / "val" / names[number] for number in (first, second)]
    own = [x for x in detections if x["image_id"] != second]
    own[0] = {**own[0], "bbox": [5, 5, 0, 10]}
    number = sum(x["image_id"] in others for x in own[1:])
    assert command(own, inputs=wanted) == 0
    (said,) = [m for m in caplog.messages if m.startswith("Boxes of ")]
    assert "1 of 2 (50.0%) noted: inputs without a detection" in said
    assert "left out: detections whose box has no area inside the image" in said
    assert f"{number} of {len(own)} " in said
    assert f"left out: detections of {len(others)} images that are not among the inputs" in said
    assert {x["image_id"] for x in written(tmp_path)} == {first}
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 2


def test_confidence_and_classes(tmp_path, command, detections, caplog):
    strong = sorted(x["score"] for x in detections)[-5]
    assert command(detections, "--confidence", str(strong)) == 0
    assert len(written(tmp_path)) == sum(x["score"] >= strong for x in detections)
    assert f"detections of a score below {strong:g} (--confidence)" in "".join(caplog.messages)
    assert command(detections, "--classes", "star") == 0
    assert {x["category_id"] for x in written(tmp_path)} == {1}


def test_two_models_get_the_same_boxes(tmp_path, command, detections):
    assert command(detections, "--compare", "d.yaml") == 0
    assert len(written(tmp_path)) == len(detections)


def test_a_picture_of_another_size_fails_alone(
    tmp_path, toy_root, command, detections, make_picture, toy_truth, capsys
):
    (tmp_path / "val").mkdir()
    for x in toy_truth.dataset["images"]:
        source = toy_root / "toy" / "val" / x["file_name"]
        (tmp_path / "val" / source.name).write_bytes(source.read_bytes())
    write_image(tmp_path / "val" / source.name, make_picture(50, 60))
    write_image(tmp_path / "val" / "unknown.png", make_picture())
    assert command(detections, inputs=[tmp_path / "val"]) == 1
    said = capsys.readouterr().err
    assert "2 failed" in said
    assert f"{source.name} has 50 x 60 pixels (height x width), but " in said
    assert "unknown.png has no id" in said
    assert len(by_image(written(tmp_path))) == len(toy_truth.dataset["images"]) - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 77}, "entry 0 .*its image_id 77 is not among"),
        ({"category_id": 99}, "its category_id 99 is not among"),
        ({"bbox": [1, 2, 3]}, "its bbox .* is not 4 numbers"),
        ({"bbox": [1, 2, float("nan"), 4]}, "its bbox .* is not 4 numbers"),
        ({"bbox": [9, 9, -5, 4]}, "of no negative size"),
        ({"score": "high"}, "its score 'high' is not a finite number"),
    ],
)
def test_wrong_entries(command, detections, change, message, capsys):
    assert command([{**detections[0], **change}, *detections[1:]]) == 2
    matches(message, capsys)


def matches(message, capsys):
    said = capsys.readouterr().err
    assert "Traceback" not in said
    with pytest.raises(ValueError, match=message):
        raise ValueError(said.replace("\n", " "))


def test_wrong_requests(tmp_path, command, detections, call_tool, toy_root, toy_json, capsys):
    run = partial(command, detections)
    assert command([]) == 2
    matches("There is no detection in", capsys)
    assert run(config="s.yaml") == 2
    matches(r"given to a semantic model", capsys)
    assert run("--confidence", "1.5") == 2
    matches(r"none is left for the 8 inputs: \d+ have a lower score", capsys)
    (tmp_path / "clip.mp4").write_bytes(b"")
    assert run(inputs=[tmp_path / "clip.mp4"]) == 2
    matches(r"boxes of pictures, and .*clip\.mp4 is a video", capsys)
    assert run("--webcam", "0") == 2
    matches("camera 0 is a video or camera", capsys)
    given = ("--config-file", "c.yaml", "--weights", "w.pth", "--output", tmp_path / "out")
    images = ("--input", toy_root / "toy" / "val")
    assert call_tool("demo", *given, *images, "--boxes", tmp_path / "boxes.json") == 2
    matches("--boxes needs --image-ids", capsys)
    absent = ("--boxes", tmp_path / "none.json", "--image-ids", toy_json)
    assert call_tool("demo", *given, *images, *absent) == 2
    matches(r"none\.json", capsys)
    with pytest.raises(SystemExit):  # once this drew boxes: now --show-boxes
        call_tool("demo", *given, *images, "--boxes")


def test_classes_that_the_model_lacks(tmp_path, toy_json, toy_root, detections, predictors):
    content = json.loads(toy_json.read_text())
    content["categories"][0]["name"] = "drone"
    (tmp_path / "ids.json").write_text(json.dumps(content))
    (tmp_path / "boxes.json").write_text(json.dumps(detections))
    found = Detections.read(
        tmp_path / "boxes.json",
        CocoIds.read(Path(tmp_path / "ids.json")),
        find_inputs([str(toy_root / "toy" / "val")]).inputs,
    )
    with pytest.raises(
        ValueError, match=r"1 classes that the model lacks \(drone\); it knows star"
    ):
        found.check(predictors("instance"))
