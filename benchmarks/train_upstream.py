"""Train the ORIGINAL PointRend that ships inside Detectron2, for comparison with ours.

It uses Detectron2 alone and nothing of ``pointrend_ext``: its own configuration of the model zoo's
Mask R-CNN, the keys of the published PointRend configuration, Detectron2's trainer and mapper.
``docs/reproduction.md`` quotes its runs.
"""

import argparse
import json
from pathlib import Path

from detectron2 import model_zoo
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.evaluation import COCOEvaluator
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.projects import point_rend

POINTREND_KEYS = [
    *("MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True),
    *("MODEL.ROI_MASK_HEAD.NAME", "PointRendMaskHead"),
    *("MODEL.ROI_MASK_HEAD.POOLER_TYPE", ""),
    *("MODEL.ROI_MASK_HEAD.POINT_HEAD_ON", True),
    *("INPUT.MASK_FORMAT", "bitmask"),
]
BASE = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"


class UpstreamTrainer(DefaultTrainer):
    """Detectron2's trainer with its COCO evaluator."""

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> COCOEvaluator:
        """Build the COCO evaluator, writing below ``OUTPUT_DIR/inference``."""
        return COCOEvaluator(dataset_name, output_dir=str(Path(cfg.OUTPUT_DIR) / "inference"))


def main(args: argparse.Namespace) -> None:
    """Train, or evaluate with ``--eval-only``."""
    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.merge_from_file(args.config_file or model_zoo.get_config_file(BASE))
    cfg.merge_from_list([*POINTREND_KEYS, *args.opts])
    cfg.MODEL.POINT_HEAD.NUM_CLASSES = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    cfg.freeze()
    default_setup(cfg, args)
    if not args.eval_only:
        trainer = UpstreamTrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        trainer.train()
        return
    model = UpstreamTrainer.build_model(cfg)
    DetectionCheckpointer(model).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    results = UpstreamTrainer.test(cfg, model)
    with Path(cfg.OUTPUT_DIR, "metrics.json").open("a") as file:
        file.write(json.dumps(flatten_results_dict(results)) + "\n")


if __name__ == "__main__":
    parsed = default_argument_parser().parse_args()
    machines = parsed.num_machines, parsed.machine_rank, parsed.dist_url
    launch(main, parsed.num_gpus, *machines, args=(parsed,))
