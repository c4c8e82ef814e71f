"""`pointrend data describe`, and `pointrend train --data`, which describes first."""

import argparse
import json
from pathlib import Path

import pytest

from pointrend_ext import cli
from pointrend_ext.commands import train
from pointrend_ext.engine import load_cfg
from tests.data.formats import writers


@pytest.fixture
def export(tmp_path, monkeypatch, own_catalogs):
    monkeypatch.chdir(tmp_path)
    return writers.labelme(tmp_path / "my export")


def test_what_was_found_and_chosen_is_said(export, tmp_path, capsys):
    words = ["data", "describe", str(export), "--output", "my data", "--name", "mine"]
    assert cli.main([*words, "--weights", "w.pth", "--val-share", "0.5"]) == 0
    said = capsys.readouterr().out
    for part in (
        "my export: labelme\n",
        "instance segmentation, 2 classes (disc, star)\ntrain 2 pictures with ",
        "No split was given: val has 50% of the pictures",
        "  MODEL.WEIGHTS w.pth: as given\n",
        f"Train with: pointrend train --config-file '{tmp_path}/my data/train.yaml'\n",
    ):
        assert part in said
    assert load_cfg("my data/train.yaml").DATASETS.TRAIN == ("mine_train",)
    assert cli.main(["data", "describe", str(export), "--output", "other", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["export"] == "labelme"
    assert found["described"]["num_pictures"] == {"train": 3, "val": 1}
    assert found["recipe"]["values"]["MODEL.ROI_HEADS.NUM_CLASSES"] == 2
    assert found["config"].endswith("other/train.yaml")
    assert "Train with: pointrend train" in printed.err
    assert cli.main(words) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.fixture
def launched(monkeypatch):
    """Configurations of trainings, which are not run."""
    found = []
    monkeypatch.setattr(train, "run_processes", lambda name, work, args: found.append(args) or 0)
    return found


def test_training_an_export(export, launched, tmp_path, capsys):
    assert cli.main(["train", "--data", str(export), "SOLVER.MAX_ITER", "3"]) == 0
    assert "Chosen, on top of COCO-Inst" in capsys.readouterr().out
    (args,) = launched
    assert isinstance(args, argparse.Namespace)
    cfg = load_cfg(args.config_file, args.opts)
    assert cfg.SOLVER.MAX_ITER == 3
    assert cfg.MODEL.WEIGHTS.endswith("model_final_edd263.pkl")
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2
    assert (cfg.OUTPUT_DIR, cfg.DATASETS.TEST) == ("output/my_export", ("my_export_val",))
    assert cli.main(["train", "--data", str(export)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("output/my_export/data is used as it is; remove it to describe")
    first, second = (Path(args.config_file).resolve() for args in launched)
    assert first == second == tmp_path / "output/my_export/data/train.yaml"


def test_another_export_of_the_same_name_is_not_taken_for_it(export, launched, tmp_path, capsys):
    assert cli.main(["train", "--data", str(export)]) == 0
    other = writers.via(tmp_path / "elsewhere/my export")
    assert cli.main(["train", "--data", str(other)]) == 2
    said = capsys.readouterr().err
    assert f"output/my_export/data describes {export}, not {other}: remove or rename" in said
    assert len(launched) == 1


def test_nothing_to_train_on(launched, capsys):
    assert cli.main(["train"]) == 2
    assert "Pass --config-file FILE, or --data EXPORT." in capsys.readouterr().err
    assert launched == []


def test_data_or_a_configuration(export, launched, capsys):
    words = ["train", "--data", str(export), "--config-file", "Toy/pointrend_rcnn_toy.yaml"]
    assert cli.main(words) == 2
    assert "leave out --config-file, or describe the data" in capsys.readouterr().err
    assert launched == []
