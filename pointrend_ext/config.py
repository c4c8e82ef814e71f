"""Every configuration key that this package adds, each documented here and nowhere else."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode

__all__ = ["add_pointrend_config"]


def add_pointrend_config(cfg: CfgNode) -> None:
    """Add the keys of ``pointrend_ext`` to ``cfg``, in place.

    Keys that are already there keep their values, so the function may be called twice, after a
    merge, and in any order with the functions of Detectron2's own PointRend and DeepLab projects:
    those share some keys, with equal defaults.

    Args:
        cfg: a configuration made by ``detectron2.config.get_cfg``.
    """
    _add_input_keys(cfg)
    _add_coarse_mask_head_keys(cfg)
    _add_mask_point_head_keys(cfg)


def _add_input_keys(cfg: CfgNode) -> None:
    # Largest share (0, 1] of a training crop that one category may cover; the crop is drawn again
    # (up to ten times) until it holds. 1.0 accepts every crop. Semantic segmentation only.
    _default(cfg.INPUT.CROP, "SINGLE_CATEGORY_MAX_AREA", 1.0)
    # Photometric augmentation of SSD (Liu et al., ECCV 2016, section 2.2) when a semantic model is
    # trained.
    _default(cfg.INPUT, "COLOR_AUG_SSD", False)


def _add_coarse_mask_head_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.ROI_MASK_HEAD
    # Feature maps the coarse mask is predicted from; several are concatenated along the channels.
    _default(node, "IN_FEATURES", ("p2",))
    # Width and number of the hidden fully connected layers of the coarse head.
    _default(node, "FC_DIM", 1024)
    _default(node, "NUM_FC", 2)
    # Side S of the coarse mask, in cells.
    _default(node, "OUTPUT_SIDE_RESOLUTION", 7)


def _add_mask_point_head_keys(cfg: CfgNode) -> None:
    _default(cfg.MODEL, "MASK_POINT_HEAD", CfgNode())
    node = cfg.MODEL.MASK_POINT_HEAD
    # Name in the POINT_HEAD registry: StandardPointHead.
    _default(node, "NAME", "StandardPointHead")
    # Feature maps the points read fine-grained features from; several are concatenated along the
    # channels.
    _default(node, "IN_FEATURES", ("p2",))
    # Points per region in training (N in section 3.1 of the paper).
    _default(node, "TRAIN_NUM_POINTS", 14 * 14)
    # Candidates drawn per training point (k in the paper), at least 1.
    _default(node, "OVERSAMPLE_RATIO", 3)
    # Share of the training points taken from the most uncertain candidates (beta in the paper), in
    # [0, 1]; the others are drawn uniformly.
    _default(node, "IMPORTANCE_SAMPLE_RATIO", 0.75)
    # Doublings from the coarse side to the side of the predicted mask: 5 takes 7 to 224.
    _default(node, "SUBDIVISION_STEPS", 5)
    # Points evaluated per region and doubling (N in section 3.1, inference).
    _default(node, "SUBDIVISION_NUM_POINTS", 28 * 28)
    # Width and number of the hidden layers of the point MLP.
    _default(node, "FC_DIM", 256)
    _default(node, "NUM_FC", 3)
    # Whether every layer of the MLP reads the coarse prediction, not the first alone.
    _default(node, "COARSE_PRED_EACH_LAYER", True)
    # Weight of loss_mask_point.
    _default(node, "LOSS_WEIGHT", 1.0)


def _default(node: CfgNode, key: str, value: Any) -> None:
    if key not in node:
        setattr(node, key, value)
