"""From an export to a description: once, through the check that every annotation file passes."""

import os
from pathlib import Path

from pointrend_ext.data.formats.coco_export import CocoExport
from pointrend_ext.data.formats.label_folder import LabelFolder
from pointrend_ext.data.formats.recognise import Export
from pointrend_ext.data.formats.splitting import Split
from pointrend_ext.data.formats.writing import Described, Writer

_NAME = "data.yaml"


def describe(
    export: Export, output: Path, *, name: str = "data", split: Split | None = None
) -> Described:
    """Write a description, and what it needs, into a folder; pictures stay where they are.

    Masks and classes are exactly those of the export. Where it has no split, pictures are drawn for
    validation.

    Args:
        export: of ``recognise``.
        output: the folder, which must not lie in the data, nor hold a description.
        name: a split is called ``<name>_<split>``.
        split: how pictures are drawn; by default a fifth, with seed 0.

    Raises:
        FileExistsError: there is a description.
        ValueError: the export cannot be read; the message names the file.
    """
    output, split = Path(os.path.realpath(output)), split or Split()
    file = output / _NAME
    if file.exists():
        raise FileExistsError(
            f"{str(file)!r} is there already: use it, remove it, or choose another --output."
        )
    root = export.file.parent if not hasattr(export, "tree") else export.tree.root
    if output.is_relative_to(root):
        raise ValueError(
            f"--output {str(output)!r} lies in the data {str(root)!r}, where what is written would "
            "be taken for data. Choose a folder outside."
        )
    writer = Writer(output, split, Described(file, "instance"))
    if isinstance(export, LabelFolder):
        keys = writer.label_maps(export)
    elif isinstance(export, CocoExport):
        keys = writer.coco(export)
    else:
        keys = writer.labelled(export.read())
    writer.finish(name, keys)
    return writer.described
