"""The benchmark of evaluation: fair and checked, on data that are what they say."""

import numpy as np
import pycocotools.mask as mask_util
import pytest

from benchmarks import evaluation, options
from benchmarks.evaluation import BOUNDARY, FORMS, Evaluation, compare_results
from benchmarks.synthetic import SyntheticSpec, write_synthetic_data
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_file import load_results

TINY = ["--images=6", "--height=60", "--width=80", "--classes=4", "--objects=3", "--per-image=7"]


def test_both_cases(toy_json, toy_predictions, write_json, monkeypatch):
    monkeypatch.setattr("os.sched_setaffinity", lambda process, cores: None)
    predictions = write_json(toy_predictions, "results.json")
    files = ["--annotations", str(toy_json), "--predictions", str(predictions)]
    _, cases = options.parse(evaluation, [*TINY, *files])
    assert [case.name for case in cases] == ["instances_val", "synthetic, 80x60"]
    said = []
    for case in cases:
        forms = case.build("cpu")
        results = {}
        for name, run in forms.run.items():
            forms.prepare(name)
            results[name] = run()
        assert set(results) == {"upstream", "ours", BOUNDARY}
        said.append(forms.check(results))
    assert f", {len(toy_predictions)} predictions; " in said[0]
    assert said[1].startswith("6 images, ")
    assert "compiled COCOeval_opt" in said[0]


def test_the_timed_scores_are_compared():
    scores = {"AP": 40.0, "AP-a": float("nan")}
    results = {form: {"bbox": dict(scores), "segm": dict(scores)} for form in FORMS}
    results[BOUNDARY]["boundary"] = {"AP": 30.0}
    assert "2 AP differ by at most 0e+00" in compare_results(results)
    results["ours"]["segm"]["AP"] = 40.000002
    with pytest.raises(AssertionError, match=r"ours has another AP than Detectron2: segm, AP$"):
        compare_results(results)
    results["ours"]["segm"]["AP"] = float("nan")
    with pytest.raises(AssertionError, match=r"segm, AP$"):
        compare_results(results)
    results["ours"]["segm"]["AP"] = 40.0
    results[BOUNDARY]["boundary"]["AP"] = 40.1
    with pytest.raises(AssertionError, match=r"Boundary AP is 40\.1"):
        compare_results(results)


def test_every_round_does_the_same(toy_json, toy_predictions, write_json):
    """Evaluators change predictions and annotations; a second round must not feel it."""
    case = Evaluation(toy_json, write_json(toy_predictions))
    rounds = []
    for form in [*FORMS, *FORMS]:
        objects = case.prepare(form)._coco_api.dataset["annotations"]
        if form == "upstream":  # ours has its own copy, parsed and checked once
            assert isinstance(objects[0]["segmentation"], list)  # polygons, not yet run lengths
        rounds.append(case.evaluate())
    assert rounds[0]["segm"] == pytest.approx(rounds[3]["segm"], nan_ok=True)
    assert rounds[1]["segm"]["AP"] == pytest.approx(rounds[0]["segm"]["AP"])
    assert 5 < rounds[0]["segm"]["AP"] < 95


def test_the_forms_are_given_the_same(toy_json, toy_predictions, write_json):
    case = Evaluation(toy_json, write_json(toy_predictions))
    theirs = [x["instances"] for x in case.prepare("upstream")._predictions]
    ours = case.prepare("ours")
    assert ours.shards.finish()
    assert list(ours.shards.read()) == [ours.with_dataset_ids(own) for own in theirs]
    assert sum(map(len, theirs)) == len(toy_predictions) > 0


def test_synthetic_data_are_reproducible_and_valid(tmp_path):
    spec = SyntheticSpec(images=60, height=120, width=160, classes=5, seed=1)
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files = write_synthetic_data(tmp_path / name, spec)
        contents.append([file.read_text() for file in files])
    assert contents[0] == contents[1]
    truth = CocoTruth.load(files[0])
    annotations = truth.dataset["annotations"]
    results = load_results(files[1], truth, ("bbox", "segm"))
    assert len(annotations) / 60 == pytest.approx(spec.objects, abs=1.5)
    assert len(results) / 60 == pytest.approx(spec.per_image, abs=2)
    assert {a["category_id"] for a in annotations} == {1, 2, 3, 4, 5}
    crowds = [a for a in annotations if a["iscrowd"]]
    assert crowds
    for crowd in crowds:
        mask = mask_util.decode(crowd["segmentation"])
        assert mask.shape == (120, 160)
        assert mask.sum() == crowd["area"]
    assert len({r["score"] for r in results}) > 0.9 * len(results)
    assert np.mean([r["score"] for r in results]) < 0.7
