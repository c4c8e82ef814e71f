"""Both point heads in one model: trained on described data, scored, its weights taken elsewhere."""

from pathlib import Path

import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import register_coco_panoptic_separated

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.data.coco_dataset import load_registered
from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine import Trainer, setup_cfg, train_or_evaluate

SPLIT = """  {0}:
    images: toy/{0}
    segments: toy/panoptic_{0}
    annotations: toy/annotations/panoptic_{0}.json
"""
DESCRIPTION = "name: own\ntask: panoptic\nroot: {root}\nsplits:\n" + "".join(
    SPLIT.format(split) for split in ("train", "val")
)
TINY = [
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", 16),
    *("MODEL.SEM_SEG_HEAD.NORM", ""),
    *("MODEL.SEM_SEG_POINT_HEAD.FC_DIM", 16),
    *("MODEL.WEIGHTS", ""),
    *("MODEL.FREEZE", ()),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 8),
    *("MODEL.MASK_POINT_HEAD.SUBDIVISION_NUM_POINTS", 50),
    *("SOLVER.MAX_ITER", 2),
    *("TEST.DETECTIONS_PER_IMAGE", 2),
]
CONFIG = "Toy/pointrend_panoptic_fpn_toy.yaml"


@pytest.fixture
def described_run(tiny_run, toy_root, tmp_path):
    """Arguments of a run on the toy files, which are named by a description alone."""

    def arguments(*opts):
        path = tmp_path / "own.yaml"
        path.write_text(DESCRIPTION.format(root=toy_root))
        names = ["DATASETS.TRAIN", ("own_train",), "DATASETS.TEST", ("own_val",)]
        own = ["DATASETS.DESCRIPTIONS", (str(path),), *names, "TEST.BOUNDARY", ("boundary_pq",)]
        return tiny_run(config=CONFIG, opts=[*TINY, *own, *opts])

    return arguments


def test_described_data_are_trained_on_and_scored(described_run):
    cfg = setup_cfg(described_run())
    results = train_or_evaluate(cfg)
    assert set(results) == {"panoptic_seg"}  # there is no file of instances, and no label map
    assert {"PQ", "BoundaryPQ", "BoundaryPQ_st", "PQ-star"} < set(results["panoptic_seg"])
    assert MetadataCatalog.get("own_val").stuff_classes[0] == "things"
    log = Path(cfg.OUTPUT_DIR, "log.txt").read_text()
    assert "loss_mask_point" in log
    assert "loss_sem_seg_point" in log
    saved = torch.load(Path(cfg.OUTPUT_DIR, "model_final.pth"), weights_only=False)
    assert [len(names) for names in saved["class_names"].values()] == [6, 5]


def test_pictures_in_place_of_prepared_label_maps(toy_root):
    """Detectron2's separated sets hold the very same labels without their folder."""
    register_toy_datasets(toy_root)
    toy = MetadataCatalog.get("toy_panoptic_val")
    keys = ("image_root", "panoptic_root", "panoptic_json")
    tables = {k: v for k, v in toy.as_dict().items() if k.endswith(("_id", "_classes"))}
    for name, folder in (("with", toy.sem_seg_root), ("without", f"{toy_root}/gone")):
        paths = [getattr(toy, key) for key in keys]
        register_coco_panoptic_separated(name, tables, *paths, folder, toy.json_file)
    prepared, read = (load_registered(f"{n}_separated")[0] for n in ("with", "without"))
    assert len(read) == len(prepared) == 4
    for one, other in zip(prepared, read, strict=True):
        labels = read_label_map(one["sem_seg_file_name"])
        own = read_label_map(other["sem_seg_file_name"], other["label_encoding"])
        assert (labels == own).all()
        assert one["annotations"] == other["annotations"]


def test_surgery_of_both_lists_of_classes(described_run, tmp_path):
    """Classes that are known by name keep what belongs to them, in either head."""
    cfg = setup_cfg(described_run())
    torch.manual_seed(1)
    source = Trainer.build_model(cfg)
    names = {
        "instance": ["gear", "star"],
        "semantic": ["things", "sand", "lava", "sky"],
    }
    stored = {
        "instance": ["star", "gear", "blob", "ring", "letter", "plate"],
        "semantic": ["things", "sky", "grass", "water", "sand"],
    }
    torch.save({"model": source.state_dict(), "class_names": stored}, tmp_path / "a.pth")
    cfg.defrost()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 2, 4
    torch.manual_seed(2)
    model = Trainer.build_model(cfg)
    options = {"allow_missing": True, "class_names": names, "map_classes": True}
    PointRendCheckpointer(model, **options).load(str(tmp_path / "a.pth"))
    old, new = source.state_dict(), model.state_dict()
    for key, rows in (
        ("roi_heads.mask_head.point_head.predictor.weight", {0: 1, 1: 0}),
        ("sem_seg_head.point_head.predictor.weight", {0: 0, 1: 4, 3: 1}),
        ("sem_seg_head.coarse_sem_seg_head.predictor.weight", {0: 0, 1: 4, 3: 1}),
    ):
        for to, start in rows.items():
            assert torch.equal(new[key][to].flatten()[:16], old[key][start].flatten()[:16]), key
    lava = new["sem_seg_head.point_head.predictor.weight"][2]
    assert not any(
        torch.equal(lava[:16], row[:16]) for row in old["sem_seg_head.point_head.predictor.weight"]
    )
