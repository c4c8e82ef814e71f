"""Ending a training early, with what is done saved: at signals, broken data, failing disks."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from detectron2.engine import HookBase
from detectron2.utils import comm

from pointrend_ext.checkpoint.full_disk import FullDiskError, is_full_disk, system_error
from pointrend_ext.checkpoint.last_checkpoint import named_last
from pointrend_ext.data import LoadingError
from pointrend_ext.processes import LostProcess, explain

logger = logging.getLogger(__name__)

_NOTICE = b"\nThe training ends after this iteration, with a checkpoint.%s\n"
_SECOND = b" A second signal ends it at once."
# The warning of schedulers such as SLURM, and how `launch` passes a signal on to its processes.
# Windows has none.
_WARNING: int | None = getattr(signal, "SIGUSR1", None)
_HANG_UP: int | None = getattr(signal, "SIGHUP", None)  # the terminal, or the connection, is closed


class Stopped(KeyboardInterrupt):
    """A training that was ended by a signal; ``exit_code`` is what shells expect of that."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.exit_code = 128 + number


class _Stop(BaseException):
    """Leads out of Detectron2's loop, which logs an ``Exception`` with its traceback."""


class SafeEnd(HookBase):
    """Writes a checkpoint of the last complete iteration before a training ends early.

    The first hook of a training, so that nothing that fails at its end comes before the checkpoint.
    A signal takes effect between steps: weights in the middle of one are of no use. With several
    processes it is the next fetching of images, where they agree on it; that of one waits neither
    for images nor for an evaluation.
    """

    def __init__(self) -> None:
        self._number = 0  # of the signal that came
        self._error: Exception | None = None
        self._done = -1  # the last complete iteration
        self._stepped = -1  # that whose step the weights have behind them
        self._waits = False  # whether a signal has to wait
        self._is_agreed = False
        self._pid, self._ending, self._reason = os.getpid(), "", ""

    def before_train(self) -> None:
        """Look after the loader."""
        self._done = self.trainer.start_iter - 1
        batches = self._batches(self.trainer.data_loader)
        self.trainer._trainer._data_loader_iter_obj = batches

    def end_training_step(self) -> None:
        """Note that the weights have changed; its checkpoint and the other hooks come after it."""
        self._stepped = self.trainer.iter

    def end_step(self) -> None:
        """Note that an iteration is complete; call it after that has its checkpoint."""
        self._done = self.trainer.iter
        self._waits = comm.get_world_size() > 1
        if self._number and not self._waits:
            raise _Stop

    def finish(self, reason: str) -> NoReturn:
        """End the training well after this iteration; call it on every process.

        Args:
            reason: why, in a sentence.
        """
        self._reason = reason
        raise _Stop

    def after_train(self) -> None:
        """Save what is done, where the training ends early for a known reason."""
        if isinstance(self._error, LostProcess):
            return  # in the middle of an iteration
        if self._number or self._error or self._reason:
            self._waits = True
            self._ending = self._save()

    @contextmanager
    def ending_well(self) -> Iterator[None]:
        """Watch signals, and turn what stops a training into an error that says what is saved.

        Raises:
            Stopped: by a signal.
            LoadingError: an image cannot be loaded.
            OSError: the disk is full, or the system refuses something else.
            LostProcess: another process has ended, or does not answer.
        """
        is_main = threading.current_thread() is threading.main_thread()
        others = [number for number in (_WARNING, _HANG_UP) if number]
        numbers: list[int] = [signal.SIGINT, signal.SIGTERM, *others]
        before = {n: signal.getsignal(n) for n in numbers if is_main}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        try:
            yield
        except _Stop as stop:
            cause, ending = stop.__cause__, self._ending or self._where_to_go_on()
            if isinstance(self._error, LostProcess):
                text = str(self._error) and f"{self._error} {ending}"
                raise LostProcess(text, self._error.exit_code) from cause
            if self._reason:
                logger.info("%s %s", self._reason, ending)
                return
            if self._number:
                is_break = self._number == signal.SIGINT
                name = "Ctrl-C" if is_break else signal.Signals(self._number).name
                text = f"The training was ended by {name}. {ending}"
                if self._number == _HANG_UP:  # nobody looks at the terminal
                    logger.info(text)
                raise Stopped(text, self._number) from None
            raise type(self._error)(f"{self._error} {ending}") from cause  # type: ignore[misc]
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Let images that cannot be loaded, and what the system refuses, end it early."""
        try:
            yield
        except LoadingError as error:
            self._stop(error, error)
        except (OSError, RuntimeError) as error:
            if is_full_disk(error):
                self._stop(FullDiskError.of(self.trainer.cfg.OUTPUT_DIR), error)
            lost, refused = explain(error), system_error(error)
            if lost is not None:
                self._stop(lost, error)
            if refused is None:
                raise
            self._stop(OSError(_said(refused)), error)

    def _stop(self, error: Exception, cause: Exception) -> NoReturn:
        self._error = self._error or error
        raise _Stop from cause

    def _on_signal(self, number: int, frame: Any) -> None:
        if os.getpid() != self._pid:  # a worker of a loader, which inherited this
            if number == _WARNING:  # to all processes of a job
                return
            raise KeyboardInterrupt
        is_first, self._number = not self._number, self._number or number
        # A closed terminal and a scheduler are told of in several ways, which are not the user's
        # second signal; torchrun passes on what all processes were sent, and kills by itself.
        may_repeat = number in (_HANG_UP, _WARNING) or "TORCHELASTIC_RUN_ID" in os.environ
        if not may_repeat:
            for again in (signal.SIGINT, signal.SIGTERM):
                signal.signal(again, signal.SIG_DFL)
        if not is_first:
            return
        if comm.is_main_process() and sys.stderr is not None:
            with suppress(OSError):  # nobody listens any more
                os.write(2, _NOTICE % (b"" if may_repeat else _SECOND))
        if not (self._waits or self._error):
            raise _Stop

    def _batches(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yield what a loader does, as long as no process has a reason to stop."""
        self._waits = comm.get_world_size() > 1
        batches = iter(loader)
        while True:
            with self.stopping():
                batch, failure = None, None
                try:
                    batch = next(batches)
                except LoadingError as error:
                    failure = error
                self._agree(failure)
            self._waits = True
            yield batch

    def _agree(self, failure: LoadingError | None) -> None:
        found = self._number, None if failure is None else str(failure)
        everywhere = [found] if comm.get_world_size() == 1 else comm.all_gather(found)
        self._number = max(number for number, _ in everywhere)
        texts = [text for _, text in everywhere if text is not None]
        self._is_agreed = bool(self._number or texts)
        if self._number:
            raise _Stop
        if texts:
            raise failure or LoadingError(texts[0])

    def _save(self) -> str:
        """Write the checkpoint of the last complete iteration; return what to tell the user."""
        trainer, done = self.trainer, self._done
        folder, name = Path(trainer.cfg.OUTPUT_DIR), f"model_{done:07d}.pth"
        is_last = named_last(folder) == name and (folder / name).is_file()
        is_saved = self._is_complete() or is_last
        # Full, or the writing of the checkpoint has failed: the weights are those of the next one.
        is_full = isinstance(self._error, FullDiskError) or self._stepped > done
        if done >= trainer.start_iter and not (is_saved or is_full) and comm.is_main_process():
            trainer.iter = trainer.storage.iter = done
            try:
                trainer.checkpointer.save(f"model_{done:07d}", iteration=done)
            except (OSError, RuntimeError) as error:
                refused = system_error(error)
                if refused is None:
                    raise
                full = is_full_disk(error)
                why = str(FullDiskError.of(folder)) if full else _said(refused)
                repeated = why == str(self._error)
                return self._where_to_go_on() if repeated else f"{why} {self._where_to_go_on()}"
        if self._is_agreed:
            comm.synchronize()  # the first process that ends takes the others with it
        return self._where_to_go_on()

    def _is_complete(self) -> bool:
        return self._done == self.trainer.max_iter - 1  # and model_final.pth was written before

    def _where_to_go_on(self) -> str:
        folder = self.trainer.cfg.OUTPUT_DIR
        try:
            last = Path(self.trainer.checkpointer.get_checkpoint_file()).name
        except (OSError, ValueError) as error:  # in a folder that was disturbed
            return str(error)
        if not last:
            return f"There is no checkpoint in {folder} yet: start anew."
        if self._is_complete():
            return (
                f"All {self._done + 1} iterations are done: {folder}/{last}. Evaluate it with the "
                "same command and --eval-only --resume, before its KEY VALUE pairs."
            )
        return (
            f"{self._done + 1} iterations were done; the last checkpoint is {folder}/{last}. Go on "
            "with the same command and --resume, before its KEY VALUE pairs."
        )


def _said(error: OSError) -> str:
    place = f" ({str(error.filename)!r})" if error.filename else ""
    return f"The system says: {error.strerror}{place}."
