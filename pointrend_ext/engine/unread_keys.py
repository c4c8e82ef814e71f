"""Keys that a user states and that nothing reads: refused, or said once.

The rule. What no run ever reads (``NEVER_READ``) may not be changed, wherever it stands. What is
given on the command line of a training must be read by this training, or it is an error; keys
below ``MODEL``, of which one command line often holds those of several models, and what the
configuration file itself (not its bases) states, are a WARNING. An evaluation alone is not held to
this: configurations of a training state more than it needs.
"""

import difflib
import logging
from collections.abc import Mapping

from detectron2.config import CfgNode

from pointrend_ext.modeling.recording import Reads, RecordingNode, default_values, leaves

logger = logging.getLogger(__name__)

_NO_AUGMENTATION = "there is no test-time augmentation"
_NO_KEYPOINTS = "keypoints are not evaluated"
NEVER_READ = {
    "TEST.AUG.ENABLED": _NO_AUGMENTATION,
    "TEST.AUG.MIN_SIZES": _NO_AUGMENTATION,
    "TEST.AUG.MAX_SIZE": _NO_AUGMENTATION,
    "TEST.AUG.FLIP": _NO_AUGMENTATION,
    "TEST.KEYPOINT_OKS_SIGMAS": _NO_KEYPOINTS,
    "GLOBAL.HACK": "it is for experiments inside Detectron2",
}
READ_ELSEWHERE = {
    "VERSION": "when the file is read",
    "CUDNN_BENCHMARK": "by default_setup, from a dump",
    "MODEL.WEIGHTS": "when weights are loaded",
    "DATASETS.DESCRIPTIONS": "by setup_cfg",
    "DATASETS.TEST": "by setup_cfg",
    "INPUT.MAX_SIZE_TEST": "by the evaluation",
    "INPUT.MIN_SIZE_TEST": "by the evaluation",
    "TEST.AP_STAR_FILE": "by the evaluation",
    "TEST.BOUNDARY": "by the evaluation",
    "TEST.GIVEN_BOXES": "by the evaluation",
    "TEST.EXPECTED_RESULTS": "after the evaluation",
}
READ_WITH = {
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": "SOLVER.CLIP_GRADIENTS.CLIP_TYPE",
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": "SOLVER.CLIP_GRADIENTS.CLIP_TYPE",
}
"""Keys that are read in the first iteration, by what was built when the other key was read."""
_SWITCHES = {
    "DATALOADER.REPEAT": "DATALOADER.SAMPLER_TRAIN RepeatFactorTrainingSampler",
    "DATASETS.PRECOMPUTED": "MODEL.LOAD_PROPOSALS True",
    "DATASETS.PROPOSAL": "MODEL.LOAD_PROPOSALS True",
    "INPUT.COLOR_AUG_SSD": "a semantic model",
    "INPUT.CROP": "INPUT.CROP.ENABLED True",
    "INPUT.LSJ": "INPUT.LSJ.ENABLED True",
    "INPUT.MAX_SIZE_TRAIN": "INPUT.LSJ.ENABLED False",
    "INPUT.MIN_SIZE_TRAIN": "INPUT.LSJ.ENABLED False",
    "LOGGERS.": "wandb or mlflow in LOGGERS.NAMES",
    "SOLVER.BASE_LR_END": "SOLVER.LR_SCHEDULER_NAME WarmupCosineLR",
    "SOLVER.CLIP_GRADIENTS": "SOLVER.CLIP_GRADIENTS.ENABLED True",
    "SOLVER.AMP.DTYPE": "SOLVER.AMP.ENABLED True, and a GPU",
    "SOLVER.BEST": "SOLVER.BEST.METRIC",
    "SOLVER.EMA": "SOLVER.EMA.ENABLED True",
    "SOLVER.GAMMA": "SOLVER.LR_SCHEDULER_NAME WarmupMultiStepLR",
    "SOLVER.NUM_DECAYS": "SOLVER.LR_SCHEDULER_NAME WarmupStepWithFixedGammaLR",
    "SOLVER.POLY": "SOLVER.LR_SCHEDULER_NAME WarmupPolyLR",
    "SOLVER.STEPS": "SOLVER.LR_SCHEDULER_NAME WarmupMultiStepLR",
    "TEST.DETECTIONS_PER_IMAGE": "an instance model",
    "TEST.PRECISE_BN": "TEST.PRECISE_BN.ENABLED True",
}
"""By the beginning of a key: what makes a training read it."""


def never_read(cfg: CfgNode, stated: Mapping[str, str]) -> str:
    """Return what is wrong with keys that no run reads; empty where they are as by default."""
    defaults, values = default_values(), dict(leaves(cfg))
    for key, reason in NEVER_READ.items():
        # Details of what is off may stand in a file that other programs read, too.
        is_detail = key.startswith("TEST.AUG.") and key != "TEST.AUG.ENABLED"
        if values[key] == defaults[key] or (is_detail and stated.get(key) != ""):
            continue
        place = f"{stated[key]}: " if stated.get(key) else ""
        return (
            f"{place}{key} is {values[key]!r}, but nothing reads {key}: {reason}. Leave it out (it "
            f"is {defaults[key]!r} by default)."
        )
    return ""


def record_reads(cfg: CfgNode, stated: Mapping[str, str]) -> CfgNode:
    """Return a copy that notes what is read from it, for ``check_reads``.

    Args:
        cfg: a configuration.
        stated: names that the user stated, and the file; "" for the command line.
    """
    return RecordingNode.of(cfg, Reads(stated=dict(stated)))


def check_reads(cfg: CfgNode) -> None:
    """Check what was stated, once all that a training reads at its start has been read.

    Only a configuration of ``record_reads`` is checked.

    Raises:
        ValueError: keys of the command line that nothing has read, with what would read them.
    """
    if not isinstance(cfg, RecordingNode):
        return
    stated, read, defaults = cfg.reads.stated, set(cfg.reads.keys), default_values()
    read |= {key for key, other in READ_WITH.items() if other in read}
    unread = [key for key in stated if key in defaults and key not in {*read, *READ_ELSEWHERE}]
    in_model = [key for key in unread if key.startswith("MODEL.")]
    words = [key for key in unread if not stated[key] and key not in in_model]
    if words:
        raise ValueError(
            f"Nothing in this training reads {'; '.join(_hint(key, read) for key in words)}. Leave "
            "out what the command line gives in vain."
        )
    values = dict(leaves(cfg))
    in_vain = [f"{key} (command line)" for key in in_model if not stated[key]]
    in_vain += [
        f"{key} ({stated[key]})"
        for key in unread
        if key not in in_model and values[key] != defaults[key]
    ]
    if in_vain:
        logger.warning(
            "%d stated keys are read by nothing in this training and have no effect: %s",
            len(in_vain),
            "; ".join(in_vain),
        )


def _hint(key: str, read: set[str]) -> str:
    switch = next((need for start, need in _SWITCHES.items() if key.startswith(start)), "")
    if switch:
        return f"{key} (it needs {switch})"
    nearest = difflib.get_close_matches(key, read - {key}, n=1, cutoff=0.8)
    return f"{key} (did you mean {nearest[0]}?)" if nearest else key
