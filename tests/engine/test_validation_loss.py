"""Losses on the test sets: their values, and that measuring them changes nothing."""

import random

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from pointrend_ext.data import build_validation_loader, seed_process
from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate
from pointrend_ext.engine.validation_loss import measure_losses, validation_losses
from tests.engine.test_resume import assert_same, checkpoint


class Noisy(nn.Module):
    """Losses of a normalised value, plus noise; two of them by the size of the batch."""

    def __init__(self):
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm1d(1), nn.Dropout(0.5)
        self.frozen = nn.Sequential(nn.BatchNorm1d(1)).eval()

    def forward(self, batch):
        assert self.training
        assert not torch.is_grad_enabled()
        x = self.frozen(self.dropout(self.norm(torch.tensor([[float(v)] for v in batch]))))
        losses = {"loss_a": x.sum(), "loss_noise": torch.rand(()) + np.random.rand()}  # noqa: NPY002
        return losses if len(batch) > 1 else {**losses, "loss_b": x.sum() * 0 + random.random()}


def random_states():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002


@pytest.mark.parametrize("is_training", [True, False])
def test_means_and_no_trace(is_training):
    model = Noisy().train(is_training)
    model.norm.running_mean.fill_(1.0)
    model.norm.running_var.fill_(4.0 - 1e-5)
    model.frozen.eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = random_states()
    with EventStorage() as storage:
        first = measure_losses(model, [[3.0, 5.0], [1.0]])
        second = measure_losses(model, [[3.0, 5.0], [1.0]])
        assert storage.latest() == {}
    assert first["loss_a"] == pytest.approx((1 + 2 + 0) / 2, abs=1e-4)  # (x - 1) / 2, per batch
    assert 0 < first["loss_b"] < 0.5  # the mean of one number and none
    losses = sum(value for name, value in first.items() if name != "total_loss")
    assert first["total_loss"] == pytest.approx(losses)
    assert first == second
    assert [module.training for module in model.modules()] == modes
    assert_same(dict(model.state_dict()), state)
    after = random_states()
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()
    assert before[2] == after[2]


def test_an_error_leaves_no_trace():
    model = Noisy().train()
    with pytest.raises(ValueError, match="could not convert"):
        measure_losses(model, [["word"]])
    assert all(module.training for module in (model, model.norm, model.dropout))


OPTS = ["TEST.EVAL_PERIOD", 2, "TEST.VALIDATION_LOSS", True, "SOLVER.WARMUP_ITERS", 0]


def test_the_losses_of_a_model(tiny_run):
    """Those of a forward pass in training, of each image by itself, resized as in evaluations."""
    cfg = setup_cfg(tiny_run(opts=[*OPTS, "INPUT.MIN_SIZE_TRAIN", (48,)]))
    model = Trainer.build_model(cfg)
    found = validation_losses(cfg, model)()["validation"]
    totals = {}
    batches = list(build_validation_loader(cfg, "toy_val"))
    assert {min(batch[0]["image"].shape[1:]) for batch in batches} == {64}
    for module in model.modules():
        module.training = any(module.children())
    with EventStorage(), torch.no_grad():
        for number, batch in enumerate(batches):
            seed_process(7, 0, number)
            for name, loss in model(batch).items():
                totals[name] = totals.get(name, 0) + loss.item() / len(batches)
    assert found.pop("total_loss") == pytest.approx(sum(totals.values()))
    assert found == pytest.approx(totals)
    assert {"loss_mask", "loss_mask_point", "loss_rpn_cls"} < found.keys()


@pytest.mark.parametrize("config", ["pointrend_rcnn_toy", "pointrend_semantic_toy"])
def test_a_training_that_measures_is_the_same(tiny_run, tmp_path, config):
    results = {}
    for name, opts in (("with", OPTS), ("without", OPTS[-2:])):
        own = [*opts, "OUTPUT_DIR", str(tmp_path / name), "SOLVER.MAX_ITER", 3]
        cfg = setup_cfg(tiny_run(opts=own, config=f"Toy/{config}.yaml"))
        results[name] = train_or_evaluate(cfg)
    assert_same(checkpoint(tmp_path / "with"), checkpoint(tmp_path / "without"))
    text = (tmp_path / "with" / "metrics.json").read_text()
    assert '"validation/total_loss"' in text
    assert results["with"].keys() == results["without"].keys()


def test_two_test_sets_have_losses_of_their_own(tiny_run):
    cfg = setup_cfg(tiny_run(opts=[*OPTS, "DATASETS.TEST", ("toy_val", "toy_train")]))
    found = validation_losses(cfg, Trainer.build_model(cfg))()["validation"]
    assert found.keys() == {"toy_val", "toy_train"}
    assert found["toy_val"]["total_loss"] != found["toy_train"]["total_loss"]


def test_test_sets_without_labels(tiny_run, monkeypatch):
    cfg = setup_cfg(tiny_run(opts=OPTS))
    monkeypatch.setattr(
        "pointrend_ext.data.loading.load_registered",
        lambda _: ([{"file_name": "a.jpg", "height": 8, "width": 8, "image_id": 0}], None),
    )
    with pytest.raises(ValueError, match="'toy_val' has records without 'annotations'"):
        validation_losses(cfg, nn.Identity())
