"""A training of six iterations, in the middle of which something happens."""

from pathlib import Path

import pytest
import torch
from detectron2.engine import SimpleTrainer
from detectron2.engine.hooks import CallbackHook

from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate

SIX = [
    *("SOLVER.MAX_ITER", 6),
    *("SOLVER.CHECKPOINT_PERIOD", 4),
    *("DATASETS.TEST", ()),
]


def last_checkpoint(folder):
    return Path(folder, Path(folder, "last_checkpoint").read_text())


def weights_of(file):
    return torch.load(file, weights_only=True)["model"]


@pytest.fixture
def run(tiny_run, tmp_path):
    """Run six iterations in a folder, with something that happens in the middle."""

    def start(name, *words, opts=(), after_step=None, in_step=None, before_step=None):
        args = tiny_run(*words, opts=[*SIX, "OUTPUT_DIR", str(tmp_path / name), *opts])
        cfg = setup_cfg(args)
        with pytest.MonkeyPatch.context() as patch:
            build_hooks = Trainer.build_hooks

            def with_events(trainer):
                mine = CallbackHook(before_step=before_step, after_step=after_step)
                return [*build_hooks(trainer), mine]

            patch.setattr(Trainer, "build_hooks", with_events)
            if in_step:
                patch.setattr(SimpleTrainer, "after_backward", in_step)
            train_or_evaluate(cfg, resume=args.resume)
        return tmp_path / name

    return start
