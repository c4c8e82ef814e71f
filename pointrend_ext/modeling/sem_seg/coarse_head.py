"""Building the head that predicts the coarse class map."""

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY

from pointrend_ext.modeling.checks import check_common_stride, registered
from pointrend_ext.modeling.sem_seg.losses import CoarseHead


def build_coarse_head(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> CoarseHead:
    """Build the head that ``MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME`` names.

    Args:
        cfg: the configuration.
        input_shape: the maps of the backbone, by name.

    Raises:
        ValueError: no such head, one that cannot be refined, or a stride that contradicts the
            backbone's.
    """
    key = "MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME"
    name = cfg.MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME
    head_class = registered(SEM_SEG_HEADS_REGISTRY, key, name)
    if not hasattr(head_class, "layers") or not hasattr(head_class, "losses"):
        raise ValueError(
            f"{key} is {name!r}, which has no separate layers() and losses(), so nothing can be "
            "refined between them. Use SemSegFPNHead, DeepLabV3LogitsHead (instead of "
            "DeepLabV3Head), DeepLabV3PlusLogitsHead, DeepLabV3PlusHead, SFNetHead, "
            "SFNetLiteHead or AlignSegHead."
        )
    head = head_class(cfg, input_shape)
    if not hasattr(head, "common_stride"):
        raise ValueError(
            f"{key} is {name!r}, whose instances have no common_stride: the number of pixels per "
            "cell of their logits must be known. Set self.common_stride in its constructor."
        )
    maps = {x: input_shape[x] for x in cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES if x in input_shape}
    if maps:
        # A head of Detectron2 does not check this itself; SemSegFPNHead may predict finer.
        check_common_stride(type(head).__name__, maps, head.common_stride, may_be_finer=True)
    return head
