"""What a user states and nothing reads is an error or said once; what is read is neither."""

import copy
import logging
import pickle

import pytest
import torch

from pointrend_ext.engine import Trainer, find_config_file, load_cfg, setup_cfg
from pointrend_ext.engine.config_file import read_cfg
from pointrend_ext.engine.unread_keys import NEVER_READ, READ_ELSEWHERE, READ_WITH, check_reads
from pointrend_ext.modeling.recording import leaves
from tests.engine.test_shipped_configs import META, NAMES

INSTANCE, SEMANTIC = "Toy/pointrend_rcnn_toy.yaml", "Toy/pointrend_semantic_toy.yaml"
LOGGER = "pointrend_ext.engine.unread_keys"


@pytest.fixture
def fake_data(monkeypatch):
    """Two records in the place of every data set."""
    record = {"file_name": "a.jpg", "height": 8, "width": 8, "image_id": 0}
    record["annotations"] = [{"category_id": 0, "iscrowd": 0}]
    monkeypatch.setattr(
        "pointrend_ext.data.loading._load_all", lambda *_, **__: ([record, {**record}], {})
    )
    monkeypatch.setattr("pointrend_ext.engine.trainer.check_evaluation", lambda *_: None)
    build_model = Trainer.build_model

    def build_without_memory(cfg):
        with torch.device("meta"):
            return build_model(cfg)

    monkeypatch.setattr(Trainer, "build_model", staticmethod(build_without_memory))


def built(config, opts=()):
    """A training of the configuration that is ready to start, on a device without memory."""
    cfg, _ = read_cfg(config, [*META, "DATALOADER.NUM_WORKERS", 0, *opts])
    Trainer(cfg)
    return cfg


@pytest.mark.parametrize("name", NAMES)
def test_a_training_reads_all_that_a_shipped_file_states(name, fake_data, tmp_path, caplog):
    built(name, ["OUTPUT_DIR", str(tmp_path)])
    assert [r.getMessage() for r in caplog.records if r.name == LOGGER] == []


def test_every_key_is_read_by_some_training_or_listed(fake_data, tmp_path):
    """Outside MODEL: so the list of what is read elsewhere is complete, and nothing is too much."""
    crop = ["INPUT.CROP.ENABLED", True, "INPUT.CROP.SIZE", (0.5, 0.5)]
    clip = ["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.LR_SCHEDULER_NAME"]
    repeat = ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"]
    bn = ["TEST.PRECISE_BN.ENABLED", True, *repeat, "DATALOADER.REPEAT_THRESHOLD", 0.1]
    recipe = ["INPUT.LSJ.ENABLED", True, "SOLVER.EMA.ENABLED", True, "SOLVER.AMP.ENABLED", True]
    recipe += ["SOLVER.BEST.METRIC", "segm/AP"]
    runs = [
        (INSTANCE, [*crop, *clip, "WarmupMultiStepLR", *bn]),
        (SEMANTIC, [*crop, *clip, "WarmupPolyLR"]),
        (SEMANTIC, [*clip, "WarmupCosineLR", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "value"]),
        (INSTANCE, ["SOLVER.LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR", *recipe]),
    ]
    read = set()
    for config, opts in runs:
        read |= {*built(config, [*opts, "OUTPUT_DIR", str(tmp_path)]).reads.keys}
    names = {name for name, _ in leaves(load_cfg()) if not name.startswith("MODEL.")}
    data = {name for name in names if "PROPOSAL" in name}  # read with the records, which are fake
    data.add("DATALOADER.FILTER_EMPTY_ANNOTATIONS")
    services = {"LOGGERS.PROJECT", "LOGGERS.RUN"}  # whose packages are not here: test_loggers.py
    listed = {*NEVER_READ, *READ_ELSEWHERE, *READ_WITH} - {"MODEL.WEIGHTS"}
    assert set(READ_WITH.values()) <= read
    assert names - read - data - services == listed
    assert len(data) == 5


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["TEST.AUG.ENABLED", "True"], "TEST.AUG.ENABLED is True, but nothing reads TEST.AUG.EN"),
        (["TEST.AUG.FLIP", "False"], "TEST.AUG.FLIP is False, but nothing reads .* test-time"),
        (["TEST.KEYPOINT_OKS_SIGMAS", "[0.1]"], "nothing reads TEST.KEYPOINT_OKS_SIGMAS: keypo"),
        (["GLOBAL.HACK", "2.0"], "nothing reads GLOBAL.HACK"),
    ],
)
def test_what_no_run_reads_is_refused_by_every_tool(opts, message):
    with pytest.raises(ValueError, match=message):
        load_cfg(INSTANCE, opts)


def test_what_no_run_reads_in_a_file(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("TEST: {AUG: {MIN_SIZES: [400], FLIP: False}}\n")
    load_cfg(path)  # off
    path.write_text("TEST: {AUG: {ENABLED: True}}\n")
    with pytest.raises(ValueError, match=r"my\.yaml: TEST\.AUG\.ENABLED is True, but nothing"):
        load_cfg(path)
    path.write_text("TEST: {AUG: {ENABLED: False}}\nGLOBAL: {HACK: 1}\n")
    load_cfg(path)  # as by default


@pytest.mark.parametrize(
    ("config", "opts", "message"),
    [
        (INSTANCE, ["SOLVER.STEPS", (2,)], r"STEPS \(it needs .*NAME WarmupMultiStepLR\)"),
        (INSTANCE, ["INPUT.COLOR_AUG_SSD", True], r"COLOR_AUG_SSD \(it needs a semantic model\)"),
        (INSTANCE, ["DATALOADER.REPEAT_THRESHOLD", 0.1], r"THRESHOLD \(.*RepeatFactorTrainingS"),
        (INSTANCE, ["INPUT.CROP.SIZE", (0.5, 0.5)], r"SIZE \(it needs INPUT.CROP.ENABLED True"),
        (SEMANTIC, ["TEST.DETECTIONS_PER_IMAGE", 5], "IMAGE .it needs an instance model"),
    ],
)
def test_what_this_training_does_not_read(config, opts, message, fake_data, tmp_path):
    with pytest.raises(ValueError, match=f"Nothing in this training reads .*{message}"):
        built(config, [*opts, "OUTPUT_DIR", str(tmp_path)])


def test_what_is_read_in_the_first_iteration(fake_data, tmp_path):
    opts = ["SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.5, "OUTPUT_DIR", str(tmp_path)]
    built(INSTANCE, ["SOLVER.CLIP_GRADIENTS.ENABLED", True, *opts])
    with pytest.raises(ValueError, match=r"CLIP_VALUE \(it needs SOLVER.CLIP_GRADIENTS.ENABLED"):
        built(INSTANCE, opts)


def test_what_a_file_states_in_vain_is_one_warning(fake_data, tmp_path, caplog):
    path = tmp_path / "my.yaml"
    text = "SOLVER: {GAMMA: 0.5, NUM_DECAYS: 3}\nMODEL: {ROI_MASK_HEAD: {NUM_CONV: 4}}\n"
    path.write_text(f"_BASE_: {find_config_file(INSTANCE)}\n{text}")
    opts = ["MODEL.RETINANET.NUM_CONVS", 3, "OUTPUT_DIR", str(tmp_path)]
    built(path, opts)
    (record,) = [r for r in caplog.records if r.name == LOGGER]
    assert record.levelno == logging.WARNING
    expected = f"2 stated keys .*: MODEL.RETINANET.NUM_CONVS (command line); SOLVER.GAMMA ({path})"
    head, tail = expected.split(".*")
    assert record.getMessage().startswith(head)
    assert record.getMessage().endswith(tail)


def test_a_training_of_a_tool_is_refused_before_its_first_iteration(tiny_run):
    cfg = setup_cfg(tiny_run(opts=["SOLVER.GAMMA", 0.5]))
    with pytest.raises(ValueError, match=r"Nothing in this training reads SOLVER\.GAMMA"):
        Trainer(cfg)
    setup_cfg(tiny_run("--eval-only", opts=["SOLVER.GAMMA", 0.5]))


@pytest.mark.parametrize("copied", [lambda c: c.clone(), copy.deepcopy, lambda c: c])
def test_copies_note_what_is_read_from_them(copied):
    cfg, _ = read_cfg("", ["SOLVER.GAMMA", 0.5])
    before = cfg.dump()
    with pytest.raises(ValueError, match="GAMMA"):
        check_reads(cfg)
    assert copied(cfg).SOLVER.GAMMA == 0.5
    check_reads(cfg)
    assert cfg.dump() == before
    assert pickle.loads(pickle.dumps(cfg)) == cfg
