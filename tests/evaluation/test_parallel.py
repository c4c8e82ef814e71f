"""Every evaluator in several processes: each image once, and the numbers of a single process."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm

from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.engine import load_cfg
from pointrend_ext.evaluation import build_evaluator
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.given_boxes import add_given_boxes
from pointrend_ext.evaluation.results_file import load_results
from pointrend_ext.evaluation.shards import Shards
from tests.evaluation.test_build import logits, shifted_labels
from tests.evaluation.test_given_boxes import Played
from tests.evaluation.test_panoptic import true_output
from tests.parallel import in_processes
from tests.toy_cityscapes import INSTANCES, LABELS, register_toy_cityscapes
from tests.toy_instances import as_instances, as_lvis

pytest.importorskip("lvis")
KINDS = {
    "coco": ("toy_val", ["TEST.BOUNDARY", "('boundary_ap',)"]),
    "lvis": ("toy_lvis", ["TEST.BOUNDARY", "('boundary_ap',)"]),
    "given boxes": ("toy_val", ["TEST.GIVEN_BOXES", "ground_truth"]),
    "semantic": ("toy_sem_seg_val", ["TEST.BOUNDARY", "('boundary_iou','trimap','boundary_f')"]),
    "cityscapes instances": (INSTANCES, ["TEST.GIVEN_BOXES", "ground_truth"]),
    "cityscapes labels": (LABELS, []),
    "panoptic": (
        "toy_panoptic_val",
        [
            *("TEST.BOUNDARY", "('boundary_pq','boundary_ap')"),
            *("MODEL.META_ARCHITECTURE", "PointRendPanopticFPN"),
        ],
    ),
}


def _register(toy_root, cityscapes_root, lvis_file):
    register_toy_datasets(toy_root)
    DatasetCatalog.get("toy_val")  # fills the metadata
    if INSTANCES not in DatasetCatalog.list():
        register_toy_cityscapes(cityscapes_root / str(comm.get_rank()))
        DatasetCatalog.register("toy_lvis", lambda: DatasetCatalog.get("toy_val"))
        ids = MetadataCatalog.get("toy_val").thing_dataset_id_to_contiguous_id
        MetadataCatalog.get("toy_lvis").set(
            evaluator_type="lvis",
            json_file=str(lvis_file),
            thing_dataset_id_to_contiguous_id=ids,
        )


def _output(kind, record, predictions):
    """What a model that is often right puts out."""
    if "labels" in kind:
        return {"sem_seg": logits(shifted_labels(record))}
    if kind == "panoptic":
        segments = true_output("toy_panoptic_val", record, move=2)
        labels = {"sem_seg": shifted_labels(record) % 5}
        return {**_output("coco", record, predictions), **labels, **segments}
    if kind == "semantic":
        return {"sem_seg": shifted_labels(record) % 10}
    own = [p for p in predictions if p["image_id"] == record["image_id"]]
    numbers = MetadataCatalog.get("toy_val").thing_dataset_id_to_contiguous_id
    return as_instances(own, (record["height"], record["width"]), numbers)


def _scores(roots, predictions, folder):
    _register(*roots)
    found = {}
    for kind, (name, opts) in KINDS.items():
        cfg = load_cfg(None, ["DATASETS.TEST", (name,), "MODEL.MASK_ON", True, *opts])
        records = DatasetCatalog.get(name)
        records = add_given_boxes(cfg, name, records) if cfg.TEST.GIVEN_BOXES else records
        play = Played(name) if cfg.TEST.GIVEN_BOXES else None
        evaluator = build_evaluator(cfg, name, str(folder / kind))
        evaluator.reset()
        for i in InferenceSampler(len(records)):
            x = records[i]
            output = play(x, _Rle) if play else _output(kind, x, predictions)
            evaluator.process([x], [output])
        found[kind] = evaluator.evaluate()
    return found


class _Rle:
    from tests.toy_instances import annotation_rle

    annotation_rle = staticmethod(annotation_rle)


@pytest.mark.parametrize("number", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_numbers_and_files_are_those_of_one_process(
    own_catalogs, toy_root, toy_truth, toy_predictions, write_json, tmp_path, number
):
    """Five processes have three or four images."""
    lvis_file = write_json(as_lvis(toy_truth.dataset), "lvis.json")
    (tmp_path / "cityscapes").mkdir()
    roots = toy_root, tmp_path / "cityscapes", lvis_file
    one = _scores(roots, toy_predictions, tmp_path / "one")
    first, *others = in_processes(
        number, _scores, roots, toy_predictions, tmp_path / "several", timeout=300
    )
    assert all(not score for scores in others for score in scores.values())
    assert first.keys() == one.keys() == KINDS.keys()
    for kind, scores in one.items():
        assert first[kind].keys() == scores.keys()
        for task, metrics in scores.items():
            assert metrics["IoU" if "labels" in kind or "quality" in task else next(iter(metrics))]
            assert first[kind][task] == pytest.approx(metrics, rel=1e-12, nan_ok=True), kind
    folders = tmp_path / "one", tmp_path / "several"
    files = [{f.relative_to(folder) for f in folder.rglob("*.*")} for folder in folders]
    assert files[0] == files[1]
    written = [f for f in files[0] if "_results" in f.name or "_predictions" in f.name]
    assert len(written) == 8
    for name in written:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_nobody_gathers_before_all_are_there(own_catalogs, toy_root, tmp_path, monkeypatch):
    """Gathering has a time limit, which a first process that scores other data passes."""
    (tmp_path / "cityscapes").mkdir()
    _register(toy_root, tmp_path / "cityscapes", "")
    done = []
    for name in ("panoptic", "cityscapes"):
        module = f"pointrend_ext.evaluation.{name}.wait_for_all"
        monkeypatch.setattr(module, lambda: done.append("waits"))
    for function in ("all_gather", "gather"):
        monkeypatch.setattr(comm, function, lambda own: done.append("gathers") or [own])
    for name, evaluate in (("toy_panoptic_val", True), (INSTANCES, False), (LABELS, False)):
        done.clear()
        cfg = load_cfg(None, ["MODEL.META_ARCHITECTURE", "PanopticFPN", "DATASETS.TEST", (name,)])
        evaluator = build_evaluator(cfg, name, str(tmp_path))
        evaluator = getattr(evaluator, "_evaluators", [evaluator])[0]
        evaluator.reset()
        _ = evaluate and evaluator.evaluate()
        assert done == ["waits", "gathers"]


def test_a_file_for_each_process(tmp_path):
    for ending in ("jsonl", "part"):  # complete, and of a process that was killed
        (tmp_path / f"a_instances.00001-of-00003.{ending}").write_text("[]\n")
    for name in ("a_instances", "a_instances"):  # a second evaluation begins anew
        shards = Shards(tmp_path, name)
        shards.reset()
        for entries in ([], [{"score": 0.25}, {"b": 'é"'}], [{"score": 1}]):
            shards.write(entries)
    assert [path.name for path in tmp_path.iterdir()] == ["a_instances.00000-of-00001.part"]
    assert shards.finish()
    assert shards.num_lines == 3
    assert [*shards.read()] == [[], [{"score": 0.25}, {"b": 'é"'}], [{"score": 1}]]
    shards.join(tmp_path / "all.json")
    everything = [{"score": 0.25}, {"b": 'é"'}, {"score": 1}]
    assert (tmp_path / "all.json").read_text() == json.dumps(everything)
    shards.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["all.json"]
    with pytest.raises(ValueError, match="have been scored and removed: before another evaluate"):
        shards.finish()
    shards.reset()
    assert shards.finish()
    shards.join(tmp_path / "all.json")
    assert json.loads((tmp_path / "all.json").read_text()) == []


def test_predictions_of_an_interrupted_evaluation(toy_truth, toy_json, toy_predictions, tmp_path):
    truth = CocoTruth.load(toy_json)
    for rank, part in enumerate((toy_predictions[:5], [], toy_predictions[5:])):
        path = tmp_path / f"coco_instances.{rank:05d}-of-00003.jsonl"
        path.write_text("".join(json.dumps([p]) + "\n" for p in part) + "[]\n")
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps(toy_predictions))
    assert load_results(tmp_path, truth) == load_results(whole, truth)

    path = tmp_path / "coco_instances.00001-of-00003.jsonl"
    for text, message in (
        ("[{]\n", r"00001-of-00003\.jsonl': line 1 is not valid JSON: "),
        ('[]\n[{"a": 1, "a": 2}]\n', r"\.jsonl': line 2: the key 'a' is given twice"),
        ('[]\n{"a": 1}\n', r"00001-of-00003\.jsonl': line 2 is not a list of predictions"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_results(tmp_path, truth)
    path.unlink()
    message = r"predictions of 3 processes, of which 1 are missing \(coco_instances\.00001-of-00003"
    with pytest.raises(ValueError, match=message):
        load_results(tmp_path, truth)
    with pytest.raises(ValueError, match=r"folder without predictions .*: name a file of results"):
        load_results(tmp_path.parent, truth)
    path.write_text("[]\n")
    (tmp_path / "lvis_instances.00000-of-00001.jsonl").write_text("[]\n")
    with pytest.raises(ValueError, match=r"of several evaluations .*lvis_instances\.00000"):
        load_results(tmp_path, truth)
