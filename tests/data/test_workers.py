"""What worker processes hand over arrives, and what they fail at is said."""

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from itertools import islice
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from torch.utils.data import DataLoader
from torch.utils.data.sampler import SequentialSampler

from pointrend_ext.data import LoadingError, OrderedLoader, workers
from pointrend_ext.data.toy import generate_toy_data
from pointrend_ext.data.workers import WorkerMapper, _num_bytes, _Sent
from tests.tiny_models import WIDTHS

ROOT = Path(__file__).resolve().parents[2]


def model_input(number):
    instances = Instances((20, 30))
    instances.gt_boxes = Boxes(torch.tensor([[1.0, 2, 3, number]]))
    instances.gt_masks = BitMasks(torch.ones(1, 20, 30, dtype=torch.bool))
    return {"image": torch.full((3, 20, 30), number), "instances": instances, "name": "a"}


def assert_is_input(value, number):
    assert value["image"].unique().tolist() == [number]
    assert value["instances"].gt_boxes.tensor.tolist() == [[1, 2, 3, number]]
    assert value["instances"].gt_masks.tensor.shape == (1, 20, 30)
    assert value["name"] == "a"


def test_bytes_are_those_of_the_tensors():
    page = 4096
    assert _num_bytes(torch.zeros(3, 5)) == 60 + page
    assert _num_bytes(model_input(1)) == 3 * page + 20 * 30 * 3 * 8 + 16 + 600
    assert _num_bytes([torch.zeros(2, dtype=torch.uint8), (None, "x", np.zeros(9))]) == 2 + page


@pytest.mark.parametrize("free", [0, 2 * 3 * 27_304 - 1, 2 * 3 * 27_304, float("inf")])
def test_large_values_go_through_the_pipe(monkeypatch, free):
    """27,304 bytes for three workers, each of which may have one under way."""
    assert _num_bytes(model_input(7)) == 27_304
    monkeypatch.setattr(workers, "_free_bytes", lambda: free)
    data = bytes(ForkingPickler.dumps(_Sent(model_input(7), workers=3)))
    assert (len(data) > 10_000) == (free < 2 * 3 * 27_304)
    if free < 2 * 3 * 27_304:
        assert_is_input(pickle.loads(data), 7)


def test_an_object_that_holds_itself(monkeypatch):
    value = {"image": torch.zeros(2)}
    value["self"] = value
    back = pickle.loads(bytes(ForkingPickler.dumps(_Sent(value, 1))))
    assert back["self"]["self"]["image"].tolist() == [0, 0]


def failing(record):
    if record["number"] == 3:
        error, text = record["fails"]
        raise error(text)
    return model_input(record["number"])


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ((ValueError, "Image 'd/3.jpg' is truncated."), r"^Image 'd/3\.jpg' is truncated\.$"),
        ((FileNotFoundError, "gone"), r"^Image 'd/3\.jpg': gone$"),
        ((ValueError, "d/3.jpg: LoadingError: x\nsecond"), r"^x\nsecond$"),
    ],
)
def test_a_failure_has_its_own_words(fails, message, num_workers):
    records = [{"number": n, "file_name": f"d/{n}.jpg", "fails": fails} for n in range(5)]
    loader = DataLoader(
        records, collate_fn=lambda x: WorkerMapper(failing)(x[0]), num_workers=num_workers
    )
    images = iter(loader)
    for number in range(3):
        assert_is_input(next(images), number)
    with pytest.raises(LoadingError, match=message):
        next(images)


def test_a_mistake_of_the_program_keeps_its_type():
    with pytest.raises(TypeError, match="no"):
        WorkerMapper(failing)({"number": 3, "fails": (TypeError, "no")})


class Endless(SequentialSampler):
    def __iter__(self):
        while True:
            yield from range(len(self.data_source))


def test_a_dead_worker_is_found_at_the_next_batch_and_not_before():
    records = [{"number": n, "file_name": ""} for n in (0, 1, 2)]
    pids = []

    def mapper(record):
        return {"pid": os.getpid(), "image": torch.zeros(1)}

    loader = OrderedLoader(
        records, mapper, Endless, batch_size=2, seed=1, group_by_shape=False, num_workers=2
    )
    batches = iter(loader)
    pids = {item["pid"] for item in next(batches)}
    assert len(pids) == 2
    assert os.getpid() not in pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)  # torch would raise here
    message = r"has ended, .*(Killed|exited).*/dev/shm has \d+ MB free.*--shm-size 8g"
    with pytest.raises(LoadingError, match=message):
        list(islice(batches, 6))


def test_a_worker_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("pointrend_ext.data.ordered_loader.TIMEOUT_S", 1)
    loader = OrderedLoader(
        [{"file_name": ""}],
        lambda record: time.sleep(3),
        Endless,
        batch_size=1,
        seed=1,
        group_by_shape=False,
        num_workers=1,
    )
    with pytest.raises(
        LoadingError, match=r"hangs .*\(DataLoader timed out after 1 s.*NUM_WORKERS"
    ):
        next(iter(loader))


def test_other_errors_of_the_loader_stay():
    assert workers.worker_failure(RuntimeError("CUDA error")) is None


TRAIN = """
import sys
sys.path.insert(0, "tools")
import train_net
sys.exit(train_net.main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["64k", "1m"])
def test_a_tiny_shared_memory(tmp_path, size):
    """As in a container; a training and its evaluation come to the same end as without workers.

    In 64 kB not even a process that looks at images at the start can be made.
    """
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount")
    generate_toy_data(tmp_path, num_train=8, num_val=4)
    words = ["--config-file", "Toy/pointrend_rcnn_toy.yaml", *map(str, WIDTHS)]
    words += ["SOLVER.MAX_ITER", "4", "INPUT.MIN_SIZE_TRAIN", "(256,)", "SEED", "1"]
    metrics = {}
    for num_workers in (3, 0):
        folder = tmp_path / str(num_workers)
        command = [sys.executable, "-W", "ignore", "-c", TRAIN, *words]
        command += ["DATALOADER.NUM_WORKERS", str(num_workers), "OUTPUT_DIR", str(folder)]
        mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
        done = subprocess.run(
            ["unshare", "-m", "bash", "-c", mount, "bash", *command],
            cwd=ROOT,
            env={**os.environ, "DETECTRON2_DATASETS": str(tmp_path)},
            timeout=300,
            capture_output=True,
            text=True,
        )
        if size == "64k":
            assert done.returncode == 2
            assert "/dev/shm is full (Docker: --shm-size" in done.stderr
            break
        assert done.returncode == 0, done.stderr[-3000:]
        found = re.findall(
            r'"(total_loss|bbox/AP)": ([\d.]+)', (folder / "metrics.json").read_text()
        )
        metrics[num_workers] = dict(found)
    assert metrics.get(3) == metrics.get(0)
    assert ("total_loss" in metrics.get(3, {})) == (size == "1m")
