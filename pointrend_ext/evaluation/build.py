"""Choosing evaluators by the data set's ``evaluator_type``."""

from collections.abc import Callable

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from pointrend_ext.evaluation.cityscapes import CityscapesInstances, CityscapesSemantics
from pointrend_ext.evaluation.coco import InstanceEvaluator
from pointrend_ext.evaluation.lvis_package import LvisInstanceEvaluator
from pointrend_ext.evaluation.semantic import SemanticEvaluator
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS

__all__ = ["build_evaluator"]

_INSTANCE_BOUNDARY_METRIC = "boundary_ap"


def build_evaluator(cfg: CfgNode, dataset_name: str, output_dir: str) -> DatasetEvaluator:
    """Build the evaluator of a registered data set, which writes predictions to ``output_dir``.

    Raises:
        ValueError: no such data set, or its metadata has no ``evaluator_type``, or one that is not
            known; an unknown name in ``TEST.BOUNDARY``.
    """
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type", None)
    if evaluator_type not in _BUILDERS:
        raise ValueError(
            f"Nothing evaluates {dataset_name!r}: its evaluator_type is {evaluator_type!r}, and "
            f"known are {sorted(_BUILDERS)}. Is the data set registered? Set the type with "
            f"MetadataCatalog.get({dataset_name!r}).evaluator_type = ..."
        )
    known = (_INSTANCE_BOUNDARY_METRIC, *BOUNDARY_METRICS)
    unknown = [name for name in cfg.TEST.BOUNDARY if name not in known]
    if unknown:
        raise ValueError(f"TEST.BOUNDARY contains {unknown}; known are {list(known)}.")
    return _BUILDERS[evaluator_type](cfg, dataset_name, output_dir)


def _coco(cfg: CfgNode, dataset_name: str, output_dir: str) -> DatasetEvaluator:
    return InstanceEvaluator(
        dataset_name,
        tasks=_tasks(cfg),
        output_dir=output_dir,
        boundary_ap=_INSTANCE_BOUNDARY_METRIC in cfg.TEST.BOUNDARY,
        ap_star_file=cfg.TEST.AP_STAR_FILE,
    )


def _tasks(cfg: CfgNode) -> tuple[str, ...]:
    # Named, since Detectron2 would infer them from the predictions and find no masks where there
    # are none.
    return ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",)


def _outlines(cfg: CfgNode) -> list[str]:
    # The config may be used with data sets of both kinds.
    return [name for name in cfg.TEST.BOUNDARY if name in BOUNDARY_METRICS]


_BUILDERS: dict[str, Callable[[CfgNode, str, str], DatasetEvaluator]] = {
    "coco": _coco,
    "lvis": lambda cfg, name, folder: LvisInstanceEvaluator(name, _tasks(cfg), output_dir=folder),
    "cityscapes_instance": lambda cfg, name, folder: CityscapesInstances(name, folder),
    "cityscapes_sem_seg": lambda cfg, name, _: CityscapesSemantics(name, boundary=_outlines(cfg)),
    "sem_seg": lambda cfg, name, folder: SemanticEvaluator(name, folder, boundary=_outlines(cfg)),
}
"""By ``evaluator_type``."""
