"""PointRend against Mask R-CNN on photographs, all with the true boxes: trained alike.

It trains box-to-mask models on the union of the COCO subset and DAVIS, seed by seed, and measures
their masks; with ``--study inference``, PointRend's with other outputs and numbers of points, with
``--study training``, PointRend's trained with other points. It goes on where it was stopped.
docs/photographs.md tells the protocol and the results.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.engine import default_argument_parser

from benchmarks.photograph_data import (
    SETS,
    annotation_file,
    description_file,
    write_descriptions,
)
from benchmarks.photograph_report import overview, summarize, tables
from benchmarks.report import dumps
from benchmarks.stored_features import FOLDER_VARIABLE
from pointrend_ext.engine import setup_cfg, train_or_evaluate
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.mask_quality import mask_quality
from pointrend_ext.evaluation.results_file import load_results

__all__ = ["MODELS", "main"]

MODELS = {
    "PointRend": "COCO-InstanceSegmentation/pointrend_box_to_mask_R_50_FPN_1x_coco.yaml",
    "Mask R-CNN 28x28": "COCO-InstanceSegmentation/mask_rcnn_box_to_mask_R_50_FPN_1x_coco.yaml",
    "Mask R-CNN 56x56": "COCO-InstanceSegmentation/mask_rcnn_56_box_to_mask_R_50_FPN_1x_coco.yaml",
}
POINTREND, BASELINE = "PointRend", "Mask R-CNN 28x28"
GROUPED = {
    "COCO": ("COCO", "id"),
    "DAVIS": ("DAVIS", "id"),
    "DAVIS, by sequence": ("DAVIS", "sequence"),
}
"""By title: one of ``SETS``, and what of its images is drawn together for intervals."""
FINAL = "model_final.pth"
SETTINGS = {
    "MODEL.BACKBONE.NAME": "build_stored_resnet_fpn_backbone",
    "MODEL.BACKBONE.FREEZE_AT": 5,
    "MODEL.FPN.NORM": "GN",  # without, 400 iterations teach the new pyramid next to nothing
    "MODEL.ROI_HEADS.NUM_CLASSES": 1,
    "MODEL.DEVICE": "cpu",
    "INPUT.MASK_FORMAT": "bitmask",
    "INPUT.MIN_SIZE_TRAIN": (320,),
    "INPUT.MIN_SIZE_TEST": 320,
    "SOLVER.IMS_PER_BATCH": 1,
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR",
    "SOLVER.WARMUP_ITERS": 50,
    "SOLVER.CLIP_GRADIENTS.ENABLED": True,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm",
    "SOLVER.CHECKPOINT_PERIOD": 250,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 8,
    "MODEL.PROPOSAL_GENERATOR.BOX_COPIES": 3,
    "DATALOADER.NUM_WORKERS": 0,
}


_HEAD = "MODEL.MASK_POINT_HEAD"
_STEPS = f"{_HEAD}.SUBDIVISION_STEPS"
_POINTS = f"{_HEAD}.SUBDIVISION_NUM_POINTS"
SHIPPED = "224x224, N = 784"
VARIANTS: dict[str, dict[str, Any]] = {
    SHIPPED: {},
    **{f"{7 * 2**n}x{7 * 2**n}, N = 784": {_STEPS: n} for n in (4, 3, 2)},
    "7x7, the coarse mask": {_STEPS: 0},
    **{f"224x224, N = {n}": {_POINTS: n} for n in (49, 196, 3136)},
}
"""Inference of PointRend, by title."""


def _drawn(k: int, beta: float) -> dict[str, float]:
    return {f"{_HEAD}.OVERSAMPLE_RATIO": k, f"{_HEAD}.IMPORTANCE_SAMPLE_RATIO": beta}


USUAL = "N = 196, k = 3, beta = 0.75"
TRAININGS: dict[str, dict[str, Any]] = {
    USUAL: {},
    "uniform: k = 1, beta = 0": _drawn(1, 0.0),
    "heavily biased: k = 10, beta = 1": _drawn(10, 1.0),
    "N = 49": {f"{_HEAD}.TRAIN_NUM_POINTS": 49},
    "N = 784": {f"{_HEAD}.TRAIN_NUM_POINTS": 784},
    "coarse prediction to the first layer alone": {f"{_HEAD}.COARSE_PRED_EACH_LAYER": False},
}
"""Training of PointRend, by title: points as in Table 5 of the paper, and the coarse mask's way."""


@dataclass(frozen=True)
class Run:
    """One model and seed, how it was trained (``TRAININGS``) and predicts (``VARIANTS``)."""

    args: argparse.Namespace
    model: str
    seed: int
    training: str = USUAL
    variant: str = SHIPPED

    @property
    def folder(self) -> Path:
        """``OUTPUT_DIR`` of the training."""
        own = self.model if self.training == USUAL else f"{self.model} {self.training}"
        return self.args.output / _file_name(own) / f"seed_{self.seed}"

    @property
    def own_folder(self) -> Path:
        """``OUTPUT_DIR`` of the evaluation."""
        own = self.variant.replace(" ", "").replace(",", "_")
        return self.folder if self.variant == SHIPPED else self.folder / own

    def results(self, title: str) -> Path:
        """Return the file of the predictions on one of ``SETS``."""
        return self.own_folder / f"inference/{SETS[title]}_val/coco_instances_results.json"

    def train(self) -> None:
        """Train, or go on with it; a training that is at its end is left as it is."""
        if (self.folder / FINAL).is_file():
            return
        pairs = {
            "DATASETS.TRAIN": tuple(f"{name}_train" for name in SETS.values()),
            "DATASETS.TEST": (),
            "MODEL.WEIGHTS": self.args.weights,
            "SOLVER.MAX_ITER": self.args.iterations,
            "SEED": self.seed,
            "OUTPUT_DIR": self.folder,
        }
        self._start("--resume", {**pairs, **TRAININGS[self.training]})

    def evaluate(self) -> None:
        """Predict the masks in all true boxes of both sets, where that was not done."""
        if all(self.results(title).is_file() for title in SETS):
            return
        pairs = {
            "DATASETS.TRAIN": (),
            "DATASETS.TEST": tuple(f"{name}_val" for name in SETS.values()),
            "TEST.GIVEN_BOXES": "ground_truth",
            "MODEL.WEIGHTS": self.folder / FINAL,
            "OUTPUT_DIR": self.own_folder,
        }
        own = {**TRAININGS[self.training], **VARIANTS[self.variant]}
        self._start("--eval-only", {**pairs, **own})

    def _start(self, mode: str, pairs: Mapping[str, object]) -> None:
        names = (str(description_file(self.args.output, name)) for name in SETS.values())
        pairs = {**SETTINGS, "DATASETS.DESCRIPTIONS": tuple(names), **pairs}
        opts = [str(word) for pair in pairs.items() for word in pair]
        words = ["--config-file", MODELS[self.model], mode, *opts, *self.args.opts]
        parsed = default_argument_parser().parse_args(words)
        train_or_evaluate(setup_cfg(parsed), eval_only=parsed.eval_only, resume=parsed.resume)


def _file_name(title: str) -> str:
    return "".join(c for c in title.replace(" ", "_") if c not in ":,=").replace("__", "_")


def write_report(
    args: argparse.Namespace, runs: Mapping[str, Sequence[Run]], baseline: str, name: str
) -> None:
    """Measure all that was predicted; write summaries and tables by data set.

    Args:
        args: the command line.
        runs: what to compare, by title, one run of each seed.
        baseline: title of what the others are compared with.
        name: of the two files.
    """
    summaries = {}
    for title, (kind, group) in GROUPED.items():
        truth = CocoTruth.load_any(str(annotation_file(args.output, SETS[kind], "val")))
        qualities = {}
        for own, repeated in runs.items():
            files = [run.results(kind) for run in repeated]
            found = [load_results(file, truth, ("segm",)) for file in files if file.is_file()]
            if found:
                qualities[own] = [mask_quality(truth, results) for results in found]
        summaries[title] = summarize(truth, qualities, baseline, group)
    args.report.mkdir(parents=True, exist_ok=True)
    (args.report / f"{name}.json").write_text(dumps(summaries, depth=4))
    write = tables if name == "models" else overview
    (args.report / f"{name}.md").write_text(write(summaries))


def _study(args: argparse.Namespace) -> tuple[dict[str, list[Run]], str]:
    """Return what is compared, one run of each seed by title, and with what of it."""

    def repeated(model: str = POINTREND, **how: str) -> list[Run]:
        return [Run(args, model, seed, **how) for seed in args.seeds]

    if args.study == "inference":
        return {title: repeated(variant=title) for title in VARIANTS}, SHIPPED
    if args.study == "training":
        return {title: repeated(training=title) for title in TRAININGS}, USUAL
    return {model: repeated(model) for model in args.models}, args.baseline


def main(words: Sequence[str] | None = None) -> None:
    """Train and evaluate all models of the first seed, then of the next; write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with coco and davis")
    add("--weights", type=Path, required=True, help="ResNet-50 of ImageNet, R-50.pkl")
    add("--output", type=Path, required=True, help="folder for runs and features (9 GB)")
    add("--report", type=Path, required=True, help="folder for the tables and their data")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3])
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--baseline", choices=MODELS, default=BASELINE, help="what models are compared with")
    add("--iterations", type=int, default=1000)
    add("--study", choices=("models", "inference", "training"), default="models")
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change the configuration")
    args = parser.parse_args(words)
    os.environ.setdefault(FOLDER_VARIABLE, str(args.output / "features"))
    write_descriptions(args.data, args.output)
    runs, baseline = _study(args)
    for repeated in zip(*runs.values(), strict=True):
        for run in repeated:
            run.train()
            run.evaluate()
        is_other = args.study == "models" and baseline != BASELINE
        name = f"against_{_file_name(baseline)}" if is_other else args.study
        write_report(args, runs, baseline, name)


if __name__ == "__main__":
    main()
