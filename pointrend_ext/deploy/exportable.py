"""Which models and wishes are refused, each in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNN, PanopticFPN, SemanticSegmentor
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import CascadeROIHeads, StandardROIHeads
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.modeling.roi_heads.mask_head import BaseMaskRCNNHead
from torch import nn
from torchvision.ops import RoIPool

from pointrend_ext.deploy.precision import PRECISIONS
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.image_input import ImageLike
from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.roi_heads import MaskOnlyROIHeads, PointRendROIMaskHead
from pointrend_ext.modeling.roi_heads.suppression import ClassAgnosticOutputLayers

_UNMEASURED = "'fp32' without pictures on which its loss is measured (--check-images)"


@dataclass(frozen=True)
class ExportOptions:
    """What a user may ask of an export.

    Attributes:
        part: "model", from an image to predictions; or "mask_head", from feature maps, boxes and
            classes to masks.
        output: of a semantic or panoptic model "labels" or "logits".
        batch_size: images that a semantic model takes at once, all of one size.
        check_images: files or (H, W, 3) uint8 RGB that the file and the model are compared on, such
            as photographs of the kind it was trained on; by default scenes of the toy data.
        classes: what the classes are called, for those who use the file.
        precision: of an ONNX file, one of ``PRECISIONS``.
        together: whether the masks of all objects are refined at once, as a GPU wants it, or of two
            at a time, as a CPU wants it; .pt2 files know the first form alone.
    """

    part: str = "model"
    output: str = "labels"
    batch_size: int = 1
    check_images: Sequence[ImageLike] = ()
    classes: Classes | None = None
    precision: str = "fp32"
    together: bool = False


def check_exportable(model: nn.Module, cfg: CfgNode, options: ExportOptions) -> None:
    """Refuse what has no graph.

    Raises:
        ValueError: says what was found, and what can be exported instead.
    """
    part, output, batch_size = options.part, options.output, options.batch_size
    precision, is_full = options.precision, options.precision == "fp32"
    shown = options.check_images
    is_list = isinstance(shown, Sequence) and not isinstance(shown, str)
    image_format = cfg.INPUT.FORMAT
    is_count = isinstance(batch_size, Integral) and batch_size >= 1
    check_values(
        "export",
        ("part", part, part in ("model", "mask_head"), "'model' or 'mask_head'"),
        ("output", output, output in ("labels", "logits"), "'labels' or 'logits'"),
        ("batch_size", batch_size, is_count, "at least 1"),
        ("check_images", type(shown).__name__, is_list, "a list of pictures"),
        ("precision", precision, precision in PRECISIONS, " or ".join(PRECISIONS)),
        ("precision", precision, is_full or (is_list and len(shown) > 0), _UNMEASURED),
    )
    is_color = image_format in ("RGB", "BGR")
    check_values("INPUT", ("FORMAT", image_format, is_color, "RGB or BGR to be exported"))
    if isinstance(model, SemanticSegmentor | PanopticFPN):
        _check_label_map(cfg)
    if isinstance(model, SemanticSegmentor):
        wanted = "'model': a semantic one has no masks"
        check_values("export", ("part", part, part == "model", wanted))
        return
    of_part = _problem_of_boxes if part == "model" else _problem_of_mask_head
    if problem := _problem_of_instances(model) or of_part(model):
        raise ValueError(problem)
    only = "1 for a model of instances: images have different numbers of objects"
    none = "'labels', the default, for instances: they have no logits of pixels"
    has_logits = isinstance(model, PanopticFPN) and part == "model"
    check_values(
        "export",
        ("batch_size", batch_size, batch_size == 1, only),
        ("output", output, output == "labels" or has_logits, none),
    )


def _check_label_map(cfg: CfgNode) -> None:
    head = cfg.MODEL.SEM_SEG_HEAD
    if "DeepLabV3" in head.NAME + cfg.MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME:
        pooling, wanted = head.ASPP_POOLING, "'global' to be exported: 'crop' takes one size alone"
        check_values("MODEL.SEM_SEG_HEAD", ("ASPP_POOLING", pooling, pooling == "global", wanted))


def _problem_of_instances(model: nn.Module) -> str:
    name = type(model).__name__
    if not isinstance(model, GeneralizedRCNN):
        for inner in ("module", "_orig_mod", "model"):  # of DDP, torch.compile, a Predictor
            if hasattr(model, inner):
                return f"The model is wrapped in a {name}: export model.{inner} instead."
        return f"A {name} cannot be exported: instance, semantic and panoptic models can."
    if not getattr(model.roi_heads, "mask_on", False):
        return "The model predicts boxes alone (MODEL.MASK_ON False): there are no masks to export."
    return ""


def _problem_of_mask_head(model: GeneralizedRCNN) -> str:
    if isinstance(model.roi_heads.mask_head, PointRendROIMaskHead):
        return ""
    return (
        f"The mask head is a {type(model.roi_heads.mask_head).__name__}; only a "
        "PointRendROIMaskHead is exported alone. Export the whole model."
    )


def _problem_of_boxes(model: GeneralizedRCNN) -> str:
    rpn, heads = model.proposal_generator, model.roi_heads
    if isinstance(heads, MaskOnlyROIHeads) or rpn is None:
        return (
            "The model finds no objects by itself (MODEL.ROI_HEADS.NAME 'MaskOnlyROIHeads', or "
            "MODEL.PROPOSAL_GENERATOR.NAME 'PrecomputedProposals'): export its mask head "
            "(--part mask_head), which takes boxes."
        )
    if getattr(heads, "keypoint_on", False):
        return "MODEL.KEYPOINT_ON is True: keypoints cannot be exported. Set it to False."
    predictors = getattr(heads, "box_predictor", None)
    predictors = predictors if isinstance(predictors, nn.ModuleList) else [predictors]
    # Their subclasses may do anything else; graphs are made of what these do.
    known: tuple[tuple[object, tuple[type, ...]], ...] = (
        (heads, (StandardROIHeads, CascadeROIHeads)),
        (rpn, (RPN,)),
        (getattr(rpn, "anchor_generator", None), (DefaultAnchorGenerator,)),
        (getattr(heads, "box_pooler", None), (ROIPooler,)),
        *((x, (FastRCNNOutputLayers, ClassAgnosticOutputLayers)) for x in predictors),
    )
    odd = [type(x).__name__ for x, kinds in known if type(x) not in kinds]
    if not odd and not isinstance(heads.mask_head, PointRendROIMaskHead | BaseMaskRCNNHead):
        odd = [type(heads.mask_head).__name__]
    if odd:
        return (
            f"Models with a {odd[0]} cannot be exported: known are Detectron2's RPN, "
            "StandardROIHeads and CascadeROIHeads, with PointRendROIMaskHead or a mask head of "
            "Mask R-CNN. The mask head alone may be (--part mask_head)."
        )
    poolers = [x for x in (heads.box_pooler, heads.mask_pooler) if x is not None]
    if any(isinstance(level, RoIPool) for x in poolers for level in x.level_poolers):
        return (
            "A POOLER_TYPE is ROIPool, which cannot be exported: ROIAlign and ROIAlignV2 can "
            "(MODEL.ROI_BOX_HEAD, MODEL.ROI_MASK_HEAD)."
        )
    return ""
