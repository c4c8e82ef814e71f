"""What the configuration asks for and the model does not have is an error."""

import copy

import pytest
import torch
from detectron2.config import CfgNode
from torch import nn

from pointrend_ext.engine import Trainer, load_cfg
from pointrend_ext.modeling.unread_keys import build_checked_model

INSTANCE = "Toy/pointrend_rcnn_toy.yaml"
MASK_RCNN = "Toy/mask_rcnn_toy.yaml"
SEMANTIC = "Toy/semantic_fpn_toy.yaml"
REFINED = "Toy/pointrend_semantic_toy.yaml"
SFNET = "Cityscapes-SemanticSegmentation/pointrend_sfnet_R_50_cityscapes.yaml"
DEEPLAB = "Cityscapes-SemanticSegmentation/pointrend_deeplab_v3_R_103_os16_cityscapes.yaml"
DEEPLAB_PLUS = DEEPLAB.replace("v3", "v3_plus")
OPTS = {
    "PANOPTIC": ["META_ARCHITECTURE", "PanopticFPN"],
    "SEGMENTOR": ["META_ARCHITECTURE", "SemanticSegmentor"],
    "ALIGNED": ["BACKBONE.NAME", "build_resnet_aligned_fpn_backbone"],
    "DILATION": ["RESNETS.RES4_DILATION", 2],
    "FAM": ["FPN.ALIGNMENT.NAME", "FAM"],
    "CAB": ["FPN.ALIGNMENT.NAME", "CAB"],
    "NORM": ["FPN.ALIGNMENT.NORM", "SyncBN"],
    "COORDS": ["FPN.ALIGNMENT.COORDS", "sfnet"],
    "HEAD_COORDS": ["SEM_SEG_HEAD.ALIGNMENT_COORDS", "sfnet"],
    "AUXILIARY": ["SEM_SEG_HEAD.AUX_LOSS_WEIGHT", 0.4],
    "OHEM": ["SEM_SEG_HEAD.LOSS_TYPE", "ohem"],
    "CROSS_ENTROPY": ["SEM_SEG_HEAD.LOSS_TYPE", "cross_entropy"],
    "MIN_KEPT": ["SEM_SEG_HEAD.OHEM_MIN_KEPT", 50],
    "POOLING": ["SEM_SEG_HEAD.ASPP_POOLING", "crop"],
    "LABELS": ["SEM_SEG_POINT_HEAD.OUTPUT", "labels"],
    "POOLED": ["ROI_MASK_HEAD.POOLER_TYPE", "ROIAlignV2"],
    "NO_POINTS": ["ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead"],
    "WIDTH": ["ROI_MASK_HEAD.FC_DIM", 8],
    "POINT_WIDTH": ["MASK_POINT_HEAD.FC_DIM", 8],
}


def make_cfg(name, opts):
    """A configuration with the options of that many names."""
    pairs = [OPTS[opt] for opt in opts.split()]
    opts = [x for key, value in pairs for x in (f"MODEL.{key}", value)]
    return load_cfg(name, ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", "", *opts])


NOT_ALIGNED = "NAME is 'FAM', but no part .* Set MODEL.BACKBONE.NAME build_resnet_aligned_fpn_backb"
MISTAKES = {
    "alignment, instances": (INSTANCE, "FAM", NOT_ALIGNED),
    "alignment, Mask R-CNN": (MASK_RCNN, "FAM", NOT_ALIGNED),
    "alignment, semantics": (REFINED, "FAM", NOT_ALIGNED),
    "alignment, panoptic": (INSTANCE, "PANOPTIC FAM", NOT_ALIGNED),
    "alignment, no pyramid": (SFNET, "FAM", NOT_ALIGNED),
    "auxiliary loss": (SEMANTIC, "AUXILIARY", "WEIGHT is 0.4, but .* Use SFNetHead or"),
    "auxiliary loss, refined": (DEEPLAB, "AUXILIARY", "WEIGHT is 0.4, but .* Use SFNetHead"),
    "loss": (REFINED, "OHEM", "LOSS_TYPE is 'ohem', but .*SemSegFPNHead always"),
    "details of no alignment": (INSTANCE, "COORDS", "COORDS is 'sfnet', but .* Set .*NAME to FAM"),
    "the same, aligned backbone": (INSTANCE, "ALIGNED COORDS", "COORDS is 'sfnet', but .* Set"),
    "norm of an alignment without": (INSTANCE, "ALIGNED FAM NORM", "NORM is .*NAME CAB"),
    "grid of a head": (REFINED, "HEAD_COORDS", "COORDS is 'sfnet', but .*ALIGNMENT.COORDS"),
    "mining": (SEMANTIC, "MIN_KEPT", "OHEM_MIN_KEPT is 50, but .* 'ohem'"),
    "mining, another loss": (SFNET, "CROSS_ENTROPY MIN_KEPT", "MIN_KEPT is 50, but .*'ohem'"),
    "pooling": (SFNET, "POOLING", "ASPP_POOLING is 'crop', but .* Use DeepLabV3LogitsHead or"),
    "labels": (SEMANTIC, "LABELS", "OUTPUT is 'labels', but .*PointRendSemanticSegmentor"),
    "labels, refined": (REFINED, "SEGMENTOR LABELS", "OUTPUT is 'labels', but .*Segmentor, or"),
    "dilation": (INSTANCE, "DILATION", "MODEL.RESNETS.RES4_DILATION is 2, but .*leave RES4_D.* o"),
    "two": (SEMANTIC, "AUXILIARY COORDS", r"(?s)ALIGNMENT\.COORDS.*\n.*AUX_LOSS_WEIGHT"),
}
RIGHT = {
    "instances": (INSTANCE, ""),
    "Mask R-CNN": (MASK_RCNN, ""),
    "alignment": (INSTANCE, "ALIGNED FAM"),
    "aligned backbone without alignment": (REFINED, "ALIGNED"),
    "alignment, panoptic": (INSTANCE, "PANOPTIC ALIGNED FAM"),
    "auxiliary loss": (SFNET, "AUXILIARY"),
    "loss": (SFNET, "OHEM"),
    "labels": (REFINED, "LABELS"),
    "details of an alignment": (INSTANCE, "ALIGNED FAM COORDS"),
    "norm of an alignment": (INSTANCE, "ALIGNED CAB NORM"),
    "grid of a head": (SFNET, "HEAD_COORDS"),
    "mining": (SFNET, "MIN_KEPT"),
    "pooling": (DEEPLAB, "POOLING"),
    "pooling, V3+": (DEEPLAB_PLUS, "POOLING"),
    "what a head does anyway": (SEMANTIC, "CROSS_ENTROPY"),
    "no point head": (INSTANCE, "NO_POINTS POOLED WIDTH POINT_WIDTH"),
    # a semantic key of an instance model: nothing that it could mean
    "no semantic head": (INSTANCE, "AUXILIARY LABELS HEAD_COORDS MIN_KEPT POOLING"),
}


@pytest.mark.parametrize(("name", "opts", "message"), MISTAKES.values(), ids=MISTAKES)
def test_what_nothing_reads_is_refused(name, opts, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        Trainer.build_model(make_cfg(name, opts))


@pytest.mark.parametrize(("name", "opts"), RIGHT.values(), ids=RIGHT)
def test_what_something_reads_is_not(name, opts):
    cfg = make_cfg(name, opts)
    before = cfg.dump()
    with torch.device("meta"):
        build_checked_model(cfg)
    assert cfg.dump() == before


@pytest.mark.parametrize("look", [lambda cfg: cfg, lambda cfg: cfg.clone(), copy.deepcopy])
def test_a_part_of_the_user_is_believed_to_want_what_it_reads(look):
    def build(cfg):
        assert isinstance(cfg, CfgNode)
        assert isinstance(cfg.MODEL, CfgNode)
        node = look(cfg).MODEL.SEM_SEG_HEAD
        assert node.AUX_LOSS_WEIGHT == 0.4
        assert node["ALIGNMENT_COORDS"] == "sfnet"
        assert node.get("OHEM_MIN_KEPT") == 50
        return nn.Identity()

    opts = "AUXILIARY HEAD_COORDS MIN_KEPT"
    assert isinstance(build_checked_model(make_cfg(SEMANTIC, opts), build), nn.Identity)
    message = r"^MODEL\.SEM_SEG_HEAD\.ASPP_POOLING is 'crop', but .*out\.$"
    with pytest.raises(ValueError, match=message):
        build_checked_model(make_cfg(SEMANTIC, f"{opts} POOLING"), build)


FAILURES = {
    "value": (["RESNETS.DEPTH", 51], "KeyError 51 in .*hold that value: MODEL.RESNETS.DEPTH is 51"),
    "item": (
        ["FPN.IN_FEATURES", ["res9"]],
        r"KeyError 'res9' .*FPN.IN_FEATURES is \['res9",
    ),
    "which norm": (["FPN.NORM", "XX"], "KeyError 'XX' .*hold that value: MODEL.FPN.NORM is 'XX'.$"),
    "assert": (
        ["RESNETS.RES5_DILATION", 3],
        r"AssertionError res5_dilation cannot be 3\. in backbone/resnet\.py, line \d+\. .*were "
        r"read last: MODEL\.RESNETS\.RES5_DILATION is 3, MODEL",
    ),
    "a sentence": (["BACKBONE.NAME", "Foo"], "^.No object named 'Foo' found in 'BACKBONE'"),
}


@pytest.mark.parametrize(("opt", "message"), FAILURES.values(), ids=FAILURES)
def test_a_model_that_cannot_be_built_names_the_keys(monkeypatch, opt, message):
    monkeypatch.setitem(OPTS, "WRONG", opt)
    with torch.device("meta"), pytest.raises((ValueError, KeyError), match=message):
        Trainer.build_model(make_cfg(INSTANCE, "WRONG"))


def test_an_error_of_a_part_keeps_its_cause():
    def build(cfg):
        raise IndexError(cfg.MODEL.ROI_MASK_HEAD.FC_DIM)

    with pytest.raises(
        ValueError, match=r"IndexError 8 in modeling/test_unread_keys\.py"
    ) as caught:
        build_checked_model(make_cfg(INSTANCE, "WIDTH"), build)
    assert isinstance(caught.value.__cause__, IndexError)
