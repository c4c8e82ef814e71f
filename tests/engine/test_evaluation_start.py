"""What an evaluation needs is looked at before the first iteration; panoptic test sets."""

import importlib.util
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate
from pointrend_ext.evaluation import check_evaluation

PANOPTIC = [
    *("MODEL.META_ARCHITECTURE", "PanopticFPN"),
    *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 5),  # things and four kinds of stuff
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", 8),
    *("MODEL.SEM_SEG_HEAD.NORM", ""),
    *("DATASETS.TRAIN", ("toy_panoptic_train",)),
    *("DATASETS.TEST", ("toy_panoptic_val",)),
]


@pytest.fixture
def no_model(monkeypatch):
    """Fails where a model is built."""

    def build(cls, cfg):
        raise AssertionError("too late")

    monkeypatch.setattr(Trainer, "build_model", classmethod(build))


@pytest.fixture
def start(tiny_run, no_model, tmp_path):
    """Start a training, or an evaluation alone."""

    def start(*opts, eval_only=False):
        words = ["--eval-only"] * eval_only
        weights = tmp_path / "weights.pth"
        weights.touch()
        cfg = setup_cfg(tiny_run(*words, opts=[*opts, "MODEL.WEIGHTS", str(weights)]))
        train_or_evaluate(cfg, eval_only=eval_only)

    return start


def write_blocked(cfg_folder):
    """Put a file where the folder of the predictions will be."""
    cfg_folder.mkdir(parents=True, exist_ok=True)
    (cfg_folder / "inference").touch()


@pytest.mark.parametrize("eval_only", [False, True])
def test_mistakes_are_found_before_a_model_is_built(start, tmp_path, toy_root, eval_only):
    for opts, error, message in (
        (["TEST.BOUNDARY", ("trimap",)], ValueError, "'trimap' of TEST.BOUNDARY is computed for n"),
        (["TEST.BOUNDARY", ("edge",)], ValueError, r"TEST\.BOUNDARY contains \['edge'\]"),
        (["TEST.AP_STAR_FILE", "gone.json"], FileNotFoundError, r"gone\.json"),
        (
            ["DATASETS.TEST", ("toy_val", "toy_sem_seg_val")],
            ValueError,
            r"names 'toy_sem_seg_val', of evaluator_type 'sem_seg'.*'GeneralizedRCNN' does not",
        ),
    ):
        with pytest.raises(error, match=message):
            start(*opts, eval_only=eval_only)
    write_blocked(tmp_path / "run2")
    with pytest.raises(OSError, match="inference"):
        start("OUTPUT_DIR", str(tmp_path / "run2"), eval_only=eval_only)
    with pytest.raises(AssertionError, match="too late"):  # nothing is wrong
        start(eval_only=eval_only)


def test_a_data_set_that_nothing_evaluates(start, tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(path)
    DatasetCatalog.register("nobodys", lambda: [{"file_name": path, "annotations": []}])
    with pytest.raises(ValueError, match="Nothing evaluates 'nobodys'"):
        start("DATASETS.TEST", ("nobodys",))


@pytest.mark.parametrize("package", ["cityscapesscripts", "shapely", "lvis"])
def test_missing_packages_are_named(tiny_run, toy_root, monkeypatch, package):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    monkeypatch.setitem(__import__("sys").modules, package, None)  # importing it fails
    cfg = setup_cfg(tiny_run()).clone()
    cfg.defrost()
    kind = "lvis" if package == "lvis" else "cityscapes_instance"
    json_file = MetadataCatalog.get("toy_val").json_file
    DatasetCatalog.register("of_package", list)
    MetadataCatalog.get("of_package").set(evaluator_type=kind, json_file=json_file)
    cfg.DATASETS.TEST = ("of_package",)
    with pytest.raises(ImportError, match=rf"(?i)need.* the package {package}.*: pip install "):
        check_evaluation(cfg)


def test_an_evaluator_of_the_users_own(tiny_run):
    cfg = setup_cfg(tiny_run())
    built = []
    check_evaluation(cfg, lambda cfg, name: built.append(name))
    assert built == ["toy_val"]
    assert Path(cfg.OUTPUT_DIR, "inference").is_dir()

    def incomplete(cfg, name):
        raise AttributeError("Attribute 'stuff_classes' does not exist in the metadata")

    with pytest.raises(ValueError, match=r"evaluator of 'toy_val' cannot be built.*stuff_classes"):
        check_evaluation(cfg, incomplete)


def log_of(cfg):
    return Path(cfg.OUTPUT_DIR, "log.txt").read_text()


def test_a_panoptic_test_set_is_scored_in_all_parts(tiny_run):
    boundary = ("boundary_ap", "trimap", "boundary_pq")
    cfg = setup_cfg(tiny_run(opts=[*PANOPTIC, "TEST.BOUNDARY", boundary]))
    results = train_or_evaluate(cfg)
    assert set(results) == {"panoptic_seg", "bbox", "segm", "boundary", "sem_seg"}
    assert {"mIoU", "mTrimapIoU1", "IoU-things"} <= set(results["sem_seg"])
    assert {"PQ", "PQ_th", "RQ_st", "BoundaryPQ", "PQ-sky"} <= set(results["panoptic_seg"])
    assert "panoptic quality is not" not in log_of(cfg)
    folder = Path(cfg.OUTPUT_DIR, "inference")
    for name in ("coco_instances_results", "sem_seg_predictions", "panoptic_predictions"):
        assert (folder / f"{name}.json").is_file()
    assert len([*folder.glob("panoptic_predictions/*.png")]) == 4


def test_a_panoptic_test_set_of_a_model_of_instances(tiny_run):
    cfg = setup_cfg(tiny_run(opts=["DATASETS.TEST", ("toy_panoptic_val",)]))
    check_evaluation(cfg)
    assert "Of 'toy_panoptic_val', instances are scored; panoptic quality is not." in log_of(cfg)
    DatasetCatalog.register("bare_panoptic", list)
    MetadataCatalog.get("bare_panoptic").set(evaluator_type="coco_panoptic_seg")
    other = cfg.clone()
    other.defrost()
    other.DATASETS.TEST = ("bare_panoptic",)
    with pytest.raises(ValueError, match=r"metadata has none of \['panoptic_json', 'json_file', "):
        check_evaluation(other)
