"""Box-to-mask models and frozen parts from the command line on, and weights both ways."""

import json
from pathlib import Path

import pytest
import torch

from pointrend_ext.checkpoint import IncompleteWeightsError
from pointrend_ext.engine import LoadOptions, Trainer, setup_cfg, train_or_evaluate

BOX_TO_MASK = ["Toy/pointrend_box_to_mask_toy.yaml", "Toy/mask_rcnn_box_to_mask_toy.yaml"]
FULL = {"pointrend": "Toy/pointrend_rcnn_toy.yaml", "mask_rcnn": "Toy/mask_rcnn_toy.yaml"}
LAST = "model_final.pth"
PARTS = ("backbone.", "roi_heads.mask_head.")


def weights_of(path):
    return torch.load(path, weights_only=True)["model"]


def log_of(cfg):
    return Path(cfg.OUTPUT_DIR, "log.txt").read_text()


@pytest.fixture
def random_weights(tiny_run, tmp_path):
    """The path of a checkpoint of a model as it was drawn."""

    def random_weights(config):
        cfg = setup_cfg(tiny_run(config=config, opts=["OUTPUT_DIR", str(tmp_path / "drawn")]))
        torch.manual_seed(1)
        torch.save({"model": Trainer.build_model(cfg).state_dict()}, tmp_path / "drawn.pth")
        return str(tmp_path / "drawn.pth")

    return random_weights


@pytest.mark.parametrize("config", BOX_TO_MASK)
def test_trains_and_evaluates_and_a_resumed_training_is_the_same(tiny_run, tmp_path, config):
    def run(folder, *words):
        cfg = setup_cfg(tiny_run(*words, config=config, opts=["OUTPUT_DIR", str(folder)]))
        return train_or_evaluate(cfg, resume=bool(words))

    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    results = run(whole)
    record, *_ = map(json.loads, (whole / "metrics.json").read_text().splitlines())
    # Detectron2 writes a single loss as the total one.
    losses = {"loss_mask", "loss_mask_point"} if "pointrend" in config else set()
    assert {name for name in record if "loss" in name} == {*losses, "total_loss"}
    assert record["total_loss"] > 0.1
    assert results["bbox"]["AP"] == pytest.approx(100)  # boxes are the true ones
    assert results["mask_quality"]["objects"] > 0

    resumed.mkdir()
    (resumed / "model_0000001.pth").write_bytes((whole / "model_0000001.pth").read_bytes())
    (resumed / "last_checkpoint").write_text("model_0000001.pth")
    run(resumed, "--resume")
    first, second, third = (
        weights_of(path) for path in (whole / "model_0000001.pth", whole / LAST, resumed / LAST)
    )
    assert all(torch.equal(second[name], third[name]) for name in second)
    assert any(not torch.equal(first[name], second[name]) for name in second)


@pytest.mark.parametrize("config", BOX_TO_MASK)
def test_weights_of_the_full_model_start_one_and_its_mask_head_goes_back(
    tiny_run, random_weights, tmp_path, config
):
    full = FULL[Path(config).name.partition("_box")[0]]
    source = random_weights(full)
    opts = ["MODEL.WEIGHTS", source, "MODEL.FREEZE", ["backbone"], "DATASETS.TEST", ()]
    cfg = setup_cfg(tiny_run(config=config, opts=opts))
    train_or_evaluate(cfg)
    log = log_of(cfg)
    assert log.count("backbone, FPN, mask head loaded (") == 1
    assert "unexpected  roi_heads.box_predictor.cls_score.{weight, bias}" in log
    assert "stay random" not in log
    trained, before = weights_of(f"{cfg.OUTPUT_DIR}/{LAST}"), weights_of(source)
    assert trained.keys() == {name for name in before if name.startswith(PARTS)}
    moved = {name for name in trained if not torch.equal(trained[name], before[name])}
    assert moved == {name for name in trained if name.startswith("roi_heads.mask_head.")}

    # Back: a training begins with a new detector, and an evaluation has to be asked for.
    opts = ["MODEL.WEIGHTS", f"{cfg.OUTPUT_DIR}/{LAST}", "OUTPUT_DIR", str(tmp_path / "b")]
    back = setup_cfg(tiny_run(config=full, opts=opts))
    with pytest.raises(IncompleteWeightsError, match=r"proposal_generator.*--allow-missing"):
        train_or_evaluate(back, eval_only=True)
    trainer = Trainer(back, LoadOptions())
    trainer.resume_or_load(resume=False)
    assert "backbone, FPN, mask head loaded; RPN, box head new (" in log_of(back)
    state = trainer.model.state_dict()
    assert all(torch.equal(state[name], trained[name]) for name in trained)


def test_a_frozen_part_that_the_weights_lack_is_told(tiny_run, random_weights):
    source = random_weights("Toy/semantic_fpn_toy.yaml")
    body = {n: v for n, v in weights_of(source).items() if n.startswith("backbone.bottom_up.")}
    torch.save({"model": body}, source)
    for frozen, is_told in (["backbone"], True), (["backbone.bottom_up"], False):
        opts = ["MODEL.WEIGHTS", source, "MODEL.FREEZE", frozen, "SOLVER.MAX_ITER", 1]
        cfg = setup_cfg(tiny_run(config="Toy/semantic_fpn_toy.yaml", opts=opts))
        Path(cfg.OUTPUT_DIR, "log.txt").write_text("")
        Trainer(cfg).resume_or_load(resume=False)
        told = "24 frozen parameters are not in" in log_of(cfg)
        assert told == is_told


def test_the_optimizer_leaves_frozen_parts_out(tiny_run):
    opts = ["MODEL.FREEZE", ["backbone", "proposal_generator", "roi_heads.box_*"]]
    cfg = setup_cfg(tiny_run(opts=opts))
    model = Trainer.build_model(cfg)
    optimizer = Trainer.build_optimizer(cfg, model)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    names = {name for name, value in model.named_parameters() if id(value) in trained}
    assert names == {n for n, _ in model.named_parameters() if "mask_head" in n}
