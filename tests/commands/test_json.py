"""What ``--json`` prints is JSON alone, with the figures that people are shown."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from pointrend_ext import cli
from pointrend_ext.commands import export
from pointrend_ext.data.toy import generate_toy_data
from pointrend_ext.deploy.checks.agreement import Figure
from pointrend_ext.deploy.report import ExportReport


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    generate_toy_data(root, num_train=3, num_val=3)
    return root


@pytest.fixture(autouse=True)
def _place(root, tmp_path, monkeypatch, own_catalogs):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def truth(root):
    return COCO(root / "toy/annotations/instances_val.json")


def as_text(rle):
    counts = rle["counts"]
    return {**rle, "counts": counts if isinstance(counts, str) else counts.decode()}


def test_data_check(truth, root, capsys, tmp_path):
    split = {"images": "val", "annotations": "annotations/instances_val.json"}
    description = {"name": "my", "task": "instance", "root": "toy", "splits": {"val": split}}
    (tmp_path / "my.json").write_text(json.dumps(description))
    code = cli.main(["data", "check", "--description", "my.json", "--json", "--max-read", "2"])
    (found,) = json.loads(capsys.readouterr().out)
    assert code == int(bool(found["problems"]))
    assert (found["name"], found["images"], found["images_read"]) == ("my_val", 3, 2)
    objects = [a for a in truth.anns.values() if not a["iscrowd"]]
    names = Counter(truth.cats[a["category_id"]]["name"] for a in objects)
    assert {name: n for name, n in found["objects"].items() if n} == names
    assert sum(found["object_sizes"].values()) == len(objects)
    heights = [image["height"] for image in truth.imgs.values()]
    assert found["height"] == [min(heights), np.median(heights), max(heights)]


def test_data_check_of_label_maps(root, capsys):
    cli.main(["data", "check", "--config-file", "Toy/pointrend_semantic_toy.yaml", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["images"] == 3
    assert {"sky", "grass", "star"} <= found["pixels"].keys()
    assert found["pixels"]["sky"] > 1000
    assert found["objects"] == {}


def test_numbers_that_cannot_be(capsys):
    for words, said in (
        (["predict", "--tile", "0"], "--tile: 0 is below 1"),
        (["score", "--draws", "-1"], "--draws: -1 is below 0"),
        (["data", "look", "--pictures", "x"], "invalid whole number value: 'x'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            cli.main(words)
        assert said in capsys.readouterr().err


def test_score(truth, root, capsys, tmp_path):
    """The truth itself as predictions."""
    results = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "segmentation": as_text(truth.annToRLE(a)),
            "score": 0.9,
        }
        for a in truth.anns.values()
        if not a["iscrowd"]
    ]
    (tmp_path / "true.json").write_text(json.dumps(results))
    words = ["--annotations", str(root / "toy/annotations/instances_val.json"), "--draws", "0"]
    words += ["--predictions", "true=true.json", "--metrics", "segm", "--output", "out", "--json"]
    assert cli.main(["score", *words]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out/evaluation.json").read_text()
    (model,) = json.loads(printed)["models"]
    assert model["scores"]["segm"]["AP"]["value"] == pytest.approx(100)


def test_data_look(root, capsys, tmp_path):
    words = ["data", "look", "--config-file", "Toy/pointrend_rcnn_toy.yaml", "--json"]
    code = cli.main([*words, "--output", "seen", "--pictures", "2"])
    printed = capsys.readouterr()
    (found,) = json.loads(printed.out)
    assert (found["name"], found["images"], code) == ("toy_train", 3, int(bool(found["problems"])))
    assert "2 pictures and summary.txt in seen" in printed.err
    assert len(list((tmp_path / "seen").glob("*.png"))) == 2


def test_the_summary_is_there_before_what_is_wrong_ends_the_loader(root, capsys, monkeypatch):
    monkeypatch.setattr("pointrend_ext.commands.data_look.build_train_loader", lambda cfg: 1 / 0)
    words = ["data", "look", "--config-file", "Toy/pointrend_rcnn_toy.yaml", "--json"]
    with pytest.raises(ZeroDivisionError):
        cli.main([*words, "--output", "seen"])
    assert json.loads(capsys.readouterr().out)[0]["name"] == "toy_train"


def test_convert(capsys, tmp_path):
    name = "proposal_generator.rpn_head.objectness_logits.bias"
    torch.save({"model": {name: torch.ones(3)}}, "old.pth")
    config = ["--config-file", "Toy/pointrend_rcnn_toy.yaml", "--allow-missing"]
    assert cli.main(["convert", "old.pth", "new.pth", *config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["target"], found["source"]) == ("new.pth", "old.pth")
    loaded = [x["name"] for x in found["entries"] if x["status"] == "loaded"]
    assert loaded == [name]
    assert len(found["entries"]) > 50


def test_export(capsys, monkeypatch):
    """A figure that is no number is null, which JSON can hold."""
    report = ExportReport(
        "m.onnx", [Figure("masks", 0.25, 0.5), Figure("boxes", float("nan"))], 1.5
    )

    def export_onnx(*args, **options):
        print("noise")
        return report

    predictor = SimpleNamespace(model=None, cfg=None, classes=None)
    monkeypatch.setattr(export, "build_predictor", lambda args, **options: predictor)
    monkeypatch.setattr(export, "export_onnx", export_onnx)
    words = ["export", "--config-file", "a.yaml", "--output", "m.onnx", "--json"]
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("noise")
    figures = [["masks", 0.25, 0.5], ["boxes", None, None]]
    assert json.loads(printed.out, parse_constant=pytest.fail) == {
        "path": "m.onnx",
        "figures": [dict(zip(("name", "value", "limit"), row, strict=True)) for row in figures],
        "megabytes": 1.5,
    }
