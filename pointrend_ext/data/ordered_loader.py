"""A training loader whose iteration n is the same whatever came before it.

Detectron2's loader depends on the history of its processes: a resumed training starts the order of
images anew, and its augmentation goes on from other random states. Here the order is planned in
the main process from the records alone, so that any number of iterations is skipped in moments, and
each image is augmented from random numbers of its own.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from detectron2.data import MapDataset
from detectron2.data.build import trivial_batch_collator
from detectron2.data.common import AspectRatioGroupedDataset
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from pointrend_ext.data.copy_paste import CopyPasteMapper
from pointrend_ext.data.seeding import seeded
from pointrend_ext.data.shared_records import SharedRecords
from pointrend_ext.data.workers import TIMEOUT_S, DeathWatch, WorkerMapper, worker_failure

_SAMPLER, _IMAGE = range(2)  # what random numbers are for


class OrderedLoader:
    """Endless batches; order and augmentation depend on the seed and the iteration alone.

    Neither depends on the number of workers.
    """

    def __init__(
        self,
        records: Sequence[dict[str, Any]] | SharedRecords,
        mapper: Callable[[dict[str, Any]], Any],
        make_sampler: Callable[[SharedRecords], Sampler],
        *,
        batch_size: int,
        seed: int,
        group_by_shape: bool = True,
        num_workers: int = 0,
        copy_paste: float = 0.0,
    ) -> None:
        """Start at iteration 0.

        Args:
            records: a data set's.
            mapper: turns a record into a model input.
            make_sampler: makes this process' endless sampler of indices into the records that it is
                given; its seed is drawn from NumPy's global random state, as Detectron2's do.
            batch_size: images per iteration of this process.
            seed: at least 0, the same in all processes.
            group_by_shape: whether wide and high images come in batches of their own; records then
                state ``width`` and ``height``.
            num_workers: processes that read images; 0 reads in this one.
            copy_paste: probability of an image to be pasted onto, see ``CopyPasteMapper``.
        """
        self.mapper = mapper
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._make_sampler = make_sampler
        records = records if isinstance(records, SharedRecords) else SharedRecords(records)
        self._records, self._sizes = records, None
        if group_by_shape:
            if records.sizes is None:
                raise ValueError("group_by_shape needs the width and height of every record.")
            # Sharing a tensor with a process that is not forked puts its memory elsewhere.
            self._sizes = records.sizes.numpy().copy()
        if copy_paste:
            mapper = CopyPasteMapper(mapper, records, copy_paste)
        self._dataset = MapDataset(records, WorkerMapper(mapper, comm.get_local_size()))
        self._sampler = self._seed_sampler(seed)
        self.seed, self.start = seed, 0

    def seek(self, seed: int, iteration: int) -> None:
        """Let the next iteration over this loader skip batches, whose images are not read."""
        if seed != self.seed:
            self._sampler = self._seed_sampler(seed)
        self.seed, self.start = seed, iteration

    def __iter__(self) -> Iterator[list[Any]]:
        """Go through batches from where ``seek`` went.

        Raises:
            LoadingError: an image cannot be loaded, or a worker has ended or hangs.
        """
        items = DataLoader(
            _SeededImages(self._dataset, self.seed, comm.get_rank()),
            batch_size=None,  # single images, so that a batch is read by several workers
            sampler=itertools.chain.from_iterable(self._plan()),
            num_workers=self.num_workers,
            collate_fn=trivial_batch_collator,
            generator=torch.Generator(),  # else workers get their seed from the global state
            timeout=TIMEOUT_S if self.num_workers else 0,
        )
        images, death_watch = None, DeathWatch()
        while True:
            try:
                if images is None:
                    images = iter(items)
                with death_watch:
                    batch = list(itertools.islice(images, self.batch_size))
            except (RuntimeError, OSError) as error:
                raise worker_failure(error) or error from error
            yield batch

    def _seed_sampler(self, seed: int) -> Sampler:
        with seeded(seed, _SAMPLER):
            return self._make_sampler(self._records)

    def _plan(self) -> Iterator[list[tuple[int, int]]]:
        """Yield batches of (position in the sampler's sequence, index of the record)."""
        order, sizes = enumerate(self._sampler), self._sizes
        if sizes is None:
            batches = iter(lambda: list(itertools.islice(order, self.batch_size)), [])
        else:
            # Wide and other images, as Detectron2 groups images that it has read.
            shapes = (
                {"width": sizes[index][0], "height": sizes[index][1], "item": (position, index)}
                for position, index in order
            )
            groups = AspectRatioGroupedDataset(shapes, self.batch_size)
            batches = ([shape["item"] for shape in group] for group in groups)
        return itertools.islice(batches, self.start, None)


class _SeededImages(Dataset):
    """Reads an image under random numbers of its own."""

    def __init__(self, dataset: Dataset, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank = dataset, seed, rank

    def __getitem__(self, item: tuple[int, int]) -> Any:
        position, index = item
        with seeded(self.seed, _IMAGE, self.rank, position):
            return self.dataset[index]
