"""What is scored of saved predictions is decided over all of them, and what is not is said."""

import dataclasses
import json
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.evaluation import InstanceEvaluator
from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
    read_evaluation,
    write_evaluation,
)
from tests.toy_instances import as_lvis, columns

pytest.importorskip("lvis")


@pytest.fixture
def truth(instances):
    annotations = [(0, 0, columns(20), False), (1, 1, columns(20, 40), False)]
    return instances.truth([(20, 100)] * 2, annotations, ("cat", "dog"))


@pytest.fixture
def found(instances):
    return [
        instances.prediction(0, 0, columns(20), 0.9),
        instances.prediction(1, 1, columns(16, 40), 0.5),
    ]


@pytest.fixture
def evaluate(truth, write_json):
    """Score lists of predictions as the models a, b, ..."""

    def evaluate(*models, content=None, **options):
        data = data_set_of_annotations(write_json(content or truth.dataset, "truth.json"))
        names = "abc"[: len(models)]
        files = {n: str(write_json(m, f"{n}.json")) for n, m in zip(names, models, strict=True)}
        return evaluate_files(data, files, EvaluationOptions(num_draws=3, **options))

    return evaluate


def without(results, key):
    return [{k: v for k, v in r.items() if k != key} for r in results]


def tasks(evaluation):
    return tuple(evaluation.models[0].scores)


def test_nothing_to_notice(evaluate, found):
    evaluation = evaluate(found)
    assert tasks(evaluation) == ("bbox", "segm", "boundary")
    assert evaluation.notices == ()


def test_what_one_model_lacks_is_not_scored_and_said(evaluate, found):
    boxes, masks = without(found, "segmentation"), without(found, "bbox")
    evaluation = evaluate(found, boxes)
    assert tasks(evaluation) == ("bbox",)
    assert evaluation.notices == ("segm is not scored: the predictions of ['b'] have no masks.",)
    evaluation = evaluate(masks, found)
    assert tasks(evaluation) == ("segm", "boundary")
    assert evaluation.notices == ("bbox is not scored: the predictions of ['a'] have no boxes.",)
    with pytest.raises(ValueError, match=r"Nothing can be scored: bbox .*\['b'\].* segm .*\['a'\]"):
        evaluate(boxes, masks)
    # A prediction without a box among others that have one gets that of its mask.
    evaluation = evaluate([found[0], masks[1]])
    assert tasks(evaluation) == ("bbox", "segm", "boundary")
    assert evaluation.models[0].scores["bbox"]["AP"].value == pytest.approx((100 + 70) / 2)
    assert evaluation.notices == (
        "Predictions of 'a': 1 of 2 (50.0%) changed: predictions without a box, which got that of "
        "their mask; first: entry 1 (image_id 2)",
    )
    with pytest.raises(ValueError, match="1 of 2 predictions have no segmentation, such as entry"):
        evaluate([found[0], boxes[1]])
    assert tasks(evaluate([found[0], boxes[1]], metrics=("bbox",))) == ("bbox",)


def test_nothing_predicted(evaluate, found):
    evaluation = evaluate([], found)
    assert tasks(evaluation) == ("bbox", "segm", "boundary")
    assert evaluation.models[0].scores["segm"]["AP"].value == 0
    assert evaluation.notices == ("There is no prediction of ['a'].",)


@pytest.mark.parametrize("absent", [[], None, "no key"])
def test_annotations_without_masks(evaluate, truth, found, absent):
    for annotation in truth.dataset["annotations"]:
        annotation["segmentation"] = absent
        if absent == "no key":
            del annotation["segmentation"]
    evaluation = evaluate(found)
    assert tasks(evaluation) == ("bbox",)
    assert any("segm is not scored: no annotation has a mask" in n for n in evaluation.notices)
    with pytest.raises(ValueError, match=r"No annotation of '.*truth\.json' has a mask.*'segm'"):
        evaluate(found, metrics=("bbox", "segm"))


def test_the_evaluator_leaves_masks_out_where_there_are_none(
    own_catalogs, truth, found, write_json, caplog
):
    for annotation in truth.dataset["annotations"]:
        del annotation["segmentation"]
    DatasetCatalog.register("boxes", list)
    path = str(write_json(truth.dataset, "boxes.json"))
    MetadataCatalog.get("boxes").set(evaluator_type="coco", json_file=path)
    evaluator = InstanceEvaluator("boxes", ("bbox", "segm"))
    assert "has a mask ('segmentation'): masks are not scored." in caplog.text
    evaluator.reset()
    evaluator.shards.write(found)
    results = evaluator.evaluate()
    assert list(results) == ["bbox"]
    assert results["bbox"]["AP"] == pytest.approx((100 + 70) / 2)
    with pytest.raises(ValueError, match=r"Boundary AP and AP\* of its predictions are not d"):
        InstanceEvaluator("boxes", ("bbox", "segm"), boundary_ap=True)


def test_ap_star_is_never_ignored(evaluate, truth, found, write_json):
    path = str(write_json(as_lvis(truth.dataset), "star.json"))
    assert tasks(evaluate(found, ap_star_file=path)) == ("bbox", "segm", "boundary", "ap_star")
    assert tasks(evaluate(found, ap_star_file=path, metrics=("ap_star",))) == ("ap_star",)
    star = as_lvis(truth.dataset)
    star["annotations"][0]["iscrowd"] = 1
    path = str(write_json(star, "crowd.json"))
    (notice,) = evaluate(found, ap_star_file=path).notices
    assert notice.startswith(f"Annotations {path!r}: 1 of 2 (50.0%) noted: crowd")
    boxes = without(found, "segmentation")
    for predictions, metrics, message in (
        (found, ("bbox",), r"--ap-star-file is for the metric 'ap_star'.*--metrics bbox: add it"),
        (boxes, None, r"AP\* .* about masks: segm is not scored: .*\['a'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(predictions, metrics=metrics, ap_star_file=path)
    with pytest.raises(ValueError, match=r"AP\* needs annotations in LVIS's format"):
        evaluate(found, metrics=("ap_star",))


def test_classes_of_one_name_have_rows_of_their_own(evaluate, truth, instances, found):
    for category in truth.dataset["categories"]:
        category["name"] = "disc"
    evaluation = evaluate(found)
    scores = {k: v.value for k, v in evaluation.models[0].scores["segm"].items() if "AP-" in k}
    assert scores == {"AP-disc (1)": pytest.approx(100), "AP-disc (2)": pytest.approx(70)}
    assert evaluation.data_set.classes == ("disc (1)", "disc (2)")
    lvis = evaluate(found, content=as_lvis(truth.dataset))
    scores = {k: v.value for k, v in lvis.models[0].scores["segm"].items() if "AP-" in k}
    assert scores == {"AP-disc (1)": pytest.approx(100), "AP-disc (2)": pytest.approx(70)}


def test_notices_are_kept_and_shown(evaluate, found, tmp_path):
    evaluation = evaluate([*found, found[0]])
    (notice,) = evaluation.notices
    assert notice.startswith(
        "Predictions of 'a': 1 of 3 (33.3%) noted: predictions equal to an ear"
    )
    path = tmp_path / "e.json"
    write_evaluation(evaluation, path)
    assert read_evaluation(path) == evaluation
    content = json.loads(path.read_text())
    assert content.pop("notices") == [notice]
    path.write_text(json.dumps(content))  # as written before there were notices
    assert read_evaluation(path).notices == ()


def test_notices_come_first_in_the_report(evaluate, found, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    from pointrend_ext.evaluation.report import write_report

    evaluation = evaluate(found)
    for notices, items in ((("9 of a <b>", "c"), ["9 of a &lt;b&gt;", "c"]), ((), [])):
        told = dataclasses.replace(evaluation, notices=notices)
        write_report(told, tmp_path / "r.html", num_pictures=0)
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert re.findall("<li>(.*?)</li>", text) == items
        assert text.find('id="notices"') < text.index("<h2>Scores</h2>")
        assert ('id="notices"' in text) == bool(items)


@pytest.mark.parametrize(
    ("option", "value"), [("ap_star_file", "lvis.json"), ("max_detections", 200)]
)
def test_label_maps_refuse_options_of_instances(label_data, label_files, option, value):
    files = {"old": str(label_files[0]["old"])}
    with pytest.raises(ValueError, match=rf"--{option.replace('_', '-')} is .*it is for instances"):
        evaluate_files(label_data, files, EvaluationOptions(**{option: value}))
    with pytest.raises(ValueError, match=r"\['segm'\] of label maps; known are \['boundary_iou'"):
        evaluate_files(label_data, files, EvaluationOptions(("segm",)))


def test_images_belong_to_annotations(call_tool, capsys):
    words = ("--dataset", "toy_val", "--images", "x", "--predictions", "y.json")
    assert call_tool("evaluate", *words) == 2
    assert "--images goes with --annotations" in capsys.readouterr().err


def test_a_large_part_for_another_data_set(evaluate, found, instances):
    strangers = [{**found[0], "image_id": n} for n in range(7, 97)]
    with pytest.raises(ValueError, match=r"entry 2 \(image_id 7\).* so it is with 90 of 92"):
        evaluate([*found, *strangers])
    assert np.isfinite(evaluate(found).models[0].scores["bbox"]["AP"].value)
