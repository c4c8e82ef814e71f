"""The order of images and their random numbers: by the seed and the position, nothing else."""

import itertools
import random

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.data.common import AspectRatioGroupedDataset
from detectron2.data.samplers import TrainingSampler

from pointrend_ext.data import OrderedLoader, build_train_loader, seed_process, seeded
from pointrend_ext.data.shared_records import SharedRecords
from tests.data.builders import target

RECORDS = [{"id": i, "width": 4 + i % 3, "height": 5} for i in range(7)]


def draw():
    return np.random.rand(), random.random(), torch.rand(1).item()  # noqa: NPY002


def mapper(record):
    return record["id"], draw()


def sampler(records):
    return TrainingSampler(len(records))


def make_loader(num_workers=0, **changes):
    options = {"seed": 3, "group_by_shape": True, "num_workers": num_workers, **changes}
    return OrderedLoader(RECORDS, mapper, sampler, batch_size=2, **options)


def take(loader, number=8):
    return list(itertools.islice(loader, number))


@pytest.mark.parametrize("group_by_shape", [True, False])
def test_any_number_of_workers_gives_the_same(group_by_shape):
    alone = take(make_loader(group_by_shape=group_by_shape))
    assert [len(batch) for batch in alone] == [2] * 8
    assert take(make_loader(2, group_by_shape=group_by_shape)) == alone


def test_workers_that_are_not_forked_take_no_memory_away():
    """Torch puts tensors that it hands to them elsewhere, under arrays of NumPy."""
    records = SharedRecords(RECORDS)
    loader = OrderedLoader(records, mapper, sampler, batch_size=2, seed=3, group_by_shape=True)
    assert not np.shares_memory(loader._sizes, records.sizes.numpy())
    records.sizes.share_memory_()
    assert take(loader) == take(make_loader())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_starting_in_the_middle_gives_what_was_to_come(num_workers):
    loader = make_loader(num_workers)
    everything = take(loader)
    take(loader, 3)  # what was read before does not count
    loader.seek(3, 5)
    assert take(loader, 3) == everything[5:]


def test_the_seed_decides():
    one, loader = take(make_loader(seed=1)), make_loader(seed=2)
    other = take(loader)
    assert [i for batch in one for i, _ in batch] != [i for batch in other for i, _ in batch]
    loader.seek(1, 0)
    assert take(loader) == one


def test_every_image_has_numbers_of_its_own():
    items = [item for batch in take(make_loader(), 20) for item in batch]
    assert len({numbers for _, numbers in items}) == len(items)  # also when an image comes again
    assert {i for i, _ in items} == set(range(7))


def test_processes_see_other_numbers(monkeypatch):
    first = take(make_loader())
    monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda: 1)
    numbers = {n for batches in (first, take(make_loader())) for batch in batches for _, n in batch}
    assert len(numbers) == 32


def test_reading_leaves_the_process_alone():
    seed_process(5)
    expected = draw()
    seed_process(5)
    loader = make_loader()
    take(loader)
    assert draw() == expected
    seed_process(5)
    with pytest.raises(ZeroDivisionError), seeded(1, 2):
        raise ZeroDivisionError
    assert draw() == expected


def test_seeds_of_other_tuples_are_other_seeds():
    states = []
    for words in [(1,), (1, 2), (2, 1), (2,), (0, 2**31 - 1)]:
        with seeded(*words):
            inside = draw()
        seed_process(*words)
        assert draw() == inside
        states.append(inside)
    assert all(len(set(column)) == len(states) for column in zip(*states, strict=True))


def test_groups_are_those_of_detectron2():
    loader = make_loader()
    order = itertools.islice(loader._sampler, 60)
    theirs = list(AspectRatioGroupedDataset((RECORDS[i] for i in order), 2))
    ours = [[number for number, _ in batch] for batch in itertools.islice(loader, len(theirs))]
    assert ours == [[record["id"] for record in batch] for batch in theirs]
    assert len({RECORDS[i]["width"] > 5 for batch in ours for i in batch}) == 2


@pytest.fixture
def one_image(cfg, record):
    """A configuration whose training set is one record of a registered function."""
    record["annotations"] = [target()]
    cfg.DATASETS.TRAIN = ("one_image",)
    DatasetCatalog.register("one_image", lambda: [record])
    return cfg


@pytest.mark.parametrize("images", [1, 3])
def test_batches_are_shared_by_processes(one_image, monkeypatch, images):
    one_image.SOLVER.IMS_PER_BATCH, one_image.SEED = images, 0
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    monkeypatch.setattr("detectron2.utils.comm.all_gather", lambda data: [data, data])
    with pytest.raises(ValueError, match=rf"IMS_PER_BATCH is {images}, but 2 processes"):
        build_train_loader(one_image)
    one_image.SOLVER.IMS_PER_BATCH = 6
    assert build_train_loader(one_image).batch_size == 3


def test_records_without_sizes_get_detectron2s_loader(one_image, record, caplog):
    del record["width"]
    cfg = one_image
    caplog.set_level("INFO", "pointrend_ext")
    loader = build_train_loader(cfg)
    assert isinstance(loader, AspectRatioGroupedDataset)
    assert "cannot be resumed exactly" in caplog.text
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    assert isinstance(build_train_loader(cfg), OrderedLoader)
