"""From a checkpoint to other classes: what a run loads, what it says, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from detectron2.data.datasets import register_coco_instances
from torch import nn

from pointrend_ext.checkpoint import IncompleteWeightsError, UnsafeWeightsError
from pointrend_ext.engine import (
    LoadOptions,
    Trainer,
    build_checkpointer,
    find_class_names,
    load_cfg,
    setup_cfg,
    train_or_evaluate,
)

ALL = ["star", "gear", "blob", "ring", "letter", "plate"]
FEW = ["ring", "star", "cube"]
POINT_HEAD = "roi_heads.mask_head.point_head"


@pytest.fixture
def trained(tiny_run, tmp_path):
    """A checkpoint of one iteration on the toy data's six classes."""
    opts = ["SOLVER.MAX_ITER", 1, "DATASETS.TEST", (), "OUTPUT_DIR", str(tmp_path / "old")]
    train_or_evaluate(setup_cfg(tiny_run(opts=opts)))
    return str(tmp_path / "old/model_final.pth")


@pytest.fixture
def few_classes(toy_root, tmp_path):
    """Options for a data set with two of the toy classes, in another order, and a new one."""
    source = json.loads((toy_root / "toy/annotations/instances_train.json").read_text())
    ids = {c["name"]: c["id"] for c in source["categories"]}
    renamed = {ids["ring"]: 1, ids["star"]: 2, ids["gear"]: 3}  # a gear is called a cube
    kept = [
        {**a, "category_id": renamed[a["category_id"]]}
        for a in source["annotations"]
        if a["category_id"] in renamed
    ]
    source["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(FEW)]
    (tmp_path / "few.json").write_text(json.dumps({**source, "annotations": kept}))
    register_coco_instances("few", {}, str(tmp_path / "few.json"), str(toy_root / "toy/train"))
    return [
        *("DATASETS.TRAIN", ("few",), "DATASETS.TEST", ()),
        *("MODEL.ROI_HEADS.NUM_CLASSES", 3, "OUTPUT_DIR", str(tmp_path / "few")),
    ]


def start(cfg, **options):
    trainer = Trainer(cfg, LoadOptions(**options))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.resume_or_load(resume=False)
    return before, trainer.model.state_dict(), trainer


def test_other_classes_keep_what_belongs_to_none_and_find_their_names(
    tiny_run, trained, few_classes
):
    cfg = setup_cfg(tiny_run(opts=[*few_classes, "MODEL.WEIGHTS", trained]))
    before, after, trainer = start(cfg)
    checkpoint = torch.load(trained, weights_only=True)
    assert checkpoint["class_names"] == {"instance": ALL}
    fc1, width, old = f"{POINT_HEAD}.fc1.weight", 16, checkpoint["model"]
    assert torch.equal(after[fc1][:, :width], old[fc1][:, :width])
    assert torch.equal(after[fc1][:, width:], before[fc1][:, width:])
    log = Path(cfg.OUTPUT_DIR, "log.txt").read_text()
    assert fc1 in log
    assert "0 of 3 classes taken from 6, 3 new; all other columns kept" in log
    checkpointer = trainer.checkpointer
    assert (checkpointer.class_names, checkpointer.for_training) == ({"instance": FEW}, True)
    trainer.build_hooks()
    assert trainer.checkpointer is checkpointer

    before, after, _ = start(cfg, map_classes=True)
    bias = f"{POINT_HEAD}.predictor.bias"
    expected = [old[bias][ALL.index("ring")], old[bias][ALL.index("star")], before[bias][2]]
    assert torch.equal(after[bias], torch.stack(expected))
    log = Path(cfg.OUTPUT_DIR, "log.txt").read_text()
    assert "2 of 3 instance classes are found by name in the weights; new: cube" in log


def test_a_whole_fine_tuning_and_its_evaluation_by_other_classes(tiny_run, trained, few_classes):
    opts = [*few_classes, "MODEL.WEIGHTS", trained, "SOLVER.MAX_ITER", 1]
    train_or_evaluate(setup_cfg(tiny_run(opts=opts)))
    tuned = str(Path(opts[opts.index("OUTPUT_DIR") + 1], "model_final.pth"))
    assert torch.load(tuned, weights_only=True)["class_names"] == {"instance": FEW}
    cfg = setup_cfg(tiny_run(opts=["MODEL.WEIGHTS", tuned]))  # six classes again
    with pytest.raises(IncompleteWeightsError, match=r"NUM_CLASSES.*--allow-missing"):
        train_or_evaluate(cfg, eval_only=True)
    assert train_or_evaluate(cfg, eval_only=True, load_options=LoadOptions(allow_missing=True))


def test_code_in_weights_is_refused_unless_allowed(tiny_run, tmp_path):
    touched = tmp_path / "touched"
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(b"cos\nmkdir\n(V%s\ntR." % str(touched).encode())
    cfg = setup_cfg(tiny_run(opts=["MODEL.WEIGHTS", str(bad)]))
    for eval_only in (True, False):
        with pytest.raises(UnsafeWeightsError, match=r"(os|posix)\.mkdir.*--allow-code"):
            train_or_evaluate(cfg, eval_only=eval_only)
    assert not touched.exists()
    with pytest.raises(ValueError, match="NoneType"):  # mkdir returned no weights
        train_or_evaluate(cfg, eval_only=True, load_options=LoadOptions(allow_code=True))
    assert touched.exists()


def test_a_model_wrapped_for_several_gpus_is_unwrapped():
    model = nn.Linear(2, 2)
    wrapped = nn.DataParallel(model)
    assert build_checkpointer(load_cfg(), wrapped).model is model


@pytest.mark.parametrize(
    ("architecture", "kinds"),
    [
        ("GeneralizedRCNN", {"instance"}),
        ("SemanticSegmentor", {"semantic"}),
        ("PanopticFPN", {"instance", "semantic"}),
    ],
)
def test_class_names_follow_the_architecture(architecture, kinds):
    cfg = load_cfg(opts=["MODEL.META_ARCHITECTURE", architecture])
    panoptic = "coco_2017_val_panoptic_separated"
    names = find_class_names(cfg, ("no_such_set", panoptic, "cityscapes_fine_sem_seg_val"))
    assert set(names) == kinds
    counts = {"instance": 80, "semantic": 54}
    assert {kind: len(n) for kind, n in names.items()} == {k: counts[k] for k in kinds}
    assert find_class_names(cfg, ("no_such_set",)) == {}
