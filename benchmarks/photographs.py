"""PointRend against Mask R-CNN on photographs, all with the true boxes: trained alike.

It trains box-to-mask models on the union of the COCO subset and DAVIS, seed by seed, and goes on
where it was stopped. docs/photographs.md tells the protocol and the results.
"""

import argparse
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.engine import default_argument_parser

from benchmarks.photograph_data import SETS, write_descriptions
from benchmarks.photograph_report import summarize, table
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
BASELINE = "Mask R-CNN 28x28"
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


def run_folder(output: Path, model: str, seed: int) -> Path:
    """Return the ``OUTPUT_DIR`` of a run."""
    return output / model.replace(" ", "_") / f"seed_{seed}"


def settings(args: argparse.Namespace, folder: Path, **more: object) -> list[str]:
    """Return the KEY VALUE pairs of a run; ``more`` are those of one model, dots as ``__``."""
    names = [str(args.output / "data" / f"{name}_description.json") for name in SETS.values()]
    fixed = {**SETTINGS, "DATASETS.DESCRIPTIONS": tuple(names), "OUTPUT_DIR": str(folder)}
    pairs = {**fixed, **{key.replace("__", "."): value for key, value in more.items()}}
    return [*(str(word) for pair in pairs.items() for word in pair), *args.opts]


def train(args: argparse.Namespace, model: str, seed: int) -> None:
    """Train one model, or go on with it; one that is at its end is left as it is."""
    folder = run_folder(args.output, model, seed)
    if (folder / FINAL).is_file():
        return
    opts = settings(
        args,
        folder,
        DATASETS__TRAIN=tuple(f"{name}_train" for name in SETS.values()),
        DATASETS__TEST=(),
        MODEL__WEIGHTS=args.weights,
        SOLVER__MAX_ITER=args.iterations,
        SEED=seed,
    )
    _run(model, "--resume", *opts)


def evaluate(args: argparse.Namespace, model: str, seed: int) -> None:
    """Predict the masks in all true boxes of both sets, where that was not done."""
    folder = run_folder(args.output, model, seed)
    names = tuple(f"{name}_val" for name in SETS.values())
    if all(results_file(args, model, seed, title).is_file() for title in SETS):
        return
    opts = settings(
        args,
        folder,
        DATASETS__TRAIN=(),
        DATASETS__TEST=names,
        TEST__GIVEN_BOXES="ground_truth",
        MODEL__WEIGHTS=folder / FINAL,
    )
    _run(model, "--eval-only", *opts)


def _run(model: str, mode: str, *opts: str) -> None:
    parsed = default_argument_parser().parse_args(["--config-file", MODELS[model], mode, *opts])
    train_or_evaluate(setup_cfg(parsed), eval_only=parsed.eval_only, resume=parsed.resume)


def results_file(args: argparse.Namespace, model: str, seed: int, title: str) -> Path:
    """Return where ``evaluate`` writes the predictions on one of ``SETS``."""
    inference = run_folder(args.output, model, seed) / "inference"
    return inference / f"{SETS[title]}_val" / "coco_instances_results.json"


def report(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all that was predicted; return summaries by data set, see ``summarize``."""
    summaries = {}
    for title, (name, group) in GROUPED.items():
        truth = CocoTruth.load_any(str(args.output / "data" / f"{SETS[name]}_val.json"))
        qualities = {}
        for model in args.models:
            files = [results_file(args, model, seed, name) for seed in args.seeds]
            found = [load_results(file, truth, ("segm",)) for file in files if file.is_file()]
            if found:
                qualities[model] = [mask_quality(truth, results) for results in found]
        summaries[title] = summarize(truth, qualities, BASELINE, group)
    return summaries


def main(words: Sequence[str] | None = None) -> None:
    """Train and evaluate all models of the first seed, then of the next; write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with coco and davis")
    add("--weights", type=Path, required=True, help="ResNet-50 of ImageNet, R-50.pkl")
    add("--output", type=Path, required=True, help="folder for runs and features (9 GB)")
    add("--report", type=Path, required=True, help="folder for photographs.json and .md")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3])
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--iterations", type=int, default=1000)
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change the configuration")
    args = parser.parse_args(words)
    os.environ.setdefault(FOLDER_VARIABLE, str(args.output / "features"))
    write_descriptions(args.data, args.output / "data")
    args.report.mkdir(parents=True, exist_ok=True)
    for seed, model in itertools.product(args.seeds, args.models):
        train(args, model, seed)
        evaluate(args, model, seed)
        summaries = report(args)
        (args.report / "photographs.json").write_text(dumps(summaries, depth=4))
        text = "\n".join(f"**{title}**\n\n{table(s)}" for title, s in summaries.items())
        (args.report / "photographs.md").write_text(text)


if __name__ == "__main__":
    main()
