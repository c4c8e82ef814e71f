"""The semantic evaluator against Detectron2's, in one and in two processes, and with bad input."""

import json
import logging
import os

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
import torch.multiprocessing
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from PIL import Image

from pointrend_ext.data.label_encoding import LabelEncoding
from pointrend_ext.evaluation import SemanticEvaluator

CLASSES = ["sky", "tree", "road", "pole", "never"]
IGNORE = 255
METRICS = ("boundary_iou", "trimap", "boundary_f")


@pytest.fixture
def register(own_catalogs, request, tmp_path):
    """Register label maps as a data set; returns its name and the inputs of its images."""

    def _register(maps, classes=CLASSES, *, folder=tmp_path, **metadata):
        name = request.node.name + ("" if folder == tmp_path else folder.name)
        folder.mkdir(exist_ok=True)
        records = []
        for index, labels in enumerate(maps):
            file_name = str(folder / f"truth_{index}.png")
            Image.fromarray(labels).save(file_name)
            records.append({"file_name": f"image_{index}.jpg", "sem_seg_file_name": file_name})
        DatasetCatalog.register(name, lambda: records)
        metadata = {"stuff_classes": classes, "ignore_label": IGNORE, **metadata}
        MetadataCatalog.get(name).set(**metadata)
        return name, [{"file_name": record["file_name"]} for record in records]

    return _register


@pytest.fixture
def scene():
    """Three images of different size: truth without "never" and "pole" only once; logits."""
    rng = np.random.default_rng(0)
    sizes = [(30, 41), (17, 20), (64, 33)]
    truths = [rng.choice([0, 1, 2, IGNORE], size=size).astype(np.uint8) for size in sizes]
    truths[2][:5] = 3
    logits = [torch.from_numpy(rng.normal(size=(5, *size)).astype(np.float32)) for size in sizes]
    for truth, values in zip(truths, logits, strict=True):  # right in most places
        right = torch.from_numpy(np.where(truth == IGNORE, 0, truth)).long()
        values.scatter_add_(0, right[None], torch.full((1, *right.shape), 1.5))
    return truths, logits


def run(evaluator, inputs, outputs):
    evaluator.reset()
    for single_input, output in zip(inputs, outputs, strict=True):
        evaluator.process([single_input], [{"sem_seg": output}])
    scores = evaluator.evaluate()
    return scores and scores["sem_seg"]


def entries_in(folder):
    return json.loads((folder / "sem_seg_predictions.json").read_text())


needs_numpy_1 = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) >= "2.0.0", reason="Detectron2's evaluator needs NumPy 1"
)


@needs_numpy_1
@pytest.mark.parametrize("mapped", [True, False])
def test_equal_to_detectron2(mapped, register, scene, tmp_path):
    ids = {"stuff_dataset_id_to_contiguous_id": {10 * i + 3: i for i in range(5)}} if mapped else {}
    name, inputs = register(scene[0], **ids)
    ours = run(SemanticEvaluator(name, str(tmp_path / "ours")), inputs, scene[1])
    theirs = run(SemSegEvaluator(name, output_dir=str(tmp_path / "theirs")), inputs, scene[1])
    shared = {k: v for k, v in theirs.items() if "B" not in k}
    assert list(ours) == list(shared)
    assert ours == pytest.approx(shared, rel=1e-12, nan_ok=True)
    assert np.isnan(ours["IoU-never"])  # predicted, but nowhere true
    assert entries_in(tmp_path / "ours") == entries_in(tmp_path / "theirs")
    saved = torch.load(tmp_path / "ours" / "sem_seg_evaluation.pth")
    assert saved == pytest.approx(ours, nan_ok=True)
    assert sorted(os.listdir(tmp_path / "ours")) == sorted(os.listdir(tmp_path / "theirs"))


def test_label_maps_equal_logits(register, scene):
    name, inputs = register(scene[0])
    evaluator = SemanticEvaluator(name, boundary=METRICS)
    expected = run(evaluator, inputs, scene[1])
    for dtype in (torch.int64, torch.uint8, torch.int32):
        labels = [values.argmax(dim=0).to(dtype) for values in scene[1]]
        assert run(evaluator, inputs, labels) == pytest.approx(expected, nan_ok=True)


def test_perfect_prediction_and_chosen_metrics(register, scene, tmp_path):
    name, inputs = register(scene[0])
    labels = [torch.from_numpy(np.where(t == IGNORE, 2, t)) for t in scene[0]]
    scores = run(SemanticEvaluator(name, boundary=METRICS), inputs, labels)
    assert {value for name, value in scores.items() if not name.endswith("-never")} == {100.0}
    assert all(np.isnan(value) for name, value in scores.items() if name.endswith("-never"))
    means = [k for k in scores if "-" not in k]
    trimaps = [f"mTrimapIoU{width}" for width in (1, 3, 5)]
    assert means == ["mIoU", "fwIoU", "mACC", "pACC", "mBoundaryIoU", *trimaps, "mBoundaryF"]
    plain = run(SemanticEvaluator(name), inputs, labels)
    assert not [k for k in plain if "oundary" in k or "B" in k]
    assert sorted(os.listdir(tmp_path)) == [f"truth_{i}.png" for i in range(3)]  # nothing written


def test_binary(register, tmp_path):
    truth = np.array([[0, 0, 1, 1], [0, IGNORE, 1, 1]], dtype=np.uint8)
    name, inputs = register([truth], classes=["defect"])
    logits = torch.tensor([[[-1.0, 0.5, 0.5, 3.0], [0.0, 9.0, 2.0, 1.0]]])  # 0 is background
    scores = run(SemanticEvaluator(name, str(tmp_path / "out")), inputs, [logits])
    # background: 2 of 3 found, nothing else; defect: 4 of 4 and one too many
    assert scores["IoU-background"] == pytest.approx(100 * 2 / 3)
    assert scores["IoU-defect"] == pytest.approx(100 * 4 / 5)
    assert scores["mIoU"] == pytest.approx(50 * (2 / 3 + 4 / 5))
    entries = entries_in(tmp_path / "out")
    assert [entry["category_id"] for entry in entries] == [0, 1]
    mask = mask_util.decode(entries[1]["segmentation"])
    np.testing.assert_array_equal(mask, [[0, 1, 1, 1], [0, 1, 1, 1]])
    two = torch.cat([-logits, logits])  # ties go to the first, so 0 is background here as well
    again = run(SemanticEvaluator(name), inputs, [two])
    assert again == pytest.approx(scores)


def test_palette_and_16_bit_label_maps_keep_their_ids(register, tmp_path):
    labels = np.array([[0, 1, 2], [2, 1, 4]], dtype=np.uint8)
    name, inputs = register([labels, labels])
    palette = Image.fromarray(labels, mode="P")
    palette.putpalette([50, 10, 200, 7, 9, 80, 90, 100, 255, 1, 2, 3, 200, 200, 200])
    palette.save(tmp_path / "truth_0.png")
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "truth_1.png")
    scores = run(SemanticEvaluator(name), inputs, [torch.from_numpy(labels)] * 2)
    assert scores["mIoU"] == scores["pACC"] == 100


def _worker(rank, name, inputs, outputs, folder):
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    evaluator = SemanticEvaluator(name, f"{folder}/two", boundary=METRICS)
    share = slice(0, 1) if rank == 0 else slice(1, None)
    scores = run(evaluator, inputs[share], outputs[share])
    if rank == 0:
        torch.save(scores, f"{folder}/scores.pth")
    else:
        assert scores is None
    torch.distributed.destroy_process_group()


def test_two_processes(register, scene, tmp_path):
    name, inputs = register(scene[0])
    folders = [tmp_path / "one", tmp_path / "two"]
    expected = run(SemanticEvaluator(name, str(folders[0]), boundary=METRICS), inputs, scene[1])
    torch.multiprocessing.start_processes(
        _worker, (name, inputs, scene[1], str(tmp_path)), nprocs=2, start_method="fork"
    )
    assert torch.load(tmp_path / "scores.pth") == pytest.approx(expected, nan_ok=True)
    texts = [(folder / "sem_seg_predictions.json").read_text() for folder in folders]
    assert texts[0] == texts[1]
    assert sorted(os.listdir(folders[1])) == sorted(os.listdir(folders[0]))  # no parts left


def test_reset_forgets(register, scene, tmp_path):
    name, inputs = register(scene[0])
    evaluator = SemanticEvaluator(name, str(tmp_path / "out"))
    expected = run(evaluator, inputs[:1], scene[1][:1])
    run(evaluator, inputs, scene[1])
    assert run(evaluator, inputs[:1], scene[1][:1]) == pytest.approx(expected, nan_ok=True)
    assert {entry["file_name"] for entry in entries_in(tmp_path / "out")} == {"image_0.jpg"}


def test_memory_does_not_grow_with_images(register, scene, tmp_path):
    name, inputs = register(scene[0])
    evaluator = SemanticEvaluator(name, str(tmp_path / "out"), boundary=METRICS)
    evaluator.reset()

    def held():
        lengths = {k: len(v) for k, v in vars(evaluator).items() if hasattr(v, "__len__")}
        return lengths, sum(array.nbytes for array in evaluator._counts.values())

    before = held()
    for _ in range(5):
        evaluator.process(inputs, [{"sem_seg": values} for values in scene[1]])
    assert held() == before


def test_nothing_evaluated(register, tmp_path, caplog):
    name, inputs = register([np.full((3, 4), IGNORE, dtype=np.uint8)])
    evaluator = SemanticEvaluator(name, str(tmp_path / "out"))
    with caplog.at_level(logging.WARNING):
        scores = run(evaluator, inputs, [torch.zeros(3, 4, dtype=torch.int64)])
    assert all(np.isnan(value) for value in scores.values())
    assert "No pixel of test_nothing_evaluated was evaluated" in caplog.text
    run(evaluator, [], [])
    assert entries_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"instances": 1}, r"puts out \['instances'\], 'sem_seg' being \(0,\)"),
        ({"sem_seg": torch.zeros(4, 6, 7)}, r"\(4, 6, 7\) of torch.float32; the 5 classes.*\(5, H"),
        ({"sem_seg": torch.zeros(1, 6, 7)}, r"\(1, 6, 7\)"),
        ({"sem_seg": torch.zeros(6, 7)}, r"\(6, 7\) of torch.float32"),
        ({"sem_seg": torch.zeros(5, 6, 8)}, r"prediction has \(height, width\) \(6, 8\).*\(6, 7\)"),
        ({"sem_seg": torch.full((6, 7), 5)}, r"the prediction contains the values 5 \(42 pixels\)"),
    ],
)
def test_bad_predictions_are_named(output, message, register):
    name, inputs = register([np.zeros((6, 7), dtype=np.uint8)])
    evaluator = SemanticEvaluator(name)
    evaluator.reset()
    with pytest.raises(ValueError, match=rf"Image 'image_0\.jpg' .*truth_0\.png.*{message}"):
        evaluator.process(inputs, [output])


def test_bad_label_maps_are_named(register, tmp_path):
    name, inputs = register([np.full((6, 7), 77, dtype=np.uint8)])
    evaluator, outputs = SemanticEvaluator(name), [torch.zeros(6, 7, dtype=torch.int64)]
    with pytest.raises(ValueError, match=r"truth_0\.png.*ground truth contains the values 77 \(42"):
        run(evaluator, inputs, outputs)
    with pytest.raises(ValueError, match=r"'other\.jpg' is not in the data set 'test_bad"):
        run(evaluator, [{"file_name": "other.jpg"}], outputs)
    os.remove(tmp_path / "truth_0.png")
    with pytest.raises(FileNotFoundError, match=r"truth_0\.png"):
        run(evaluator, inputs, outputs)


def test_bad_data_sets_are_named(register, tmp_path):
    maps = [np.zeros((2, 2), dtype=np.uint8)]
    name, _ = register(maps, stuff_dataset_id_to_contiguous_id={1: 0, 7: 1})
    with pytest.raises(ValueError, match=rf"'{name}' names the labels \[0, 1\], but .* 5 classes"):
        SemanticEvaluator(name, str(tmp_path))
    DatasetCatalog.get(name)[0].pop("sem_seg_file_name")
    with pytest.raises(KeyError, match="sem_seg_file_name"):
        SemanticEvaluator(name)
    MetadataCatalog.remove(name)
    DatasetCatalog.get(name)[0]["sem_seg_file_name"] = "truth_0.png"
    with pytest.raises(ValueError, match=f"data set '{name}' names no classes of label maps"):
        SemanticEvaluator(name)
    MetadataCatalog.get(name).set(stuff_classes=["a", "b"])
    with pytest.raises(ValueError, match=f"data set '{name}' does not say .*ignore_label=255"):
        SemanticEvaluator(name)


@pytest.mark.real_data
def test_camvid_truth_scores_100(real_data, register):
    files = sorted((real_data / "camvid" / "val_labels").glob("*.png"))[:3]
    maps = [np.asarray(Image.open(file)) for file in files]
    name, inputs = register(maps, classes=[f"c{i}" for i in range(11)], ignore_label=11)
    labels = [torch.from_numpy(np.where(m == 11, 0, m)) for m in maps]
    scores = run(SemanticEvaluator(name, boundary=METRICS), inputs, labels)
    assert {value for value in scores.values() if not np.isnan(value)} == {100.0}


@pytest.mark.parametrize("value", [0, 1])
def test_a_single_class_with_true_pixels_is_said(register, caplog, value):
    truth = np.full((8, 9), value, np.uint8)
    truth[0] = IGNORE
    name, inputs = register([truth], classes=["ground", "thing"])
    with caplog.at_level(logging.WARNING):
        scores = run(SemanticEvaluator(name), inputs, [torch.full((8, 9), value)])
    assert scores["mIoU"] == 100
    assert f"over 1 of 2 classes: {['ground', 'thing'][value]!r} alone has true" in caplog.text


def test_two_classes_with_true_pixels_are_nothing_to_say(register, caplog):
    name, inputs = register([np.array([[0, 1]], np.uint8)], classes=["a", "b", "c"])
    with caplog.at_level(logging.WARNING):
        assert run(SemanticEvaluator(name), inputs, [torch.tensor([[0, 0]])])["mIoU"] == 25
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        (LabelEncoding((1, 2, 3), 0, 255), [[0, 1, 1], [2, 3, 3]]),
        (LabelEncoding((9, 0, 255), 7, 255), [[7, 9, 9], [0, 255, 255]]),
    ],
)
def test_true_labels_are_those_that_the_numbers_mean(register, tmp_path, encoding, stored):
    """Ignored, a a, b, c c against c, a b, b, c a: also the metrics of boundaries, by value."""
    classes = ["a", "b", "c"]
    name, inputs = register([np.array(stored, np.uint8)], classes, label_encoding=encoding)
    prediction = torch.tensor([[2, 0, 1], [1, 2, 0]])
    scores = run(SemanticEvaluator(name, boundary=METRICS), inputs, [prediction])
    assert [scores[f"IoU-{c}"] for c in classes] == pytest.approx([100 / 3, 50, 50])
    plain, same = register(
        [np.array([[255, 0, 0], [1, 2, 2]], np.uint8)], classes, folder=tmp_path / "plain"
    )
    assert scores == run(SemanticEvaluator(plain, boundary=METRICS), same, [prediction])
