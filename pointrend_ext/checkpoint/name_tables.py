"""The known formats of weights: how each is recognised, and its names in Detectron2's terms."""

from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

from pointrend_ext.checkpoint.decoder_names import ALIGNSEG, SFNET, SFNET_LITE
from pointrend_ext.checkpoint.weights_format import (
    DEEP_STEM,
    RESNET,
    TORCHVISION_INPUT,
    State,
    WeightsFormat,
    counted,
)


def _background_last(state: State) -> State:
    """Torchvision's class 0 is the background: Detectron2 has it last, or not at all.

    Of COCO's 90 category ids, 80 are in use; Detectron2 numbers these without gaps.
    """
    state, head = dict(state), "roi_heads.box_predictor.cls_score"
    rows = state[f"{head}.weight"].shape[0]
    used = list(range(1, rows))
    if rows == 91:
        used = [category["id"] for category in COCO_CATEGORIES if category["isthing"]]
    for kind in ("weight", "bias"):
        state[f"{head}.{kind}"] = state[f"{head}.{kind}"][[*used, 0]]
        for name, per_class in (("box_predictor.bbox_pred", 4), ("mask_head.predictor", 1)):
            name = f"roi_heads.{name}.{kind}"
            if name in state:
                by_class = state[name].unflatten(0, (rows, per_class))
                state[name] = by_class[used].flatten(0, 1)
    return state


FORMATS = (
    WeightsFormat(
        name="PointRend, with the names of before November 2020",
        required=(r"roi_heads\.(mask_(coarse|point)_head\.|.*\.coarse_mask_fc\d)",),
        renames=(
            (r"^roi_heads\.mask_coarse_head\.", "roi_heads.mask_head.coarse_head."),
            (r"^roi_heads\.mask_point_head\.", "roi_heads.mask_head.point_head."),
            (r"^(roi_heads\.mask_head\.coarse_head\.)coarse_mask_fc", r"\1fc"),
        ),
    ),
    WeightsFormat(
        name="PointRend",
        required=(
            r"(roi_heads\.mask_head\.(coarse|point)_head|"
            r"sem_seg_head\.(coarse_sem_seg|point)_head)\.",
        ),
    ),
    WeightsFormat(
        name="torchvision Mask R-CNN or Faster R-CNN",
        required=(r"backbone\.body\.layer1\.", r"rpn\.head\.", r"roi_heads\.box_predictor\."),
        renames=(
            (r"^backbone\.body\.", ""),
            *RESNET,
            (r"^(stem|res\d)\.", r"backbone.bottom_up.\1."),
            # levels are counted there from 0, here from the power of two, 2
            counted(r"backbone\.fpn\.inner_blocks\.(\d)\.(?:0\.)?", "backbone.fpn_lateral", 2),
            counted(r"backbone\.fpn\.layer_blocks\.(\d)\.(?:0\.)?", "backbone.fpn_output", 2),
            (r"^rpn\.head\.conv\.(?:0\.0\.)?", "proposal_generator.rpn_head.conv."),
            (r"^rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
            (r"^rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
            counted(r"roi_heads\.box_head\.fc(\d)\.", "roi_heads.box_head.fc", -5),
            counted(r"roi_heads\.mask_head\.(\d)\.0\.", "roi_heads.mask_head.mask_fcn", 1),
            (r"^roi_heads\.mask_predictor\.conv5_mask\.", "roi_heads.mask_head.deconv."),
            (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", "roi_heads.mask_head.predictor."),
        ),
        convert=_background_last,
        expects=TORCHVISION_INPUT,
        notes=(
            "torchvision pools regions half a cell off Detectron2's place: fine-tune before use.",
        ),
    ),
    WeightsFormat(
        name="Caffe2 (Detectron or MSRA)",
        required=(r"(conv1_w|res2_0_branch2a_w)$",),
        dropped=(r".*_momentum$", r"(pred|fc1000)_[wb]$"),
        convert=lambda state: convert_c2_detectron_names(state)[0],
        partial_names=True,
        fused_norms=True,
    ),
    SFNET,
    SFNET_LITE,
    ALIGNSEG,
    WeightsFormat(
        name="ResNet with a deep stem",
        required=(r"layer1\.0\.conv1\.weight$", r"conv1\.6\.weight$"),
        renames=(*DEEP_STEM, *RESNET),
        dropped=(r"fc\.(weight|bias)$",),
        partial_names=True,
        expects=TORCHVISION_INPUT,
    ),
    WeightsFormat(
        name="torchvision ResNet",
        required=(r"layer1\.0\.conv1\.weight$", r"bn1\."),
        renames=RESNET,
        dropped=(r"fc\.(weight|bias)$",),
        partial_names=True,
        expects=TORCHVISION_INPUT,
    ),
    WeightsFormat(
        name="a backbone with Detectron2's names",
        required=(r"(stem\.|res2\.|s1\.b1\.)",),
        dropped=(r"(fc|linear|head\.fc)\.(weight|bias)$",),
        partial_names=True,
    ),
    WeightsFormat(
        name="Detectron2 panoptic segmentation",
        required=(r"backbone\.", r"roi_heads\.", r"sem_seg_head\."),
    ),
    WeightsFormat(name="Detectron2 Mask R-CNN", required=(r"backbone\.", r"roi_heads\.mask_head")),
    WeightsFormat(name="Detectron2 detection", required=(r"backbone\.", r"roi_heads\.")),
    WeightsFormat(
        name="Detectron2 semantic segmentation", required=(r"backbone\.", r"sem_seg_head\.")
    ),
)
PLAIN = WeightsFormat(name="a plain state dict", required=())
