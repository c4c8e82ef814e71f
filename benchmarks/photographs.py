"""PointRend against Mask R-CNN on photographs, all with the true boxes: trained alike.

It trains box-to-mask models on the union of the COCO subset and DAVIS, seed by seed, and goes on
where it was stopped. docs/photographs.md tells the protocol and the results.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.engine import default_argument_parser

from benchmarks import stored_features
from benchmarks.photograph_data import SETS, write_descriptions
from pointrend_ext.engine import setup_cfg, train_or_evaluate

__all__ = ["MODELS", "main"]

MODELS = {
    "PointRend": "COCO-InstanceSegmentation/pointrend_box_to_mask_R_50_FPN_1x_coco.yaml",
    "Mask R-CNN 28x28": "COCO-InstanceSegmentation/mask_rcnn_box_to_mask_R_50_FPN_1x_coco.yaml",
    "Mask R-CNN 56x56": "COCO-InstanceSegmentation/mask_rcnn_56_box_to_mask_R_50_FPN_1x_coco.yaml",
}
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


def train(args: argparse.Namespace, model: str, seed: int, descriptions: Sequence[Path]) -> None:
    """Train one model, or go on with it; one that is at its end is left as it is."""
    folder = run_folder(args.output, model, seed)
    if (folder / "model_final.pth").is_file():
        return
    settings = {
        **SETTINGS,
        "DATASETS.DESCRIPTIONS": tuple(map(str, descriptions)),
        "DATASETS.TRAIN": tuple(f"{name}_train" for name in SETS.values()),
        "DATASETS.TEST": (),
        "MODEL.WEIGHTS": str(args.weights),
        "SOLVER.MAX_ITER": args.iterations,
        "SEED": seed,
        "OUTPUT_DIR": str(folder),
    }
    opts = [str(word) for pair in settings.items() for word in pair]
    words = ["--config-file", MODELS[model], "--resume", *opts, *args.opts]
    parsed = default_argument_parser().parse_args(words)
    train_or_evaluate(setup_cfg(parsed), resume=True)


def main(words: Sequence[str] | None = None) -> None:
    """Train all models of the first seed, then of the next."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with coco and davis")
    add("--weights", type=Path, required=True, help="ResNet-50 of ImageNet, R-50.pkl")
    add("--output", type=Path, required=True, help="folder for runs and features (9 GB)")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3])
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--iterations", type=int, default=1500)
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change the configuration")
    args = parser.parse_args(words)
    os.environ.setdefault(stored_features.FOLDER_VARIABLE, str(args.output / "features"))
    descriptions = write_descriptions(args.data, args.output / "data")
    for seed in args.seeds:
        for model in args.models:
            train(args, model, seed, descriptions)


if __name__ == "__main__":
    main()
