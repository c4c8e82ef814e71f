"""The whole way: arguments, training, checkpoint, resume, evaluation."""

import json
import math
from pathlib import Path

import pytest
import torch
from detectron2.utils.events import EventStorage

from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate


def metrics_of(cfg):
    lines = Path(cfg.OUTPUT_DIR, "metrics.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("config", ["Toy/pointrend_rcnn_toy.yaml", "Toy/mask_rcnn_toy.yaml"])
def test_trains_evaluates_and_resumes(tiny_run, config):
    """Also: an evaluation alone gives the results of the training's."""
    cfg = setup_cfg(tiny_run(config=config))
    results = train_or_evaluate(cfg)
    assert set(results) == {"bbox", "segm"}
    assert {"AP", "AP75", "AP85", "AP90", "AP95", "AP85-95"} <= set(results["segm"])
    (record,) = [r for r in metrics_of(cfg) if "total_loss" in r]
    assert record["iteration"] == 3
    assert math.isfinite(record["total_loss"])
    assert ("loss_mask_point" in record) == ("pointrend" in config)

    weights = ["MODEL.WEIGHTS", f"{cfg.OUTPUT_DIR}/model_final.pth"]
    again = setup_cfg(tiny_run("--eval-only", config=config, opts=weights))
    alone = train_or_evaluate(again, eval_only=True)
    for task in ("bbox", "segm"):
        assert alone[task] == pytest.approx(results[task], nan_ok=True)
    assert metrics_of(cfg)[-1]["segm/AP75"] == pytest.approx(alone["segm"]["AP75"], nan_ok=True)

    longer = setup_cfg(tiny_run("--resume", config=config, opts=["SOLVER.MAX_ITER", 6]))
    train_or_evaluate(longer, resume=True)
    iterations = [r["iteration"] for r in metrics_of(longer) if "total_loss" in r]
    assert iterations == [3, 5]  # it went on from 4, it did not start again

    assert torch.load(weights[1], weights_only=False)["iteration"] == 5


@pytest.mark.parametrize("words", [("--eval-only",), ("--eval-only", "--resume")])
def test_eval_only_without_weights_is_refused(tiny_run, words):
    args = tiny_run(*words)
    with pytest.raises(ValueError, match=r"random model.*MODEL\.WEIGHTS"):
        train_or_evaluate(setup_cfg(args), eval_only=True, resume=args.resume)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(tiny_run):
    cfg = setup_cfg(tiny_run(opts=["SOLVER.AMP.ENABLED", True]))
    assert cfg.MODEL.DEVICE == "cpu"
    assert not cfg.SOLVER.AMP.ENABLED
    log = Path(cfg.OUTPUT_DIR, "log.txt").read_text()
    assert log.count("No GPU is available: running on the CPU.") == 1


@pytest.mark.parametrize(
    ("opts", "error", "message"),
    [
        (["MODEL.ROI_HEADS.NUM_CLASSES", 5], ValueError, r"NUM_CLASSES.*5.*6|6.*NUM_CLASSES.*5"),
        (["DATASETS.TRAIN", ("toy_trian",)], ValueError, "toy_train"),
        (["DATASETS.TRAIN", ("coco_2017_train",)], FileNotFoundError, "DETECTRON2_DATASETS"),
        (["MODEL.WEIGHTS", "nowhere.pth"], FileNotFoundError, "nowhere.pth"),
        (["MODEL.MASK_POINT_HEAD.NUM_POINTS", 3], ValueError, "did you mean MODEL.MASK_POINT_HEAD"),
    ],
)
def test_mistakes_are_found_before_a_model_is_built(tiny_run, opts, error, message):
    with pytest.raises(error, match=message):
        setup_cfg(tiny_run(opts=opts))


def test_more_gpus_than_there_are(tiny_run):
    with pytest.raises(ValueError, match=r"--num-gpus is 63, but this machine has \d"):
        setup_cfg(tiny_run("--num-gpus", "63"))


def test_a_toy_set_of_other_numbers_is_left_alone(tiny_run, toy_root):
    before = (toy_root / "toy" / "toy.json").read_text()
    setup_cfg(tiny_run())
    assert (toy_root / "toy" / "toy.json").read_text() == before
    assert len(list((toy_root / "toy" / "train").glob("*.jpg"))) == 8


def test_toy_data_is_made_when_there_is_none(tiny_run, tmp_path, monkeypatch):
    made = []
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    monkeypatch.setattr("pointrend_ext.data.registration.ensure_toy_data", made.append)
    with pytest.raises(FileNotFoundError):  # nothing was really made
        setup_cfg(tiny_run())
    assert made == [str(tmp_path)]


def test_unknown_feature_level(tiny_run):
    cfg = setup_cfg(tiny_run(opts=["MODEL.MASK_POINT_HEAD.IN_FEATURES", ("p1",)]))
    with pytest.raises(ValueError, match=r"MASK_POINT_HEAD\.IN_FEATURES contains 'p1'.*'p2'"):
        train_or_evaluate(cfg)


def test_loss_falls_on_one_batch(tiny_run):
    """The head learns: 40 steps on the same two images."""
    wide = ["MODEL.ROI_BOX_HEAD.FC_DIM", 1024, "MODEL.ROI_MASK_HEAD.FC_DIM", 1024]
    cfg = setup_cfg(tiny_run(opts=wide))
    model = Trainer.build_model(cfg).train()
    batch = next(iter(Trainer.build_train_loader(cfg)))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    history = []
    with EventStorage():
        for _ in range(40):
            losses = model(batch)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            history.append({k: v.item() for k, v in losses.items()})
    for name in ("loss_mask", "loss_mask_point"):
        assert history[0][name] == pytest.approx(math.log(2), abs=0.05)  # logits start near 0
    total = [sum(h.values()) for h in history]
    assert sum(total[-5:]) / 5 < 0.75 * total[0]
