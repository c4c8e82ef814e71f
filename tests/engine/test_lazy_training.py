"""The LazyConfigs of this package, shrunk, trained as by Detectron2's lazyconfig_train_net.py."""

import importlib.util
from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import LazyConfig, instantiate
from detectron2.engine import SimpleTrainer
from detectron2.engine.hooks import LRScheduler
from detectron2.evaluation import inference_on_dataset

from pointrend_ext.data import register_datasets
from pointrend_ext.modeling.lazy import get_config
from pointrend_ext.modeling.padding import PaddingBlindRPN

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "lazy"
NAMES = sorted(path.stem for path in FOLDER.glob("pointrend_*.py"))
needs_timm = pytest.mark.skipif(not importlib.util.find_spec("timm"), reason="needs timm")
EVERY_CONFIG = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if "R_50" in n else needs_timm) for n in NAMES]
)
VIT = [
    *("model.backbone.net.embed_dim=32", "model.backbone.net.depth=2"),
    *("model.backbone.net.num_heads=2", "model.backbone.net.img_size=64"),
    *("model.backbone.net.window_size=2", "model.backbone.net.window_block_indexes=[0]"),
    *("model.backbone.square_pad=64",),
]
SWIN = ["bottom_up.embed_dim=8", "bottom_up.depths=[1,1,1,1]", "bottom_up.num_heads=[1,1,2,2]"]
SMALL = [
    *("model.roi_heads.num_classes=6", "model.roi_heads.batch_size_per_image=16"),
    *("model.proposal_generator.post_nms_topk=[50,20]", "train.device=cpu"),
    *("model.roi_heads.mask_head.coarse_head.fc_dims=[16]",),
    *("model.roi_heads.mask_head.point_head.fc_dim=16",),
    *("dataloader.train.dataset.names=toy_train", "dataloader.test.dataset.names=toy_val"),
    *("dataloader.train.total_batch_size=2", "dataloader.train.num_workers=0"),
    *("dataloader.test.num_workers=0", "optimizer.lr=0.001"),
]


def load(name, *more):
    own = {"vitdet": VIT, "swin": [f"model.backbone.{key}" for key in SWIN], "R_50": []}
    extra = next(options for part, options in own.items() if part in name)
    cfg = LazyConfig.load(str(FOLDER / f"{name}.py"))
    resize, crop, _ = cfg.dataloader.train.mapper.augmentations
    resize.target_height = resize.target_width = 64
    crop.crop_size = (64, 64)
    test_resize = cfg.dataloader.test.mapper.augmentations[0]
    test_resize.short_edge_length = test_resize.max_size = 64
    heads = cfg.model.roi_heads
    for predictor in heads.get("box_predictors") or [heads.box_predictor]:
        predictor.test_score_thresh = 0.0
    return LazyConfig.apply_overrides(cfg, [*SMALL, *extra, *more])


def test_there_are_four():
    assert len(NAMES) == 4


@EVERY_CONFIG
def test_it_trains_evaluates_and_goes_on(name, toy_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(toy_root))
    register_datasets(("toy_train", "toy_val"), (), generate=True)
    cfg = load(name)
    torch.manual_seed(0)
    model = instantiate(cfg.model)
    assert type(model.proposal_generator) is PaddingBlindRPN
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    loader = instantiate(cfg.dataloader.train)
    trainer = SimpleTrainer(model, loader, optimizer)
    trainer.register_hooks([LRScheduler(scheduler=instantiate(cfg.lr_multiplier))])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trainer.train(0, 3)
    losses = {k: v for k, (v, _) in trainer.storage.latest().items() if k.startswith("loss")}
    assert {"loss_mask", "loss_mask_point", "loss_rpn_cls"} < losses.keys()
    assert ("loss_cls_stage2" in losses) == ("cascade" in name)
    moved = {
        key for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    }
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    assert len(trained - moved) < len(trained) / 10  # but for what weight decay leaves at zero
    assert any("point_head" in key for key in moved)

    checkpointer = DetectionCheckpointer(model, str(tmp_path), trainer=trainer)
    checkpointer.save("model_final")
    other = instantiate(cfg.model)
    DetectionCheckpointer(other).load(str(tmp_path / "model_final.pth"))
    evaluator = instantiate(cfg.dataloader.evaluator)
    evaluator._output_dir = str(tmp_path)
    results = inference_on_dataset(other.eval(), instantiate(cfg.dataloader.test), evaluator)
    assert {"bbox", "segm"} <= results.keys()


def test_any_argument_is_a_key():
    cfg = load(
        "pointrend_rcnn_R_50_FPN_100ep_LSJ_coco",
        "model.roi_heads.mask_head.coarse_head.out_side=14",
        "model.roi_heads.mask_head.subdivision.num_points=100",
    )
    head = instantiate(cfg.model.roi_heads).mask_head
    assert head.subdivision.start_side * 2**head.subdivision.steps == 14 * 2**5
    assert head.subdivision.num_points == 100
    assert head.coarse_head.num_classes == head.point_head.predictor.out_channels == 6


def test_what_is_not_changed_is_detectron2s():
    """Schedule, optimizer and model of its LSJ baseline, but for the mask head and the padding."""
    cfg = LazyConfig.load(str(FOLDER / "pointrend_rcnn_R_50_FPN_100ep_LSJ_coco.py"))
    theirs = get_config("new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py")
    for key in ("train", "lr_multiplier", "optimizer"):
        assert cfg[key] == theirs[key]
    for key in ("backbone", "pixel_mean", "input_format"):
        assert cfg.model[key] == theirs.model[key]
    assert cfg.model.roi_heads.box_head.conv_dims == [256] * 4
    train = cfg.dataloader.train
    assert (train.total_batch_size, train.mapper.recompute_boxes) == (64, True)
    sizes = [(a.min_scale, a.max_scale) for a in train.mapper.augmentations if "min_scale" in a]
    assert sizes == [(0.1, 2.0)]
