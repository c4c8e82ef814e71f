"""Trainings in two processes: the same gradients, weights and files as the arithmetic says."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from pointrend_ext.data import seed_process
from pointrend_ext.engine import Stopped, Trainer, load_cfg, setup_cfg, train_or_evaluate
from pointrend_ext.engine.parallel import share_buffers, share_model
from pointrend_ext.processes import LostProcess
from tests.engine.disturbed import SIX, weights_of
from tests.parallel import in_processes
from tests.tiny_models import OPTS, TINY

MODELS = {
    "instance": [],
    "frozen": ["MODEL.FREEZE", ["backbone", "proposal_generator"]],
    "frozen mask head": ["MODEL.FREEZE", ["roi_heads.mask_head"]],
    "semantic": OPTS["semantic"],
    "panoptic": OPTS["panoptic"],
    "pointrend_sfnet": [],
    "alignseg": [],
    "pointrend_cascade_rcnn": [],
    "box to mask": [
        *("MODEL.PROPOSAL_GENERATOR.NAME", "GivenBoxes"),
        *("MODEL.ROI_HEADS.NAME", "MaskOnlyROIHeads"),
    ],
}


def _model(name):
    file = name if Path("configs/Toy", f"{name}_toy.yaml").is_file() else "pointrend_rcnn"
    cfg = load_cfg(f"Toy/{file}_toy.yaml", [*TINY, *MODELS[name]])
    seed_process(1)
    return build_model(cfg).train()


def _input(seed, *, empty=False):
    """An image with two objects or none, and a label map, of which an empty one counts nowhere."""
    draw = torch.Generator().manual_seed(seed)
    masks = torch.zeros(0 if empty else 2, 64, 64, dtype=torch.bool)
    for i, mask in enumerate(masks):
        mask[4 + 20 * i : 30 + 20 * i, 6:40] = True
    found = Instances(
        (64, 64), gt_masks=BitMasks(masks), gt_boxes=BitMasks(masks).get_bounding_boxes()
    )
    found.gt_classes = torch.arange(len(masks))
    labels = torch.full((64, 64), 255) if empty else torch.randint(5, (64, 64), generator=draw)
    image = torch.randint(256, (3, 64, 64), generator=draw, dtype=torch.uint8)
    return {"image": image, "instances": found, "sem_seg": labels, "height": 64, "width": 64}


def _gradients(name, inputs, rank):
    model = share_model(_model(name), broadcast_buffers=False)
    seed_process(2, rank)
    with EventStorage():
        sum(model([inputs[rank]] * 2).values()).backward()  # BN needs two
    own = getattr(model, "module", model)
    return {n: p.grad for n, p in own.named_parameters() if p.requires_grad}


def _all_gradients(cases):
    return {
        case: _gradients(name, inputs, comm.get_rank()) for case, (name, inputs) in cases.items()
    }


def test_gradients_are_the_mean_of_those_of_the_processes():
    """Also where one process has no object, and no pixel that counts."""
    full, empty = (_input(1), _input(2)), (_input(1), _input(3, empty=True))
    cases = {
        (name, kind): (name, inputs)
        for name in MODELS
        for kind, inputs in (("full", full), ("one empty", empty))
        if kind == "one empty" or name in ("instance", "box to mask")
    }
    shared = in_processes(2, _all_gradients, cases, timeout=300)
    for case, (name, inputs) in cases.items():
        single = [_gradients(name, inputs, rank) for rank in range(2)]
        assert shared[0][case].keys() == single[0].keys()
        for parameter, gradient in shared[0][case].items():
            place = f"{case}: {parameter}"
            if gradient is None:  # of the FPN, where there is neither RPN nor box head
                assert name == "box to mask", place
                assert {one[case][parameter] for one in shared} == {None}, place
                assert {one[parameter] for one in single} == {None}, place
                continue
            assert torch.equal(gradient, shared[1][case][parameter]), place
            mean = (single[0][parameter] + single[1][parameter]) / 2
            torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6, msg=place)


def _shared_buffers():
    norm = torch.nn.BatchNorm1d(2)
    norm(torch.full((3, 2), float(comm.get_rank())) + torch.arange(3.0)[:, None])
    share_buffers(norm)
    return norm.running_mean.tolist(), norm.num_batches_tracked.item()


def test_all_processes_evaluate_with_the_statistics_of_the_first():
    """The means of its images are 1, of which a tenth counts; those of the other are 2."""
    assert in_processes(2, _shared_buffers) == [(pytest.approx([0.1, 0.1]), 1)] * 2


def _train(args, stop_at=None, signal_rank=None, number=None):
    """Train; at an iteration send a signal to one process."""
    step = Trainer.run_step

    def run_step(trainer):
        if trainer.iter == stop_at and comm.get_rank() == signal_rank:
            os.kill(os.getpid(), number)
        step(trainer)

    Trainer.run_step = run_step
    try:
        train_or_evaluate(setup_cfg(args), resume=args.resume)
    except (Stopped, LostProcess, ValueError) as error:
        return getattr(error, "exit_code", 2), str(error)
    finally:
        Trainer.run_step = step
    return 0, ""


def _train_all(cases):
    """One training after another: starting processes takes longer."""
    return [_train(*case) for case in cases]


def _losses(folder):
    rows = map(json.loads, Path(folder, "metrics.json").read_text().splitlines())
    return [(row["iteration"], row["total_loss"]) for row in rows if "total_loss" in row]


@pytest.fixture
def six(tiny_run, tmp_path):
    """Arguments of a training of six iterations with a seed, in a folder of this name."""

    def arguments(name, *words, opts=()):
        args = tiny_run(*words, opts=[*SIX, "SEED", 3, "OUTPUT_DIR", str(tmp_path / name), *opts])
        args.opts = [*map(str, args.opts)]
        return args

    return arguments


def test_processes_end_together_and_go_on_exactly(six, tmp_path):
    """Files are written once; a signal to the second process ends all, with a checkpoint.

    Sums of two numbers are the same in any order; those of three are not.
    """
    three = ["SOLVER.IMS_PER_BATCH", 3]
    number = signal.SIGUSR1
    labels = ["DATASETS.TRAIN", ("toy_sem_seg_train",), *OPTS["semantic"], "SOLVER.MAX_ITER", 1]
    cases = [
        (six("labels", opts=[*three, *labels]),),  # whose label maps one process checks for all
        (six("whole", opts=three),),
        (six("cut", opts=three), 2, 1, number),
    ]
    ends = in_processes(3, _train_all, cases)
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][:2] == [(0, "")] * 2
    code, text = ends[0][2]
    assert code == 128 + number
    assert f"ended by {number.name}. 2 iterations were done" in text
    assert (tmp_path / "cut" / "last_checkpoint").read_text() == "model_0000001.pth"
    assert in_processes(3, _train, six("cut", "--resume", opts=three)) == [(0, "")] * 3
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    for name, value in weights_of(whole / "model_final.pth").items():
        assert torch.equal(value, weights_of(cut / "model_final.pth")[name]), name
    assert [i for i, _ in _losses(whole)] == [5]  # a line every 20 iterations, and at the end
    assert len(list(whole.glob("events.out.*"))) == 1
    assert sorted(path.name for path in whole.glob("*.pth")) == [
        "model_0000003.pth",
        "model_final.pth",
    ]

    cfg = setup_cfg(six("cut", "--resume", opts=[*three, "SOLVER.MAX_ITER", 7]))
    train_or_evaluate(cfg, resume=True)
    assert "number of processes 3 -> 1" in (cut / "log.txt").read_text()


def test_what_several_processes_cannot_share(six):
    wrong = {
        "IMS_PER_BATCH is 3, but 2 processes share a batch": ["SOLVER.IMS_PER_BATCH", 3],
        "FPN.NORM is SyncBN.*On processors, take naiveSyncBN": ["MODEL.FPN.NORM", "SyncBN"],
    }
    cases = [(six("no", opts=opts),) for opts in wrong.values()]
    for ends in in_processes(2, _train_all, cases):
        for (code, text), words in zip(ends, wrong, strict=True):
            assert code == 2
            assert re.search(words, text)
