"""Resuming as if the training had not been interrupted."""

import logging
from collections.abc import Iterable
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from pointrend_ext.data import OrderedLoader, seed_process

logger = logging.getLogger(__name__)

_MODEL = 2  # what random numbers are for, beside those of the loader
_WINDOW = 20  # iterations over which Detectron2's writers take medians
_TIMINGS = ("time", "data_time", "rank_data_time")


class ExactResume(HookBase):
    """Makes each iteration's randomness a function of the seed and of its number.

    All of it is derived from one seed, so that a checkpoint needs no random states, of which every
    process and every worker has several. The checkpoint holds that seed, for runs whose
    configuration leaves it open, and the recent losses, of which the log shows medians.
    """

    def __init__(self, data_loader: Iterable[Any], seed: int) -> None:
        """Prepare.

        Args:
            data_loader: the training's. Another than an ``OrderedLoader`` is not moved to where the
                training was interrupted.
            seed: ``SEED`` of the configuration; a negative one is replaced by the loader's, which
                was drawn at random.
        """
        self.data_loader = data_loader
        self._stated_seed = seed
        if seed < 0 and isinstance(data_loader, OrderedLoader):
            seed = data_loader.seed
        self.seed = seed if seed >= 0 else comm.shared_random_seed()
        self._scalars: dict[str, list[tuple[float, int]]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the seed, and the values of the last iterations that the log takes medians of."""
        storage = getattr(self.trainer, "storage", None)  # there is none before the training
        return {"seed": self.seed, "scalars": _recent_scalars(storage) if storage else {}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of the training that is resumed, but for a seed that is stated."""
        self.seed, self._scalars = state_dict["seed"], state_dict["scalars"]
        if self._stated_seed >= 0:
            self.seed = self._stated_seed

    def before_train(self) -> None:
        """Go to the iteration at which the training starts."""
        storage, start = self.trainer.storage, self.trainer.start_iter
        if isinstance(self.data_loader, OrderedLoader):
            self.data_loader.seek(self.seed, start)
        elif start:
            logger.warning("The data set has no known order: resuming with other images.")
        for name, values in self._scalars.items():
            for value, storage.iter in values:
                storage.put_scalar(name, value)
        storage.iter = start

    def before_step(self) -> None:
        """Seed what the model draws in this iteration."""
        seed_process(self.seed, _MODEL, comm.get_rank(), self.trainer.iter)


def _recent_scalars(storage: EventStorage) -> dict[str, list[tuple[float, int]]]:
    hints = storage.smoothing_hints()
    return {
        name: [(value, i) for value, i in history.values() if i > storage.iter - _WINDOW]
        for name, history in storage.histories().items()
        if hints[name] and name not in _TIMINGS and history.values()[-1][1] == storage.iter
    }
