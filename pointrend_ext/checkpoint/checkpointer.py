"""Detectron2's checkpointer, which says what it loads and runs no code from files."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from fvcore.common.checkpoint import _filter_reused_missing_keys
from torch import Tensor, nn

from pointrend_ext.checkpoint.class_names import find_class_maps, names_by_kind
from pointrend_ext.checkpoint.errors import WeightsFileError
from pointrend_ext.checkpoint.files import AtomicPaths, fetch
from pointrend_ext.checkpoint.formats import to_detectron2_names
from pointrend_ext.checkpoint.last_checkpoint import last_checkpoint
from pointrend_ext.checkpoint.locating import Located, find_weights
from pointrend_ext.checkpoint.reading import read_weights_file
from pointrend_ext.checkpoint.report import TAKEN, LoadReport, list_entries
from pointrend_ext.checkpoint.requirements import (
    check_any_loaded,
    check_loaded,
    check_values,
    compare_input,
    note_frozen,
)
from pointrend_ext.checkpoint.surgery import adapt_classes
from pointrend_ext.checkpoint.weights_format import TORCHVISION_INPUT

logger = logging.getLogger(__name__)


class PointRendCheckpointer(DetectionCheckpointer):
    """Loads weights of every known format, fits them to the model's classes, and reports.

    Use it as Detectron2's: ``load``, ``resume_or_load``, ``save``. Nothing is loaded into the model
    before all checks have passed. ``report`` holds what the last ``load`` did.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        save_to_disk: bool | None = None,
        for_training: bool = False,
        class_names: Mapping[str, Sequence[str]] | None = None,
        map_classes: bool = False,
        allow_missing: bool = False,
        allow_code: bool = False,
        weights_key: str = "",
        keep: int = 0,
        cfg: CfgNode | None = None,
        **checkpointables: Any,
    ) -> None:
        """Wrap a freshly built model.

        Args:
            model: its own values are what classes without a source start from.
            save_dir: where checkpoints are written and found.
            save_to_disk: whether to write; by default on the first process alone.
            for_training: whether weights that are loaded without the trainer's state start a
                training, so that whole parts of the model may be new. Otherwise, and when a
                training is resumed, every tensor must be there.
            class_names: the model's classes by ``INSTANCE`` and ``SEMANTIC``; written into
                checkpoints. Those of the weights are read from the file, or known by their number
                (COCO, Cityscapes).
            map_classes: whether classes are found by name; otherwise they keep their place where
                their number is the same, and are new where it is not.
            allow_missing: load what there is, whatever is missing.
            allow_code: read files that need more than arrays and plain containers, which may run
                code in them.
            weights_key: where in a file the weights are, such as "ema" for the averaged ones; "" to
                find them. A training that is resumed has its own.
            keep: numbered checkpoints that stay in ``save_dir``, the new one and those before it; 0
                for all. Earlier ones are removed once a new one is complete.
            cfg: the model's configuration, with which that of the weights is compared.
            **checkpointables: objects with a state, such as the trainer. A training is resumed
                from a checkpoint without that of one whose attribute ``may_be_absent`` is True.
        """
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.path_manager: Any = AtomicPaths(self.path_manager)
        self.for_training = for_training
        self.class_names = {kind: list(names) for kind, names in (class_names or {}).items()}
        self.map_classes = map_classes
        self.allow_missing = allow_missing
        self.allow_code = allow_code
        self.weights_key, self.keep, self.cfg = weights_key, keep, cfg
        self.report: LoadReport | None = None
        self._source = ""
        self._is_warm_start = self._is_resumed = False

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load weights, and the state of checkpointables, as Detectron2's does.

        Raises:
            FileNotFoundError: no such file, or no network.
            ValueError: the file is damaged, of another kind or could run code; its weights do not
                fill the model, or their classes cannot be mapped by name.
        """
        if not path:
            return super().load(path, checkpointables)
        fetch(path, self.path_manager)
        self._source = path
        self._is_warm_start = self.for_training and checkpointables is not None
        self._is_resumed = self.for_training and checkpointables is None
        try:
            return super().load(path, checkpointables)
        finally:
            self._parsed_url_during_load = None  # Detectron2 leaves it set after an error

    def get_checkpoint_file(self) -> str:
        """Return the checkpoint to resume from; ValueError where ``last_checkpoint`` names none."""
        return str(last_checkpoint(self.save_dir) or "")

    def save(self, name: str, **kwargs: Any) -> None:
        """Write a checkpoint; the previous one is intact until the new one is complete."""
        if self.class_names:
            kwargs.setdefault("class_names", self.class_names)
        if self.save_dir and self.save_to_disk:
            Path(self.save_dir).mkdir(exist_ok=True)  # somebody may have removed it meanwhile
        super().save(name, **kwargs)
        if self.keep and self.save_dir and self.save_to_disk:
            numbered = sorted(Path(self.save_dir).glob(f"model_{'[0-9]' * 7}.pth"))
            # Later ones are of a training that was resumed from an earlier one than its last.
            for path in [path for path in numbered if path.stem <= name][: -self.keep]:
                path.unlink(missing_ok=True)

    def _load_file(self, filename: str) -> dict[str, Any]:
        query = urlparse(self._source).query
        if query not in ("", "matching_heuristics=True"):
            raise ValueError(
                f"{self._source} has the query {query!r}; only matching_heuristics=True is known. "
                "Correct MODEL.WEIGHTS."
            )
        data = read_weights_file(filename, allow_code=self.allow_code)
        is_flagged = isinstance(data, Mapping) and bool(data.get("matching_heuristics"))
        located = find_weights(
            data,
            self._source,
            self.model.state_dict(),
            key="" if self._is_resumed else self.weights_key,
            complete_names=bool(query) or is_flagged,
        )
        located.log(self._source)
        absent = [
            key
            for key, part in self.checkpointables.items()
            if key not in located.extras and not getattr(part, "may_be_absent", False)
        ]
        if self._is_resumed and absent:
            raise WeightsFileError(
                f"{self._source} holds weights, but no {absent[0]!r}: the iteration and the "
                "optimizer of a training, which --resume needs. Name a checkpoint of a training in "
                "the file last_checkpoint beside it; or start anew, without --resume, with "
                "MODEL.WEIGHTS and another OUTPUT_DIR."
            )
        heuristics = {"matching_heuristics": True} if query else {}
        return {**located.extras, **heuristics, "model": located}

    def _load_model(self, checkpoint: dict[str, Any]) -> None:
        model_state = self.model.state_dict()
        located: Located = checkpoint.pop("model")
        conversion = to_detectron2_names(
            located.state,
            model_state,
            complete_names=bool(checkpoint.get("matching_heuristics")),
        )
        expects = conversion.expects
        if checkpoint.get("__author__") == "torchvision":  # converted by Detectron2's script
            expects = TORCHVISION_INPUT
        for note in (*compare_input(expects, self.cfg), *conversion.notes):
            logger.warning(note)
        stored = names_by_kind(checkpoint.pop("class_names", None), conversion.state_dict)
        if stored:
            checkpoint["class_names"] = stored
        self._compare_pixel_statistics(conversion.state_dict)
        class_map = {}
        if not self._is_resumed:  # else it has the classes that it had
            class_map = find_class_maps(
                conversion.state_dict,
                stored,
                model_state,
                self.class_names,
                by_name=self.map_classes,
            )
        state, changes = adapt_classes(conversion.state_dict, model_state, class_map=class_map)
        check_values(state, model_state, self._source)
        missing = [name for name in model_state if name not in state]
        entries = list_entries(
            state,
            model_state,
            changes=changes,
            missing=set(_filter_reused_missing_keys(self.model, missing)),
            ignored=conversion.ignored,
            beside=located.beside,
        )
        report = self.report = LoadReport(self._source, conversion.format, entries)
        logger.info("%s\n%s", report.summary(), report.table())
        check_any_loaded(report, [*located.state, *located.beside])
        if not self.allow_missing:
            check_loaded(report, model_state, warm_start=self._is_warm_start)
        for note in note_frozen(report, self.model) if self.for_training else ():
            logger.warning(note)
        fitting = {name: state[name] for name in report.names(*TAKEN) if name in state}
        self.model.load_state_dict(fitting, strict=False)

    def _compare_pixel_statistics(self, state: Mapping[str, Tensor]) -> None:
        """Old checkpoints hold what was subtracted from pixels and what they were divided by."""
        for name in ("pixel_mean", "pixel_std"):
            if name in state and hasattr(self.model, name):
                theirs, ours = state[name].flatten(), getattr(self.model, name).flatten()
                same_number = len(theirs) == len(ours)
                if not (same_number and np.allclose(theirs, ours.cpu(), atol=0.01)):
                    text = "The weights were trained with MODEL.%s %s, the configuration has %s."
                    logger.warning(text, name.upper(), theirs.tolist(), ours.tolist())
