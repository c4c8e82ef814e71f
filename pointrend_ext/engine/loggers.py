"""Where a training's losses and scores go besides the screen and ``metrics.json``."""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import yaml
from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage

logger = logging.getLogger(__name__)

LOGGERS = ("tensorboard", "wandb", "mlflow")
"""What ``LOGGERS.NAMES`` may have, and the packages that they need."""
_WINDOW = 20  # iterations of the running median, as Detectron2's writers take

Log = Callable[[Mapping[str, float], int], None]


def check_loggers(cfg: CfgNode) -> None:
    """Check ``LOGGERS`` before anything is built.

    Raises:
        ImportError: the package of one is missing.
        ValueError: nothing would take the pictures of ``VIS_PERIOD``.
    """
    for name in cfg.LOGGERS.NAMES:
        try:
            import_module(name)
        except ImportError:
            raise ImportError(
                f"LOGGERS.NAMES has {name!r}, whose package is not installed: pip install "
                f"{name}, or leave it out ([] for the screen and metrics.json alone)."
            ) from None
    if cfg.VIS_PERIOD and "tensorboard" not in cfg.LOGGERS.NAMES:
        raise ValueError(
            f"VIS_PERIOD is {cfg.VIS_PERIOD}, but TensorBoard alone takes pictures, and "
            f"LOGGERS.NAMES is {list(cfg.LOGGERS.NAMES)!r}. Set VIS_PERIOD 0, or add tensorboard."
        )


class ServiceWriter(EventWriter):
    """Hands every number over once, smoothed as TensorBoard gets it.

    A service that fails does not end the training: the first failure is said, and all numbers are
    in ``metrics.json``.
    """

    def __init__(self, name: str, log: Log, close: Callable[[], None]) -> None:
        """Write to a run that is open.

        Args:
            name: for the warning.
            log: takes numbers by name, and their iteration.
            close: ends the run.
        """
        self.name, self._log, self._close = name, log, close
        self._last_write = -1
        self._has_failed = False

    def write(self) -> None:
        """See ``EventWriter``."""
        found = get_event_storage().latest_with_smoothing_hint(_WINDOW)
        new: dict[int, dict[str, float]] = defaultdict(dict)
        for name, (value, iteration) in found.items():
            if iteration > self._last_write:
                new[iteration][name] = float(value)
        for iteration in sorted(new):
            self._try(partial(self._log, new[iteration], iteration))
            self._last_write = iteration

    def close(self) -> None:
        """See ``EventWriter``."""
        self._try(self._close)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # of a network, of a server
            if not self._has_failed:
                text = "Numbers could not be handed to %s (%s: %s); metrics.json has all of them."
                logger.warning(text, self.name, type(error).__name__, error)
            self._has_failed = True


def build_service_writers(cfg: CfgNode) -> list[EventWriter]:
    """Open a run of each service in ``LOGGERS.NAMES``; TensorBoard is Detectron2's own.

    A training that resumes goes on in the run that it had.

    Raises:
        ValueError: a service cannot be reached, or refuses.
    """
    writers: list[EventWriter] = []
    for name, open_run in (("wandb", _open_wandb), ("mlflow", _open_mlflow)):
        if name not in cfg.LOGGERS.NAMES:
            continue
        folder = Path(cfg.OUTPUT_DIR)
        kept = folder / f"{name}_run.txt"
        goes_on = kept.is_file() and (folder / "last_checkpoint").is_file()
        try:
            writer, run_id = open_run(cfg, kept.read_text() if goes_on else None)
        except Exception as error:
            raise ValueError(
                f"LOGGERS.NAMES has {name!r}, but no run could be opened there "
                f"({type(error).__name__}: {error}). Log in, or leave it out."
            ) from error
        kept.write_text(run_id)
        writers.append(writer)
    return writers


def _open_wandb(cfg: CfgNode, run_id: str | None) -> tuple[EventWriter, str]:
    run = import_module("wandb").init(
        project=cfg.LOGGERS.PROJECT,
        name=_run_name(cfg),
        dir=cfg.OUTPUT_DIR,
        config=yaml.safe_load(cfg.dump()),
        id=run_id,
        resume="allow",
    )
    log: Log = lambda numbers, iteration: run.log(dict(numbers), step=iteration)  # noqa: E731
    return ServiceWriter("wandb", log, run.finish), run.id


def _open_mlflow(cfg: CfgNode, run_id: str | None) -> tuple[EventWriter, str]:
    mlflow = import_module("mlflow")
    mlflow.set_experiment(cfg.LOGGERS.PROJECT)
    run = mlflow.start_run(run_id=run_id, run_name=None if run_id else _run_name(cfg))
    mlflow.log_text(cfg.dump(), "config.yaml")

    def log(numbers: Mapping[str, float], iteration: int) -> None:
        # It refuses other characters, which classes may have in their names ("AP-traffic (light)").
        named = {re.sub(r"[^\w\-./ ]", "_", name): value for name, value in numbers.items()}
        mlflow.log_metrics(named, step=iteration)

    return ServiceWriter("mlflow", log, mlflow.end_run), run.info.run_id


def _run_name(cfg: CfgNode) -> str:
    return cfg.LOGGERS.RUN or Path(cfg.OUTPUT_DIR).resolve().name
