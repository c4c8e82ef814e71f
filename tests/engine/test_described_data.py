"""Data sets of ``DATASETS.DESCRIPTIONS`` in a run: registered, checked, trained and evaluated."""

import json
import math
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import register_lvis_instances

from pointrend_ext.data import build_test_loader, checks
from pointrend_ext.data.coco import file as coco_file
from pointrend_ext.engine import Trainer, setup_cfg
from tests.toy_instances import as_lvis


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


@pytest.fixture
def calls(monkeypatch):
    """A factory of counters of calls, in a process that has read nothing."""
    for memory in (coco_file._summaries, coco_file._kept, coco_file._alive):
        memory.clear()
    calls = Counter()

    def count(module, name, of):
        function = getattr(module, name)

        def counting(*args, **options):
            calls[str(of(args))] += 1
            return function(*args, **options)

        monkeypatch.setattr(module, name, counting)
        return calls

    return count


@pytest.mark.parametrize("words", [[], ["--eval-only"]])
def test_a_start_checks_once_and_parses_once(tiny_run, described, toy_root, words, calls):
    calls(coco_file, "read_json", lambda args: Path(args[0]).name)
    calls(coco_file, "_read", lambda args: "check of " + Path(args[0]).name)
    calls(checks, "_check_registered", lambda args: f"{args[0]} registered?")
    calls = calls(checks, "_check_path", lambda args: f"{args[0]} {args[1]}")
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
        **{f"check of {file}": 1 for file in files},
    }


def test_a_training_with_many_evaluations_parses_once(tiny_run, described, toy_root, calls):
    calls = calls(coco_file, "read_json", lambda args: Path(args[0]).name)
    lvis = as_lvis(json.loads((toy_root / "toy/annotations/instances_val.json").read_text()))
    (toy_root / "lvis.json").write_text(json.dumps(lvis))
    several = ["TEST.EVAL_PERIOD", 1, "TEST.AP_STAR_FILE", str(toy_root / "lvis.json")]
    trainer = Trainer(setup_cfg(tiny_run(opts=[*described(), *several])))
    evaluations = []
    trainer.test = lambda cfg, model: evaluations.append(Trainer.test(cfg, model)) or {}
    trainer.train()
    assert [sorted(results) for results in evaluations] == [["ap_star", "bbox", "segm"]] * 4
    files = ("instances_train.json", "instances_val.json", "lvis.json")
    assert calls == dict.fromkeys(files, 1)


@pytest.mark.parametrize("kind", ["toy", "toy_panoptic", "lvis"])
def test_what_detectron2_would_parse_is_parsed_once_too(
    tiny_run, toy_root, calls, monkeypatch, kind
):
    def refuse(*_args, **_options):
        raise AssertionError("parsed by Detectron2")

    for place in ("coco.load_coco_json", "lvis.load_lvis_json"):
        monkeypatch.setattr(f"detectron2.data.datasets.{place}", refuse)
    calls = calls(coco_file, "read_json", lambda args: Path(args[0]).name)
    names = [f"{kind}_train", f"{kind}_val"]
    if kind == "lvis":
        for split, name in zip(("train", "val"), names, strict=True):
            content = json.loads((toy_root / f"toy/annotations/instances_{split}.json").read_text())
            order = {c["id"]: i for i, c in enumerate(content["categories"], start=1)}
            content = as_lvis(content, new_id=order.get)
            for image in content["images"]:
                image["coco_url"] = f"http://images.test/{split}/{image.pop('file_name')}"
            file = toy_root / f"instances_{split}.json"
            file.write_text(json.dumps(content))
            classes = {"thing_classes": [f"class {i}" for i in range(1, 7)]}
            register_lvis_instances(name, classes, str(file), str(toy_root / "toy"))
    options = ["DATASETS.TRAIN", (names[0],), "DATASETS.TEST", (names[1],)]
    if kind == "toy_panoptic":
        options += ["MODEL.META_ARCHITECTURE", "PanopticFPN", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 5]
    trainer = Trainer(setup_cfg(tiny_run(opts=options)))
    assert Trainer.test(trainer.cfg, trainer.model)
    assert calls == {"instances_train.json": 1, "instances_val.json": 1}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.ROI_HEADS.NUM_CLASSES", 5, "is 5, but the data set 'mine_train' has 6"),
        ("DATASETS.TRAIN", ("mine_trian",), "_trian' .* not registered.*mean 'mine_tra"),
    ],
)
def test_mistakes(tiny_run, described, key, value, message):
    with pytest.raises(ValueError, match=message):
        setup_cfg(tiny_run(opts=[*described(), key, value]))


@pytest.mark.parametrize(("words", "split"), [([], "train"), ([], "val"), (["--eval-only"], "val")])
def test_a_missing_image_is_found_at_the_start(
    tiny_run, described, toy_root, tmp_path, words, split
):
    content = json.loads((toy_root / f"toy/annotations/instances_{split}.json").read_text())
    content["images"][-1]["file_name"] = "gone.jpg"
    (tmp_path / "a.json").write_text(json.dumps(content))
    splits = {
        name: {"images": name, "annotations": f"annotations/instances_{name}.json"}
        for name in ("train", "val")
    }
    splits[split]["annotations"] = str(tmp_path / "a.json")
    opts = described(splits=splits)
    number = len(content["images"])
    with pytest.raises(FileNotFoundError, match=rf"'mine_{split}': 1 of {number} .*gone\.jpg"):
        setup_cfg(tiny_run(*words, opts=opts))
    if split == "train":
        setup_cfg(tiny_run("--eval-only", opts=opts))  # which does not need it


@pytest.mark.parametrize("ending", ["whole", "interrupted", "failed"])
def test_how_a_training_ends(tiny_run, described, toy_root, tmp_path, ending):
    content = json.loads((toy_root / "toy/annotations/instances_train.json").read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    of_first = content["annotations"][0]
    for image in content["images"]:  # one box without width in each of the 8 images
        number = len(content["annotations"]) + 10_000
        bad = {**of_first, "id": number, "image_id": image["id"], "bbox": [4, 4, 0, 9]}
        content["annotations"].append(bad)
    (tmp_path / "a.json").write_text(json.dumps(content))
    splits = {
        "train": {"images": "train", "annotations": str(tmp_path / "a.json")},
        "val": {"images": "val", "annotations": "annotations/instances_val.json"},
    }
    opts = [*described(splits=splits), "SOLVER.CHECKPOINT_PERIOD", 99]
    trainer = Trainer(setup_cfg(tiny_run(opts=opts)))
    assert MetadataCatalog.get("mine_train").image_root == str(toy_root / "toy/train")
    steps = {"whole": 4, "interrupted": 2, "failed": 2}[ending]
    error = {"whole": None, "interrupted": KeyboardInterrupt, "failed": OSError}[ending]
    run_step = trainer.run_step

    def step():
        if error and trainer.iter == steps:
            raise error
        run_step()

    trainer.run_step = step
    with pytest.raises(error) if error else nullcontext():
        results = trainer.train()
        assert set(results) == {"bbox", "segm"}
        assert math.isfinite(results["segm"]["AP"])
    log = Path(trainer.cfg.OUTPUT_DIR, "log.txt").read_text()
    number = len(content["annotations"])
    left_out = f"8 of {number} ({8 / number:.1%}) left out: objects whose box has a NaN"
    assert log.count("'mine_train', as trained on: " + left_out) == 1
    assert log.count(left_out) == 2  # at the start and at the end
