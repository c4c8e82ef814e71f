"""Gradients in parts and in mixed precision, against those of the whole batch."""

import copy
import logging

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.engine import SimpleTrainer
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils.events import EventStorage
from torch import nn
from torch.amp import GradScaler
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from pointrend_ext.engine import Trainer, load_cfg, setup_cfg, train_or_evaluate
from pointrend_ext.engine.steps import PartwiseTrainer, choose_steps
from tests.engine.test_resume import assert_same, checkpoint, scalars_of
from tests.tiny_models import WIDTHS

# no batch normalisation, equally many labelled pixels in every image, and no random draw
WHOLE = [
    *("MODEL.RESNETS.NORM", "FrozenBN"),
    *("MODEL.FPN.NORM", ""),
    *("MODEL.SEM_SEG_HEAD.NORM", ""),
    *("SOLVER.CLIP_GRADIENTS.ENABLED", True),
    *("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm"),
    *("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.05),
]


class Squares(nn.Module):
    """The mean of (w x - y)^2, whose gradient is known, and the mean of w x."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[2.0]]))

    def forward(self, batch):
        x, y = (torch.stack([item[key] for item in batch]) for key in ("x", "y"))
        predicted = nn.functional.linear(x[:, None], self.weight)[:, 0]
        return {"loss_a": ((predicted - y) ** 2).mean(), "loss_b": predicted.mean()}


BATCH = [
    {"x": torch.tensor(x), "y": torch.tensor(y)}
    for x, y in [(1.0, 0.5), (2.0, 3.0), (-1.0, 1.0), (0.5, 0.25)]
]


def low_scale(precision):
    """Scale gradients by as much as those below can bear."""
    return GradScaler("cpu", init_scale=64.0, enabled=precision is torch.float16)


def step(parts, precision=None, clip=None, lr=1.0):
    model = Squares()
    cfg = get_cfg()
    kind = torch.optim.SGD
    if clip:
        cfg.SOLVER.CLIP_GRADIENTS.ENABLED, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = True, clip
        kind = maybe_add_gradient_clipping(cfg, torch.optim.SGD)
    optimizer = kind(model.parameters(), lr=lr)
    trainer = PartwiseTrainer(model, [BATCH], optimizer, parts=parts, precision=precision)
    trainer.grad_scaler = low_scale(precision)
    with EventStorage() as storage:
        trainer.run_step()
    return model, {name: value for name, (value, _) in storage.latest().items()}, trainer


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_by_hand(parts):
    """d/dw of mean (w x - y)^2 + w x at 2 is mean(2 x (2 x - y) + x) = 4.0625."""
    pairs = [(1.0, 0.5), (2.0, 3.0), (-1.0, 1.0), (0.5, 0.25)]
    gradient = sum(2 * x * (2 * x - y) + x for x, y in pairs) / 4
    model, logged, _ = step(parts)
    assert model.weight.item() == pytest.approx(2 - gradient, rel=1e-6)
    assert logged["loss_a"] == pytest.approx(sum((2 * x - y) ** 2 for x, y in pairs) / 4)
    assert logged["loss_b"] == pytest.approx(sum(2 * x for x, _ in pairs) / 4)
    assert logged["total_loss"] == pytest.approx(logged["loss_a"] + logged["loss_b"])


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("precision", [None, torch.bfloat16, torch.float16])
def test_clipping_sees_the_complete_and_unscaled_gradient(parts, precision):
    """It is 4.0625, of which 0.5 is left; of each part 0.5 would be left, too."""
    model, _, trainer = step(parts, precision, clip=0.5)
    assert model.weight.item() == pytest.approx(1.5, abs=1e-6)
    assert trainer.grad_scaler.is_enabled() == (precision is torch.float16)


@pytest.mark.parametrize("parts", [1, 2])
def test_what_is_computed_in(parts):
    seen = []
    linear = nn.functional.linear

    def record(x, weight):
        y = linear(x, weight)
        seen.append(y.dtype)
        return y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "linear", record)
        for precision in (None, torch.bfloat16, torch.float16):
            model, _, _ = step(parts, precision, lr=0.1)
            assert model.weight.dtype == torch.float32
    assert seen == [torch.float32] * parts + [torch.bfloat16] * parts + [torch.float16] * parts


@pytest.mark.parametrize("parts", [1, 4])
def test_an_infinite_part_skips_the_whole_step_and_halves_the_scale(parts):
    model = Squares()
    batch = copy.deepcopy(BATCH)
    batch[0]["x"] = torch.tensor(3e4)  # finite losses, but no finite scaled gradient in float16
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    trainer = PartwiseTrainer(model, [batch], optimizer, parts=parts, precision=torch.float16)
    trainer.grad_scaler = low_scale(torch.float16)
    with EventStorage():
        trainer.run_step()
    assert model.weight.item() == 2
    assert trainer.grad_scaler.get_scale() == 32


def train_half(rank, folder):
    """One of two processes: half of the batch, in two parts."""
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    model = DistributedDataParallel(Squares())
    synchronised = []
    model.register_comm_hook(synchronised, count_and_average)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    trainer = PartwiseTrainer(model, [BATCH[rank::2]], optimizer, parts=2)
    with EventStorage():
        trainer.run_step()
    torch.save((model.module.weight.item(), len(synchronised)), folder / str(rank))
    torch.distributed.destroy_process_group()


def count_and_average(seen, bucket):
    seen.append(bucket.index())
    return allreduce_hook(None, bucket)


def test_two_processes_exchange_complete_gradients_once(tmp_path):
    torch.multiprocessing.spawn(train_half, (tmp_path,), nprocs=2)
    alone = step(1)[0].weight.item()
    for rank in (0, 1):
        weight, exchanges = torch.load(tmp_path / str(rank))
        assert weight == pytest.approx(alone, rel=1e-6)
        assert exchanges == 1


@pytest.fixture
def trained(tiny_run, tmp_path):
    def run(name, *opts, config="Toy/semantic_fpn_toy.yaml"):
        own = ["OUTPUT_DIR", str(tmp_path / name), "DATASETS.TEST", (), "SOLVER.MAX_ITER", 2]
        own += ["SOLVER.IMS_PER_BATCH", 4, "SOLVER.WARMUP_ITERS", 0]
        train_or_evaluate(setup_cfg(tiny_run(opts=[*own, *opts], config=config)))
        return checkpoint(tmp_path / name), scalars_of(tmp_path / name)

    return run


def stepped(parts):
    """A Semantic FPN after two steps on eight images of one size, every pixel labelled."""
    torch.manual_seed(0)
    cfg = load_cfg("Toy/semantic_fpn_toy.yaml", [*WIDTHS, *WHOLE, "MODEL.DEVICE", "cpu"])
    model = Trainer.build_model(cfg).double()
    data = [
        {"image": torch.rand(3, 64, 96) * 255, "sem_seg": torch.randint(10, (64, 96))}
        for _ in range(8)
    ]
    optimizer = Trainer.build_optimizer(cfg, model)
    trainer = PartwiseTrainer(model, [data[:4], data[4:]], optimizer, parts=parts)
    with EventStorage() as storage:
        for _ in range(2):
            trainer.run_step()
    return model.state_dict(), storage.latest()["total_loss"][0]


def test_a_semantic_model_in_parts_is_that_of_the_whole_batch():
    (whole, loss), (parts, same) = stepped(1), stepped(4)
    assert same == pytest.approx(loss, rel=1e-6)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-6, atol=1e-8)


def test_instances_train_in_parts_and_go_on_otherwise(trained, tiny_run, tmp_path, caplog):
    config = "Toy/pointrend_rcnn_toy.yaml"
    trained("run", "SOLVER.ACCUMULATION_STEPS", 2, config=config)
    opts = ["OUTPUT_DIR", str(tmp_path / "run"), "DATASETS.TEST", (), "SOLVER.MAX_ITER", 3]
    opts += ["SOLVER.IMS_PER_BATCH", 4, "SOLVER.WARMUP_ITERS", 0]
    cfg = setup_cfg(tiny_run("--resume", opts=opts))
    logging.getLogger("pointrend_ext").propagate = True
    train_or_evaluate(cfg, resume=True)
    assert "SOLVER.ACCUMULATION_STEPS 2 -> 1" in caplog.text
    assert [i for _, i in scalars_of(tmp_path / "run")["loss_mask_point"]] == [0, 1, 2]


def test_interrupted_in_parts(trained, tiny_run, tmp_path):
    """Instances, whose points are drawn at random, to the last bit."""
    opts = ["SOLVER.ACCUMULATION_STEPS", 2, "SOLVER.CHECKPOINT_PERIOD", 1]
    whole, _ = trained("whole", *opts, config="Toy/pointrend_rcnn_toy.yaml")
    part = tmp_path / "part"
    part.mkdir()
    (part / "model_0000000.pth").write_bytes((tmp_path / "whole/model_0000000.pth").read_bytes())
    (part / "last_checkpoint").write_text("model_0000000.pth")
    opts += ["OUTPUT_DIR", str(part), "DATASETS.TEST", (), "SOLVER.MAX_ITER", 2]
    opts += ["SOLVER.IMS_PER_BATCH", 4, "SOLVER.WARMUP_ITERS", 0]
    train_or_evaluate(setup_cfg(tiny_run("--resume", opts=opts)), resume=True)
    assert_same(checkpoint(part), whole)


def test_detectron2s_own_steps_by_default():
    trainer = SimpleTrainer(Squares(), [BATCH], None)
    assert choose_steps(load_cfg(), trainer) is trainer
    chosen = choose_steps(load_cfg(opts=["SOLVER.ACCUMULATION_STEPS", 2]), trainer)
    assert (chosen.parts, chosen.precision) == (2, None)
    opts = ["SOLVER.AMP.ENABLED", True]
    assert choose_steps(load_cfg(opts=opts), trainer).precision is torch.float16
    opts += ["SOLVER.AMP.DTYPE", "bfloat16"]
    assert choose_steps(load_cfg(opts=opts), trainer).precision is torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_float16_is_switched_off_and_said(tiny_run, capsys):
    opts = ["SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "float16", "DATASETS.TEST", ()]
    trainer = Trainer(setup_cfg(tiny_run(opts=opts)))  # the data type is not given in vain
    assert type(trainer._trainer) is SimpleTrainer
    said = "SOLVER.AMP.ENABLED (float16) needs a CUDA GPU: training in full precision."
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "config", ["pointrend_rcnn_toy", "pointrend_semantic_toy", "implicit_pointrend_mask_head_toy"]
)
def test_bfloat16_on_a_cpu(trained, config):
    mixed = ["SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "bfloat16"]
    config = f"Toy/{config}.yaml"
    own = ["MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", 1, "MODEL.WEIGHTS", ""]
    (_, full), (_, half) = (
        trained(f"{len(opts)}", *own, *opts, config=config) for opts in ([], mixed)
    )
    (total, _), (near, _) = full["total_loss"][0], half["total_loss"][0]
    assert near == pytest.approx(total, rel=0.1)  # of random weights
    assert near != total


def test_a_scale_of_gradients_is_kept_and_missed():
    _, _, scaled = step(1, torch.float16)
    scaled.grad_scaler.update(128.0)
    _, _, other = step(1, torch.float16)
    other.load_state_dict(scaled.state_dict())
    assert other.grad_scaler.get_scale() == 128.0
    _, _, plain = step(2, torch.bfloat16)
    assert "grad_scaler" not in plain.state_dict()
    plain.load_state_dict(scaled.state_dict())
    with pytest.raises(KeyError, match="grad_scaler"):
        scaled.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("ACCUMULATION_STEPS", 3), "STEPS is 3, but a process trains on 2 images per iteration"),
        (("ACCUMULATION_STEPS", 4), "STEPS is 4, but a process trains on 2 images per iteration"),
        (("ACCUMULATION_STEPS", 0), "ACCUMULATION_STEPS is 0; it must be at least 1"),
        (("AMP.DTYPE", "float8"), "AMP.DTYPE is 'float8'; it must be one of float16, bfloat16"),
    ],
)
def test_wrong_values(tiny_run, opts, message):
    with pytest.raises(ValueError, match=message):
        setup_cfg(tiny_run(opts=[f"SOLVER.{opts[0]}", opts[1]]))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_on_a_gpu(trained, dtype):
    own = ["SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", dtype, "MODEL.CHANNELS_LAST", True]
    config = "Toy/pointrend_rcnn_toy.yaml"
    (_, one), (_, other) = (
        trained(f"{n}", *own, "SOLVER.ACCUMULATION_STEPS", n, config=config) for n in (1, 2)
    )
    for losses in (one, other):
        assert 0 < losses["total_loss"][-1][0] < 20
