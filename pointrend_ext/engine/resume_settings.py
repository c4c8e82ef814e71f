"""Which settings a resumed training has: those of its configuration, said where they are new."""

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pointrend_ext.modeling.recording import leaves

# What does not change the numbers of a training.
_OTHER = (
    "DATALOADER.NUM_WORKERS",
    "DATASETS.DESCRIPTIONS",
    "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST",
    "DATASETS.PROPOSAL_FILES_TEST",
    "DATASETS.TEST",
    "CUDNN_BENCHMARK",
    "GLOBAL.",
    "LOGGERS.",
    "INPUT.MAX_SIZE_TEST",
    "INPUT.MIN_SIZE_TEST",
    "MODEL.DEVICE",
    "MODEL.ROI_HEADS.NMS_CLASS_AGNOSTIC",
    "MODEL.ROI_MASK_HEAD.MASK_SCORE",
    "MODEL.WEIGHTS",
    "OUTPUT_DIR",
    "SOLVER.BEST.",
    "SOLVER.CHECKPOINT_KEEP",
    "SOLVER.CHECKPOINT_PERIOD",
    "TEST.",
    "VERSION",
    "VIS_PERIOD",
)


def training_settings(cfg: CfgNode) -> dict[str, Any]:
    """Return what decides the numbers of a training, by dotted name, as a checkpoint holds it."""
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in leaves(cfg)
        if not name.startswith(_OTHER) and not isinstance(value, dict)
    }
    return {**settings, "number of processes": comm.get_world_size()}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs, such as "SOLVER.BASE_LR 0.02 -> 0.01"; new keys do not count."""
    return [
        f"{key} {before[key]!r} -> {value!r}"
        for key, value in now.items()
        if key in before and before[key] != value
    ]


def check_frozen(state: Any, cfg: CfgNode) -> None:
    """Raise ValueError for other frozen parts: momentum would be that of other parameters."""
    before = state.get("settings") if isinstance(state, Mapping) else None
    frozen = before.get("MODEL.FREEZE") if isinstance(before, Mapping) else None
    if frozen not in (None, cfg.MODEL.FREEZE):
        raise ValueError(
            "The checkpoint cannot be resumed: its optimizer is that of a training with "
            f"MODEL.FREEZE {frozen!r}, the configuration has {cfg.MODEL.FREEZE}. Set it as it was, "
            "or start without --resume, with MODEL.WEIGHTS."
        )


class Settings:
    """Settings of an optimizer and its schedule as the configuration asks for them."""

    def __init__(self, optimizer: Optimizer, scheduler: LRScheduler) -> None:
        """Note them, before the state of a checkpoint replaces them."""
        self.optimizer, self.scheduler = optimizer, scheduler
        self.groups = [
            {key: value for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        self.schedule = dict(scheduler.__dict__)

    def restore(self) -> list[str]:
        """Put them in the place of a checkpoint's, at its iteration; return what differs.

        Momentum, position in the schedule and all else that is no setting stays as it is. Where
        nothing differs, learning rates are the same to the last bit: they are a function of the
        settings and the iteration.
        """
        before = [dict(group) for group in self.optimizer.param_groups]
        done = self.scheduler.last_epoch
        for group, settings in zip(self.optimizer.param_groups, self.groups, strict=True):
            group.update(settings)
        self.scheduler.__dict__.update(self.schedule, last_epoch=done, _step_count=done + 1)
        rates = self.scheduler.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.scheduler.__dict__["_last_lr"] = rates
        found: list[str] = []
        for old, new in zip(before, self.groups, strict=True):
            found += changes(
                {k: v for k, v in old.items() if k != "lr"},
                {k: v for k, v in new.items() if k != "lr"},
            )
        return list(dict.fromkeys(found))
