"""Data sets of ``DATASETS.DESCRIPTIONS`` in a run: registered, checked, trained and evaluated."""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from detectron2.data import MetadataCatalog

from pointrend_ext.data import build_test_loader, checks, coco_audit
from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate


@pytest.fixture
def described(toy_root, tmp_path):
    """A factory of options that train on the toy instances by a description of them."""
    splits = {
        split: {"images": split, "annotations": f"annotations/instances_{split}.json"}
        for split in ("train", "val")
    }

    def options(**changes):
        content = {"name": "mine", "task": "instance", "root": "toy", "splits": splits, **changes}
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(content))
        names = {"DESCRIPTIONS": str(path), "TRAIN": "mine_train", "TEST": "mine_val"}
        return [x for key, value in names.items() for x in (f"DATASETS.{key}", (value,))]

    return options


def test_a_described_data_set_trains_and_evaluates(tiny_run, described, toy_root):
    cfg = setup_cfg(tiny_run(opts=described()))
    assert MetadataCatalog.get("mine_train").image_root == str(toy_root / "toy/train")
    results = train_or_evaluate(cfg)
    assert set(results) == {"bbox", "segm"}
    assert math.isfinite(results["segm"]["AP"])


@pytest.mark.parametrize("words", [[], ["--eval-only"]])
def test_a_start_checks_once_and_parses_once(tiny_run, described, toy_root, words, monkeypatch):
    calls = Counter()
    monkeypatch.setattr(coco_audit, "_known", {})  # as in a new process

    def count(module, name, of):
        function = getattr(module, name)

        def counting(*args, **options):
            calls[str(of(args))] += 1
            return function(*args, **options)

        monkeypatch.setattr(module, name, counting)

    count(json, "load", lambda args: Path(args[0].name).name)
    count(coco_audit, "_audit", lambda args: "audit of " + Path(args[1]).name)
    count(checks, "_check_registered", lambda args: f"{args[0]} registered?")
    count(checks, "_check_path", lambda args: f"{args[0]} {args[1]}")
    cfg = setup_cfg(tiny_run(*words, opts=described()))
    if words:
        build_test_loader(cfg, "mine_val")
    else:
        Trainer(cfg)
    checked = ("mine_val",) if words else ("mine_train", "mine_val")
    files = [f"instances_{name.removeprefix('mine_')}.json" for name in checked]
    assert {key: n for key, n in calls.items() if "toy" not in key} == {
        **{f"{name} registered?": 1 for name in checked},
        **{f"{name} {key}": 1 for name in checked for key in ("json_file", "image_root")},
        **dict.fromkeys(files, 1),
        **{f"audit of {file}": 1 for file in files},
    }


def test_a_description_is_checked_against_the_model(tiny_run, described):
    opts = [*described(), "MODEL.ROI_HEADS.NUM_CLASSES", 5]
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 5, but the data set 'mine_train' has 6"):
        setup_cfg(tiny_run(opts=opts))


def test_a_mistake_in_a_description(tiny_run, described):
    with pytest.raises(ValueError, match=r"mine\.yaml': 'rot' is no key.* Did you mean 'root'"):
        setup_cfg(tiny_run(opts=described(rot="x")))


def test_a_name_that_no_description_gives(tiny_run, described):
    opts = [*described(), "DATASETS.TRAIN", ("mine_trian",)]
    with pytest.raises(ValueError, match=r"'mine_trian' .* not registered.*Did you mean 'mine_tra"):
        setup_cfg(tiny_run(opts=opts))


@pytest.mark.parametrize("ending", ["whole", "interrupted", "failed"])
def test_a_training_ends_with_what_was_dropped(tiny_run, described, toy_root, tmp_path, ending):
    content = json.loads((toy_root / "toy/annotations/instances_train.json").read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    of_first = content["annotations"][0]
    for image in content["images"]:  # one box without width in each of the 8 images
        number = len(content["annotations"]) + 10_000
        bad = {**of_first, "id": number, "image_id": image["id"], "bbox": [4, 4, 0, 9]}
        content["annotations"].append(bad)
    (tmp_path / "a.json").write_text(json.dumps(content))
    splits = {"train": {"images": "train", "annotations": str(tmp_path / "a.json")}}
    opts = [*described(splits=splits), "DATASETS.TEST", (), "SOLVER.CHECKPOINT_PERIOD", 99]
    trainer = Trainer(setup_cfg(tiny_run(opts=opts)))
    steps = {"whole": 4, "interrupted": 2, "failed": 2}[ending]
    error = {"whole": None, "interrupted": KeyboardInterrupt, "failed": OSError}[ending]
    run_step = trainer.run_step

    def step():
        if error and trainer.iter == steps:
            raise error
        run_step()

    trainer.run_step = step
    with pytest.raises(error) if error else nullcontext():
        trainer.train()
    log = Path(trainer.cfg.OUTPUT_DIR, "log.txt").read_text()
    (line,) = (text for text in log.splitlines() if "counted once per reading" in text)
    assert line.count(f"{2 * steps} x annotation dropped: its box has a NaN") == 1
