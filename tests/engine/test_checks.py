"""Values that no run can have are refused at the start, before anything is written."""

import logging
import re
from pathlib import Path

import pytest

from pointrend_ext.engine import load_cfg, setup_cfg
from pointrend_ext.engine.checks import check_values, warn_of_schedule

INSTANCE, SEMANTIC = "Toy/pointrend_rcnn_toy.yaml", "Toy/pointrend_semantic_toy.yaml"
TRAINING = [  # key, value, words of the message
    ("SOLVER.MAX_ITER", 0, "at least 1"),
    ("SOLVER.IMS_PER_BATCH", 0, "at least 1"),
    ("SOLVER.BASE_LR", 0.0, "above 0"),
    ("SOLVER.BASE_LR", -0.1, "above 0"),
    ("SOLVER.GAMMA", 0.0, "above 0"),
    ("SOLVER.MOMENTUM", 1.0, "at least 0 and below 1"),
    ("SOLVER.WEIGHT_DECAY", -1.0, "at least 0"),
    ("SOLVER.CHECKPOINT_PERIOD", 0, "at least 1"),
    ("SOLVER.LR_SCHEDULER_NAME", "StepLR", "one of WarmupMultiStepLR, WarmupCosineLR"),
    ("SOLVER.WARMUP_METHOD", "exp", "one of linear, constant"),
    ("SOLVER.WARMUP_ITERS", -1, "at least 0"),
    ("SOLVER.WARMUP_FACTOR", 2.0, "from 0 to 1"),
    ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "max", "one of value, norm"),
    ("TEST.EVAL_PERIOD", -1, "at least 0"),
    ("INPUT.MIN_SIZE_TRAIN", (), "one size in pixels or more"),
    ("INPUT.MIN_SIZE_TRAIN", (0, 5), "one size in pixels or more"),
    ("INPUT.MAX_SIZE_TRAIN", 0, "at least 1"),
    ("INPUT.MIN_SIZE_TRAIN_SAMPLING", "any", "one of choice, range"),
    ("INPUT.RANDOM_FLIP", "both", "one of horizontal, vertical, none"),
    ("DATASETS.TRAIN", (), "one data set or more"),
    ("DATASETS.TRAIN", ("a", "b", "a"), "names 'a' twice"),
    ("SOLVER.REFERENCE_WORLD_SIZE", 3, "0, or a divisor of SOLVER.IMS_PER_BATCH, which is 4"),
    ("SOLVER.BASE_LR_END", 1.0, "from 0 to SOLVER.BASE_LR, which is 0.015"),
]
ALWAYS = [
    ("OUTPUT_DIR", " ", "a folder"),
    ("MODEL.DEVICE", "gpu", "a device of this machine"),
    ("MODEL.DEVICE", "cuda:x", "a device of this machine"),
    ("INPUT.FORMAT", "GBR", "one of .*BGR, L, YUV"),
    ("INPUT.FORMAT", "RGBA", "one of .*RGB"),
    ("TEST.EXPECTED_RESULTS", [5], r"a list of \[task, metric, value, tolerance\]"),
    ("TEST.EXPECTED_RESULTS", [["bbox", "AP", "1", 1]], r"a list of \[task"),
    ("MODEL.LOAD_PROPOSALS", True, "names 0 files for 1 data sets"),
    ("DATALOADER.NUM_WORKERS", -1, "at least 0"),
    ("INPUT.MASK_FORMAT", "rle", "one of polygon, bitmask"),
    ("INPUT.MIN_SIZE_TEST", -1, "at least 1, or 0"),
    ("INPUT.MAX_SIZE_TEST", 0, "at least 1"),
    ("TEST.DETECTIONS_PER_IMAGE", 0, "at least 1"),
    ("MODEL.PIXEL_STD", [1.0, 0.0, 1.0], "above 0 for every channel"),
    ("MODEL.PIXEL_STD", [1.0], "has 3 numbers, but MODEL.PIXEL_STD has 1"),
    ("MODEL.ROI_HEADS.NUM_CLASSES", 0, "at least 1"),
    ("DATASETS.TEST", ("a", "a"), "names 'a' twice"),
]


@pytest.mark.parametrize(("key", "value", "words"), TRAINING + ALWAYS)
def test_values_of_a_training(key, value, words):
    with pytest.raises(ValueError, match=words) as caught:
        check_values(load_cfg(INSTANCE, [key, value]), training=True)
    assert key in str(caught.value)


@pytest.mark.parametrize(("key", "value", "words"), ALWAYS)
def test_values_of_an_evaluation(key, value, words):
    with pytest.raises(ValueError, match=words):
        check_values(load_cfg(INSTANCE, [key, value]), training=False)


@pytest.mark.parametrize(("key", "value", "words"), TRAINING)
def test_an_evaluation_does_not_mind_what_it_has_no_use_for(key, value, words):
    check_values(load_cfg(INSTANCE, [key, value]), training=False)


@pytest.mark.parametrize(
    "opts",
    [
        ["INPUT.FORMAT", "L"],  # is repeated for three channels
        ["INPUT.FORMAT", "L", "MODEL.PIXEL_MEAN", [1], "MODEL.PIXEL_STD", [1]],
        ["INPUT.FORMAT", "RGB", "INPUT.MIN_SIZE_TEST", 0, "SOLVER.REFERENCE_WORLD_SIZE", 2],
        ["MODEL.DEVICE", "cpu", "TEST.EXPECTED_RESULTS", [["bbox", "AP", 38.5, 0.2]]],
        ["SOLVER.WARMUP_ITERS", 0, "SOLVER.WEIGHT_DECAY_BIAS", 0.0, "SEED", -1],
    ],
)
def test_values_that_are_right(opts):
    for training in (True, False):
        check_values(load_cfg(INSTANCE, opts), training=training)


def test_what_is_expected_needs_a_data_set():
    opts = ["TEST.EXPECTED_RESULTS", [["bbox", "AP", 1, 1]], "DATASETS.TEST", ()]
    with pytest.raises(ValueError, match=r"EXPECTED_RESULTS is set, but DATASETS\.TEST is empty"):
        check_values(load_cfg(INSTANCE, opts), training=True)


def test_classes_of_semantic_models():
    with pytest.raises(ValueError, match=r"SEM_SEG_HEAD\.NUM_CLASSES is 0"):
        check_values(load_cfg(SEMANTIC, ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", 0]), training=True)
    check_values(load_cfg(INSTANCE, ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", 0]), training=True)


@pytest.mark.parametrize(
    ("steps", "max_iter", "words"),
    [
        ((20, 10), 30, "ascending"),
        ((10, 10), 30, "ascending"),
        ((0, 10), 30, "ascending"),
        ((10, 30), 30, "before the end"),
        ((1,), 1, "before the end"),
        ((1, 2), 3, ""),
        ((10, 40), 30, ""),  # Detectron2 warns of these
        ((), 1, ""),
    ],
)
def test_steps(steps, max_iter, words):
    name = ["SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR"]
    opts = ["SOLVER.STEPS", steps, "SOLVER.MAX_ITER", max_iter]
    check_values(load_cfg(INSTANCE, opts), training=True)  # its schedule has no steps
    if not words:
        return check_values(load_cfg(INSTANCE, [*opts, *name]), training=True)
    with pytest.raises(ValueError, match=rf"SOLVER\.STEPS is .*{words}"):
        check_values(load_cfg(INSTANCE, [*opts, *name]), training=True)
    return None


@pytest.mark.parametrize(
    ("batch", "norm", "is_right"),
    [(2, "BN", True), (1, "BN", False), (1, "SyncBN", False), (1, "GN", True), (1, "", True)],
)
@pytest.mark.parametrize(
    "config",
    [
        *("Toy/pointrend_sfnet_toy.yaml", "Toy/sfnet_toy.yaml"),
        "Cityscapes-SemanticSegmentation/sfnet_lite_R_18_cityscapes.yaml",
    ],
)
def test_one_image_for_the_statistics_of_sfnet(config, batch, norm, is_right):
    opts = ["SOLVER.IMS_PER_BATCH", batch, "MODEL.SEM_SEG_HEAD.NORM", norm]
    cfg = load_cfg(config, opts)
    check_values(cfg, training=False)
    if is_right:
        return check_values(cfg, training=True)
    with pytest.raises(
        ValueError, match=r"SFNet(Lite)?Head normalises .*IMS_PER_BATCH 1, .*two images"
    ):
        check_values(cfg, training=True)
    return None


def test_a_range_of_sizes_has_two_ends():
    opts = ["INPUT.MIN_SIZE_TRAIN_SAMPLING", "range", "INPUT.MIN_SIZE_TRAIN"]
    check_values(load_cfg(INSTANCE, [*opts, (64, 96)]), training=True)
    with pytest.raises(ValueError, match=r"MIN_SIZE_TRAIN is \(64,\), but .* 'range'"):
        check_values(load_cfg(INSTANCE, [*opts, (64,)]), training=True)


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["SOLVER.WARMUP_ITERS", 751], ["WARMUP_ITERS is 751, .*MAX_ITER 750 it.* never reaches"]),
        (["SOLVER.WARMUP_ITERS", 750], []),
        (["TEST.EVAL_PERIOD", 5, "DATASETS.TEST", ()], ["DATASETS.TEST is empty"]),
        (["TEST.EVAL_PERIOD", 5], []),
    ],
)
def test_what_is_hardly_meant(opts, words, caplog):
    warn_of_schedule(load_cfg(INSTANCE, opts))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * len(words)
    assert all(re.search(word, caplog.text) for word in words)


@pytest.mark.parametrize(
    ("words", "opts", "message"),
    [
        ((), ["SOLVER.MAX_ITER", 0], "MAX_ITER is 0"),
        ((), ["SOLVER.MAX_ITER", "many"], "a whole number is needed"),
        ((), ["TEST.AUG.ENABLED", True], "nothing reads TEST.AUG.ENABLED"),
        (("--eval-only",), ["DATASETS.TEST", ()], "--eval-only with an empty DATASETS.TEST"),
        (("--eval-only",), ["TEST.DETECTIONS_PER_IMAGE", 0], "at least 1"),
    ],
)
def test_nothing_is_written_before_the_configuration_is_right(tiny_run, words, opts, message):
    args = tiny_run(*words, opts=opts)
    with pytest.raises(ValueError, match=message):
        setup_cfg(args)
    folder = args.opts[args.opts.index("OUTPUT_DIR") + 1]
    assert not Path(folder).exists()


def test_data_are_checked_before_a_model_is_built_but_after_the_configuration(tiny_run):
    opts = ["DATASETS.TRAIN", ("nowhere",), "SOLVER.MAX_ITER", 0]
    with pytest.raises(ValueError, match="MAX_ITER"):
        setup_cfg(tiny_run(opts=opts))
    with pytest.raises(ValueError, match="nowhere"):
        setup_cfg(tiny_run(opts=opts[:2]))
