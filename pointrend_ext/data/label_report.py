"""What the label maps of a data set hold against what is said of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import indent

import numpy as np
from tabulate import tabulate

from pointrend_ext.data.findings import first_of
from pointrend_ext.data.label_audit import Occurrence, Tally
from pointrend_ext.data.label_encoding import UNKNOWN, LabelEncoding, unknown_colors
from pointrend_ext.data.label_maps import ONE_BIT

_MUCH_IGNORED = 0.5


@dataclass(frozen=True)
class LabelRow:
    """A class, or what is ignored: its number or colour in the files, and what was found."""

    name: str
    stored: str
    found: Occurrence


@dataclass
class LabelReport:
    """What all label maps of a data set hold, and whether that can be right.

    Attributes:
        name: of the data set.
        num_maps: label maps.
        classes: one row per label.
        ignored: that of pixels that do not count.
        errors: why the data set cannot be used as it is described; rests of sentences about it.
        warnings: what is probably a mistake; likewise.
    """

    name: str
    num_maps: int
    classes: list[LabelRow]
    ignored: LabelRow
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def num_pixels(self) -> int:
        """Pixels of classes, and ignored ones."""
        return sum(row.found.pixels for row in (*self.classes, self.ignored))

    def text(self, max_classes: int = 1000) -> str:
        """Return a table of the classes; where there are more, of the rarest."""
        total, shown = max(self.num_pixels, 1), self.classes
        if len(shown) > max_classes:
            shown = sorted(shown, key=lambda row: row.found.pixels)[:max_classes]
        table = [("in files", "class", "pixels", "share", "label maps")]
        for row in (*shown, self.ignored):
            share = f"{row.found.pixels / total:.1%}"
            table.append((row.stored, row.name, f"{row.found.pixels}", share, f"{row.found.maps}"))
        sides = ("right", "left", "right", "right", "right")
        text = tabulate(table, tablefmt="plain", disable_numparse=True, colalign=sides)
        lines = [f"{self.name}: {self.num_maps} label maps", indent(text, "    ")]
        if len(shown) < len(self.classes):
            lines.append(f"    and {len(self.classes) - len(shown)} classes with more pixels")
        return "\n".join(lines)


def judge_label_maps(
    name: str, labels: Sequence[str], encoding: LabelEncoding, tally: Tally, *, is_trained: bool
) -> LabelReport:
    """Compare what was found with what is said: ``labels``, the names of 0, 1, ..., in files.

    A training on classes without pixels is refused where it is a known mistake.
    """
    by_label: dict[int, Occurrence] = {}
    unknown: tuple[dict[int, Occurrence], ...] = ({}, {})
    for part, occurrences, translate in (
        (unknown[0], tally.values, encoding.labels_of_values),
        (unknown[1], tally.colors, encoding.labels_of_colors),
    ):
        codes = translate(np.array(list(occurrences), np.int64)).tolist()
        for label, (code, o) in zip(codes, occurrences.items(), strict=True):
            if label == UNKNOWN:
                part[code] = o
            else:
                by_label.setdefault(label, Occurrence()).add(o.pixels, o.maps, o.first)
    colors = encoding.colors if tally.colors else None
    # Where the ignored label is that of a class, its row has the name, this one the pixels.
    found = by_label.pop(encoding.ignore_label, Occurrence())
    unit = encoding.ignore_color if tally.colors else encoding.ignore_value
    ignored = LabelRow("(ignored)", "" if unit is None else str(unit), found)
    rows = [
        LabelRow(name, str(stored), by_label.get(label, Occurrence()))
        for label, (name, stored) in enumerate(zip(labels, colors or encoding.values, strict=True))
    ]
    report = LabelReport(name, tally.num_maps, rows, ignored)
    report.errors += _errors(report, encoding, tally, *unknown, is_trained=is_trained)
    if not report.errors:
        report.warnings += _warnings(report, encoding, tally)
    return report


def _errors(
    report: LabelReport,
    encoding: LabelEncoding,
    tally: Tally,
    unknown: Mapping[int, Occurrence],
    unknown_of_colors: Mapping[int, Occurrence],
    *,
    is_trained: bool,
) -> Iterator[str]:
    if tally.problems:
        yield (
            f"has {len(tally.problems)} of {tally.num_maps} label maps that cannot be used; the "
            f"first: {tally.problems[0]}"
        )
    if unknown_of_colors:
        found = unknown_of_colors.values()
        codes, pixels = np.array(list(unknown_of_colors)), np.array([o.pixels for o in found])
        told = unknown_colors(codes, pixels, encoding)
        yield f"has label maps, such as {next(iter(found)).first!r}, whose set {told}"
    if unknown:
        yield _unknown_values(unknown, encoding, tally)
    elif not tally.problems:
        if 0 < tally.findings.counts.get(ONE_BIT, 0) < tally.num_maps and 255 in tally.values:
            yield (
                f"has label maps of one bit, such as {tally.findings.first[ONE_BIT]!r}, beside "
                "ones with the value 255, so that it is not certain whether their 1 is a 1 or a "
                "255. Save all of them with 8 bits."
            )
        yield from _nothing_to_learn(report, encoding, tally, is_trained=is_trained)


def _nothing_to_learn(
    report: LabelReport, encoding: LabelEncoding, tally: Tally, *, is_trained: bool
) -> Iterator[str]:
    """Yield why values that all have a meaning cannot have that meaning."""
    names, ignored = [row.name for row in report.classes], report.ignored.found.pixels
    if ignored == report.num_pixels:
        yield (
            f"has no pixel that counts: all of its {tally.num_maps} label maps hold the ignored "
            f"value {encoding.ignore_value} alone. Correct the label maps, or which value is "
            "ignored."
        )
    elif encoding.is_guessed and tally.values and not report.classes[-1].found.pixels:
        values = list(encoding.values)
        yield (
            f"ignores the value 0, so that its {len(names)} classes are the values 1 to "
            f"{values[-1]}, but no pixel has the value {values[-1]} ({names[-1]!r}). If 'classes' "
            f"names the ignored value, too, leave that name out ({names[0]!r}?); if not, state "
            f"'values: {values}'."
        )
    elif is_trained and _is_black_and_white(encoding, tally):
        yield _black_and_white(report)


def _is_black_and_white(encoding: LabelEncoding, tally: Tally) -> bool:
    """Tell whether a mask of 0 and 255 was probably described as one of 0 and 1."""
    return encoding.values == (0, 1) and set(tally.values) == {0, 255} and not tally.colors


def _black_and_white(report: LabelReport) -> str:
    name, ignored = report.classes[1].name, report.ignored.found.pixels
    return (
        f"has only the values 0 and 255 in its label maps, and 255 is ignored: no pixel is "
        f"{name!r}, and {ignored / report.num_pixels:.1%} of the pixels ({ignored}) do not count. "
        f"If 255 is {name!r}, state 'values: [0, 255]' in the description."
    )


def _unknown_values(
    unknown: Mapping[int, Occurrence], encoding: LabelEncoding, tally: Tally
) -> str:
    """Say which values are unknown, where, and what was probably meant."""
    shown = [f"{v} ({o.pixels} pixels in {o.maps} label maps)" for v, o in sorted(unknown.items())]
    first = next(iter(unknown.values())).first
    values, number = list(encoding.values), len(encoding.values)
    found = sorted(set(tally.values) - {encoding.ignore_value})
    ends = (found[0], found[-1]) if values == list(range(number)) else None
    if ends == (1, number):
        meant = (
            f"The values run from 1 to {number}, as if the classes were counted from 1: then state "
            f"'values: {list(range(1, number + 1))}' in the description."
        )
    elif ends == (0, number):
        meant = (
            f"The values run from 0 to {number}, one more than there are classes: name that of 0 "
            "in 'classes', too; or state 'ignore_value: 0' in the description if those pixels do "
            "not count."
        )
    elif len(found) == number:
        meant = (
            "There are as many values as classes: if they are these in their order, state "
            f"'values: {found}' in the description."
        )
    elif len(unknown) == 1 and encoding.ignore_value not in tally.values:
        meant = (
            f"If that value does not count, state 'ignore_value: {next(iter(unknown))}' in the "
            "description; else correct the label maps, 'classes' or 'values'."
        )
    else:
        meant = (
            "Correct the label maps, or 'classes', 'values' and 'ignore_value' of the description, "
            "else stuff_classes and ignore_label of the metadata."
        )
    return (
        "has values in its label maps that are neither a class "
        f"({first_of(values, 20)}) nor ignored "
        f"({'none' if encoding.ignore_value is None else encoding.ignore_value}): "
        f"{first_of(shown, 5)}; first in {first!r}. {meant}"
    )


def _warnings(report: LabelReport, encoding: LabelEncoding, tally: Tally) -> Iterator[str]:
    pixels, total = report.ignored.found.pixels, max(report.num_pixels, 1)
    told = f"{pixels / total:.1%} of the pixels are ignored (value {report.ignored.stored})"
    absent = [row.name for row in report.classes if not row.found.pixels]
    if encoding.ignore_label < len(report.classes):
        name = report.classes[encoding.ignore_label].name
        absent.remove(name)
        yield (
            f"ignores the label {encoding.ignore_label}, which is also its class {name!r}: {told}, "
            "and that class is neither trained nor scored."
        )
    if _is_black_and_white(encoding, tally):
        yield _black_and_white(report)
    elif absent:
        what = "the class" if len(absent) == 1 else "the classes"
        hint = f"; {told}" if pixels else ""
        yield (
            f"has no pixel of {what} {first_of(absent, 20)}: not trained, and no part "
            f"of mean scores{hint}."
        )
    if pixels >= _MUCH_IGNORED * total:
        yield f"has few pixels that count: {told}."
