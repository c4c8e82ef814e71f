# Swin-T (Liu et al., ICCV 2021) under an FPN, with the schedule of this folder.
from detectron2.config import LazyCall as L
from detectron2.modeling import SwinTransformer

from .common import get_config, jittered_coco, refined
from .pointrend_rcnn_vitdet_B_100ep_LSJ_coco import lr_multiplier, train

model = get_config("common/models/mask_rcnn_fpn.py").model
model.backbone.bottom_up = L(SwinTransformer)(
    embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7, drop_path_rate=0.2
)
model.backbone.in_features = ("p0", "p1", "p2", "p3")
model.pixel_mean, model.pixel_std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
model.input_format = "RGB"
refined(model)
dataloader = jittered_coco("RGB")
train.init_checkpoint = (
    "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
    "swin_tiny_patch4_window7_224.pth?matching_heuristics=True"
)
optimizer = get_config("common/optim.py").AdamW
optimizer.weight_decay = 0.05
optimizer.params.overrides = {"relative_position_bias_table": {"weight_decay": 0.0}}
