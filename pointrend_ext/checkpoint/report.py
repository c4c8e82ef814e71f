"""What happened to each tensor when weights were loaded."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from tabulate import tabulate
from torch import Tensor

from pointrend_ext.checkpoint.errors import printable

LOADED = "loaded"
MAPPED = "mapped"
PARTLY_NEW = "partly re-initialised"
MISSING = "missing"
SHAPE_MISMATCH = "shape mismatch"
UNEXPECTED = "unexpected"
IGNORED = "ignored"
# Buffers that Detectron2 once wrote, and the batch counter that a frozen normalisation lacks.
OLD_BUFFERS = re.compile(
    r"anchor_generator\.cell_anchors|^pixel_(mean|std)$|\.num_batches_tracked$"
)
# Buffers that need no file: one counts batches, for nobody; the other is computed from the data.
REBUILT_BUFFERS = re.compile(r"\.(num_batches_tracked|fed_loss_cls_weights)$")
MOST_ROWS = 500
TAKEN = (LOADED, MAPPED, PARTLY_NEW)
NOT_LOADED = (MISSING, SHAPE_MISMATCH)

# Parts of a model by the beginning of their names, in the order in which they are reported.
PARTS = {
    "backbone": r"backbone\.(?!fpn_|top_block\.)",
    "FPN": r"backbone\.(fpn_(?!align)|top_block\.)",
    "feature alignment": r"backbone\.fpn_align",
    "RPN": r"proposal_generator\.",
    "box head": r"roi_heads\.box",
    "mask head": r"roi_heads\.mask_head\.",
    "keypoint head": r"roi_heads\.keypoint_head\.",
    "region heads": r"roi_heads\.(?!box|mask_head\.|keypoint_head\.)",
    "semantic head": r"sem_seg_head\.(?!point_head\.|(coarse_sem_seg_head\.)?auxiliary\.)",
    "auxiliary semantic layers": r"sem_seg_head\.(coarse_sem_seg_head\.)?auxiliary\.",
    "semantic point head": r"sem_seg_head\.point_head\.",
    "other": "",
}


def component_of(name: str) -> str:
    """Name the part of the model that a parameter belongs to."""
    return next(part for part, pattern in PARTS.items() if re.match(pattern, name))


@dataclass(frozen=True)
class Entry:
    """One tensor.

    Attributes:
        name: in the model, or in the file if the model does not have it.
        status: one of the constants of this module.
        detail: what else there is to say.
    """

    name: str
    status: str
    detail: str = ""


@dataclass(frozen=True)
class LoadReport:
    """All tensors of a file and of the model.

    Attributes:
        source: the file's path.
        format: whose weights it holds, in words.
        entries: one per tensor.
    """

    source: str
    format: str
    entries: list[Entry]

    def names(self, *statuses: str) -> list[str]:
        """Names of the tensors with one of the statuses."""
        return [entry.name for entry in self.entries if entry.status in statuses]

    def parts(self) -> dict[str, Counter[str]]:
        """Count statuses by part of the model, leaving out what the model does not have."""
        parts: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
        for entry in self.entries:
            if entry.status not in (UNEXPECTED, IGNORED):
                parts[component_of(entry.name)][entry.status] += 1
        return {part: counts for part, counts in parts.items() if counts}

    def new_parts(self) -> list[str]:
        """Parts of the model of which the file has nothing that fits."""
        return [part for part, counts in self.parts().items() if set(counts) <= set(NOT_LOADED)]

    def summary(self) -> str:
        """One line: what was loaded, what is new, and how many tensors that is."""
        verbs: dict[str, list[str]] = {"loaded": [], "loaded in part": [], "new": self.new_parts()}
        for part, counts in self.parts().items():
            if part not in verbs["new"]:
                verbs["loaded" if set(counts) <= {LOADED, MAPPED} else "loaded in part"].append(
                    part
                )
        sentences = [f"{', '.join(parts)} {verb}" for verb, parts in verbs.items() if parts]
        statuses = Counter(entry.status for entry in self.entries)
        numbers = ", ".join(f"{count} {status}" for status, count in statuses.items())
        return f"{'; '.join(sentences)} ({numbers}) from {self.source}, {self.format}."

    def table(self) -> str:
        """Tensors that were not simply loaded, those of one module and fate in one row."""
        groups: dict[tuple[str, str, str], list[str]] = {}
        for entry in self.entries:
            if entry.status != LOADED or entry.detail:
                module, _, leaf = entry.name.rpartition(".")
                groups.setdefault((entry.status, module, entry.detail), []).append(leaf)
        rows = []
        for (status, module, detail), leaves in islice(groups.items(), MOST_ROWS):
            leaf = leaves[0] if len(leaves) == 1 else "{" + ", ".join(leaves) + "}"
            rows.append((status, printable(f"{module}.{leaf}" if module else leaf), detail))
        if len(groups) > MOST_ROWS:
            rows.append(("", f"{len(groups) - MOST_ROWS} more rows", ""))
        return tabulate(rows, headers=["status", "tensor", "detail"], tablefmt="simple")


def list_entries(
    state: Mapping[str, Tensor],
    model_state: Mapping[str, Tensor],
    *,
    changes: Iterable[Entry],
    missing: Collection[str],
    ignored: Iterable[str],
    beside: Iterable[str] = (),
) -> list[Entry]:
    """List what happens to each tensor of a model and of a file, the model's first.

    Args:
        state: the checkpoint's, under Detectron2's names and fitted to the model's classes.
        model_state: the model's.
        changes: entries of the tensors that were fitted.
        missing: names of the model's tensors that nothing is loaded into.
        ignored: names in the file that no model needs.
        beside: names in the file that are no part of the weights.
    """
    changed, entries = {entry.name: entry for entry in changes}, []
    for name, ours in model_state.items():
        theirs = state.get(name)
        if name in missing:
            entries.append(Entry(name, IGNORED if REBUILT_BUFFERS.search(name) else MISSING))
        elif theirs is not None and theirs.shape != ours.shape:
            detail = f"{tuple(theirs.shape)} in the file, {tuple(ours.shape)} in the model"
            entries.append(Entry(name, SHAPE_MISMATCH, detail))
        else:
            entries.append(changed.get(name) or Entry(name, LOADED))
    for name in state:
        if name not in model_state:
            entries.append(Entry(name, IGNORED if OLD_BUFFERS.search(name) else UNEXPECTED))
    entries += [Entry(name, UNEXPECTED, "beside the weights") for name in beside]
    return entries + [Entry(name, IGNORED) for name in ignored if name not in model_state]
