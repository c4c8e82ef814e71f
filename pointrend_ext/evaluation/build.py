"""Choosing evaluators by the data set's ``evaluator_type``, and trying them before a training."""

import importlib.util
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators

from pointrend_ext.data.checks import ROI_ARCHITECTURES
from pointrend_ext.data.mapper import PANOPTIC_ARCHITECTURES, SEMANTIC_ARCHITECTURES
from pointrend_ext.evaluation.cityscapes import CityscapesInstances, CityscapesSemantics
from pointrend_ext.evaluation.coco import InstanceEvaluator
from pointrend_ext.evaluation.given_boxes import GROUND_TRUTH, check_given_boxes
from pointrend_ext.evaluation.panoptic import PanopticEvaluator
from pointrend_ext.evaluation.panoptic_quality import BOUNDARY_PQ
from pointrend_ext.evaluation.semantic import SemanticEvaluator
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS

_INSTANCE_BOUNDARY_METRIC = "boundary_ap"
_AP_STAR = "ap_star"
_SEGMENTS = "panoptic segments"
_ARCHITECTURES = {
    "instances": ROI_ARCHITECTURES,
    "label maps": SEMANTIC_ARCHITECTURES,
    _SEGMENTS: PANOPTIC_ARCHITECTURES,
}
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """One evaluator.

    Attributes:
        what: is evaluated, a key of ``_ARCHITECTURES``.
        build: makes it of the configuration, the name of the data set and the folder.
        metrics: what it computes of TEST.BOUNDARY and, as "ap_star", of TEST.AP_STAR_FILE.
        packages: modules it needs beside those of the package, with what pip calls them.
    """

    what: str
    build: Callable[[CfgNode, str, str], DatasetEvaluator]
    metrics: Sequence[str] = ()
    packages: tuple[tuple[str, str], ...] = ()


def build_evaluator(cfg: CfgNode, dataset_name: str, output_dir: str) -> DatasetEvaluator:
    """Build the evaluator of a registered data set, which writes predictions to ``output_dir``.

    Raises:
        ValueError: nothing evaluates the data set, or a metric of the configuration is not known,
            or computed for neither this data set nor another of ``DATASETS.TEST``.
        ImportError: a package that the evaluator needs is not installed.
    """
    parts = _parts(cfg, dataset_name)
    _check_metrics(cfg, dataset_name)
    if cfg.TEST.GIVEN_BOXES and all(part.what != "instances" for part in parts):
        raise ValueError(
            f"TEST.GIVEN_BOXES is {cfg.TEST.GIVEN_BOXES!r}, but {dataset_name!r} has label maps "
            "and no objects: name a data set of instances in DATASETS.TEST, or leave it empty."
        )
    for part in parts:
        for module, package in part.packages:
            if importlib.util.find_spec(module) is None:
                raise ImportError(
                    f"The evaluation of {dataset_name!r} needs the package {package}: pip install "
                    f"{package}."
                )
    check_given_boxes(cfg, dataset_name)
    evaluators = [part.build(cfg, dataset_name, output_dir) for part in parts]
    return evaluators[0] if len(evaluators) == 1 else DatasetEvaluators(evaluators)


def check_evaluation(
    cfg: CfgNode, build: Callable[[CfgNode, str], DatasetEvaluator] | None = None
) -> None:
    """Try now what comes after the training: evaluators of ``DATASETS.TEST``, and their folders.

    Evaluators are those of ``build``, by default of ``build_evaluator``, whose errors are raised.

    Raises:
        ValueError: the model does not predict what is evaluated.
        OSError: the predictions cannot be written, or a file of the truth cannot be read.
    """
    for name in cfg.DATASETS.TEST:
        folder = results_folder(cfg, name)
        try:
            build(cfg, name) if build else build_evaluator(cfg, name, folder)
        except (AttributeError, KeyError, AssertionError) as error:
            raise ValueError(
                f"The evaluator of {name!r} cannot be built: {type(error).__name__}: {error}. Is "
                "the metadata of the data set complete?"
            ) from error
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _check_outputs(cfg, name)


def _check_outputs(cfg: CfgNode, dataset_name: str) -> None:
    """Raise where the model does not predict what is evaluated; say what is not evaluated."""
    architecture = cfg.MODEL.META_ARCHITECTURE
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type", None)
    if evaluator_type not in _PARTS:
        return  # an evaluator of the user's own
    parts = _parts(cfg, dataset_name)
    fitting = {a for part in parts for a in _ARCHITECTURES[part.what]}
    if architecture in {*ROI_ARCHITECTURES, *SEMANTIC_ARCHITECTURES} - fitting:
        raise ValueError(
            f"DATASETS.TEST names {dataset_name!r}, of evaluator_type {evaluator_type!r}, but a "
            f"model of MODEL.META_ARCHITECTURE {architecture!r} does not predict what it evaluates "
            f"({sorted(fitting)} do). Name another data set, or none: DATASETS.TEST '()'."
        )
    if evaluator_type == _PANOPTIC and all(part.what != _SEGMENTS for part in parts):
        what = " and ".join(part.what for part in parts)
        _LOGGER.warning("Of %r, %s are scored; panoptic quality is not.", dataset_name, what)
    if cfg.MODEL.KEYPOINT_ON:
        _LOGGER.warning("Key points are not scored on %r.", dataset_name)


def results_folder(cfg: CfgNode, dataset_name: str) -> str:
    """Return where the predictions on a test set are written: below ``OUTPUT_DIR/inference``."""
    # One of several test sets has a folder of its own: none overwrites another's predictions.
    own = dataset_name if len(cfg.DATASETS.TEST) > 1 else ""
    return str(Path(cfg.OUTPUT_DIR, "inference", own))


def _parts(cfg: CfgNode, dataset_name: str) -> list[_Part]:
    """Return what evaluates a data set; of panoptic ones as far as the model predicts it."""
    metadata = MetadataCatalog.get(dataset_name)
    evaluator_type = metadata.get("evaluator_type", None)
    if evaluator_type not in _PARTS:
        raise ValueError(
            f"Nothing evaluates {dataset_name!r}: its evaluator_type is {evaluator_type!r}, and "
            f"known are {sorted(_PARTS)}. Is the data set registered? Set the type with "
            f"MetadataCatalog.get({dataset_name!r}).evaluator_type = ..."
        )
    if evaluator_type != _PANOPTIC:
        return _PARTS[evaluator_type]
    keys = ("panoptic_json", "json_file", "sem_seg_root")
    parts = [p for p, k in zip(_PARTS[_PANOPTIC], keys, strict=True) if _has(metadata, k)]
    model = cfg.MODEL.META_ARCHITECTURE
    predicted = [p for p in parts if model in _ARCHITECTURES[p.what]] or parts
    if not predicted:
        raise ValueError(
            f"Nothing evaluates the panoptic data set {dataset_name!r}: its metadata has none of "
            f"{list(keys)} (segments, instances, label maps). Register it with one of them."
        )
    return predicted


def _has(metadata: Metadata, key: str) -> bool:
    """Tell whether a file or folder is stated; one of label maps has to be there, too."""
    path = metadata.get(key, None)
    return bool(path) and (key != "sem_seg_root" or Path(path).is_dir())


def _check_metrics(cfg: CfgNode, dataset_name: str) -> None:
    """Refuse metrics that are not known, and those that no test set of the configuration has."""
    known = (BOUNDARY_PQ, _INSTANCE_BOUNDARY_METRIC, *BOUNDARY_METRICS)
    unknown = [name for name in cfg.TEST.BOUNDARY if name not in known]
    if unknown:
        raise ValueError(f"TEST.BOUNDARY contains {unknown}; known are {list(known)}.")
    # The configuration may be used with data sets of several kinds.
    names = dict.fromkeys((dataset_name, *cfg.DATASETS.TEST))
    kinds = {name: MetadataCatalog.get(name).get("evaluator_type", None) for name in names}
    ours = [name for name in names if kinds[name] in _PARTS]  # others have the user's evaluators
    computed = {metric for name in ours for part in _parts(cfg, name) for metric in part.metrics}
    asked = {f"{name!r} of TEST.BOUNDARY": name for name in cfg.TEST.BOUNDARY}
    asked |= {"AP* (TEST.AP_STAR_FILE)": _AP_STAR} if cfg.TEST.AP_STAR_FILE else {}
    for words, metric in asked.items():
        if metric not in computed:
            able = sorted(
                k for k, parts in _PARTS.items() if any(metric in p.metrics for p in parts)
            )
            raise ValueError(
                f"{words} is computed for none of the data sets {kinds} (by evaluator_type), "
                f"only for {able}: remove it, or add such a data set to DATASETS.TEST."
            )


def _instances(
    cfg: CfgNode, dataset_name: str, output_dir: str, lvis_rules: bool = False
) -> DatasetEvaluator:
    return InstanceEvaluator(
        dataset_name,
        # Named, since Detectron2 would infer them from the predictions and find no masks where
        # there are none.
        ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",),
        output_dir=output_dir,
        boundary_ap=_INSTANCE_BOUNDARY_METRIC in cfg.TEST.BOUNDARY,
        ap_star_file="" if lvis_rules else cfg.TEST.AP_STAR_FILE,
        max_dets_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
        lvis_rules=lvis_rules,
        true_boxes=cfg.TEST.GIVEN_BOXES == GROUND_TRUTH,
    )


def _outlines(cfg: CfgNode) -> list[str]:
    return [name for name in cfg.TEST.BOUNDARY if name in BOUNDARY_METRICS]


_SCRIPTS = ("cityscapesscripts", "cityscapesScripts")
_COCO = _Part("instances", _instances, (_INSTANCE_BOUNDARY_METRIC, _AP_STAR))
_LVIS = _Part("instances", partial(_instances, lvis_rules=True), (_INSTANCE_BOUNDARY_METRIC,))
_SEM_SEG = _Part(
    "label maps",
    lambda cfg, name, folder: SemanticEvaluator(name, folder, boundary=_outlines(cfg)),
    BOUNDARY_METRICS,
)
_CITYSCAPES_INSTANCES = _Part(
    "instances",
    lambda cfg, name, folder: CityscapesInstances(
        name, folder, true_boxes=cfg.TEST.GIVEN_BOXES == GROUND_TRUTH
    ),
    packages=(_SCRIPTS, ("shapely", "shapely")),  # Detectron2 reads the polygons with shapely
)
_CITYSCAPES_SEMANTICS = _Part(
    "label maps",
    lambda cfg, name, folder: CityscapesSemantics(name, folder, boundary=_outlines(cfg)),
    BOUNDARY_METRICS,
    (_SCRIPTS,),
)
_PQ = _Part(
    _SEGMENTS,
    lambda cfg, name, folder: PanopticEvaluator(
        name, folder, boundary_pq=BOUNDARY_PQ in cfg.TEST.BOUNDARY
    ),
    (BOUNDARY_PQ,),
)
_PANOPTIC = "coco_panoptic_seg"
_PARTS: dict[str, list[_Part]] = {
    "coco": [_COCO],
    "lvis": [_LVIS],
    "cityscapes_instance": [_CITYSCAPES_INSTANCES],
    "cityscapes_sem_seg": [_CITYSCAPES_SEMANTICS],
    "sem_seg": [_SEM_SEG],
    "cityscapes_panoptic_seg": [_PQ],
    _PANOPTIC: [_PQ, _COCO, _SEM_SEG],
}
"""By ``evaluator_type``."""
