"""Telling which tool wrote a folder or a file."""

import os
from pathlib import Path
from typing import TypeAlias

from pointrend_ext.data.descriptions.description import read_description
from pointrend_ext.data.formats.coco_export import CocoExport, find_coco
from pointrend_ext.data.formats.label_folder import LabelFolder, find_label_folder, has_lossy_labels
from pointrend_ext.data.formats.labelme import LabelmeExport, find_labelme
from pointrend_ext.data.formats.tree import Tree
from pointrend_ext.data.formats.via import ViaExport, find_via
from pointrend_ext.data.formats.yolo import YoloExport, find_yolo

Export: TypeAlias = CocoExport | YoloExport | LabelmeExport | ViaExport | LabelFolder

_LOOKED_FOR = (
    "COCO annotations (a JSON file with 'images', 'annotations' and 'categories', such as "
    "Roboflow's _annotations.coco.json), YOLO segmentation (data.yaml with 'names' and 'train', or "
    "classes.txt beside images and labels), labelme's files (JSON with 'shapes'), a VIA project "
    "(JSON with 'regions'), folders of pictures and of label maps whose files are called alike "
    "(such as images and masks)"
)


def recognise(path: str | os.PathLike[str], *, class_attribute: str = "") -> Export:
    """Tell which export a folder, or the main file of one, is; no picture is opened.

    Args:
        path: a folder; or a COCO file, VIA's file or ``data.yaml``, whose pictures lie below its
            folder, or beside that.
        class_attribute: of VIA's regions; "" to find it.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it is none that is known, or several at once; or a file of it is broken.
    """
    given = Path(os.path.realpath(os.path.expanduser(path)))
    if not given.exists():
        raise FileNotFoundError(f"The data {os.fspath(path)!r}: there is no such file or folder.")
    tree = Tree.of(given) if given.is_dir() else _tree_of_file(given)
    found: list[Export] = [*find_coco(tree), *find_yolo(tree), *find_labelme(tree)]
    found += find_via(tree, class_attribute)
    found = found or [*find_label_folder(tree)]  # where nothing says more
    if not found:
        broken = "".join(f" {text}" for text in [*tree.broken_json.values()][:1])
        raise ValueError(
            f"{tree} is no export that is known. {_hint(tree)}Looked for: {_LOOKED_FOR}.{broken}"
        )
    if isinstance(found[0], CocoExport | ViaExport):
        _refuse_broken(tree)
    if len(found) > 1:
        kinds = " and ".join(sorted(export.kind for export in found))
        raise ValueError(
            f"{tree} holds {kinds}: give the file or the folder of the one that is meant."
        )
    return found[0]


def _refuse_broken(tree: Tree) -> None:
    """Raise ValueError for JSON that cannot be read beside some that can: it may be a part."""
    folders = {Path(file).parent for file in tree.json_samples}
    for file, text in tree.broken_json.items():
        if Path(file).parent in folders:
            raise ValueError(text)


def _hint(tree: Tree) -> str:
    """Name the exports that are not read, and what to ask the tool for instead."""
    if tree.ending(".zip"):
        return "ZIP files are not read: unpack them. "
    if tree.ending(".xml"):
        return "XML files are not read: ask CVAT for 'COCO 1.0' (Pascal VOC's hold boxes alone). "
    lists = (content for content in tree.json_samples.values() if isinstance(content, list))
    if any(isinstance(c[0], dict) and "data" in c[0] for c in lists if c):
        return "Label Studio's own JSON is not read: ask it for COCO. "
    contents = (content for content in tree.json_samples.values() if isinstance(content, dict))
    if any({"project", "metadata", "view"} <= content.keys() for content in contents):
        return (
            "Projects of VIA 3 are not read: label with VIA 2, or another tool that writes COCO. "
        )
    if has_lossy_labels(tree):
        return "Label maps in JPEG or WebP are not read: these change numbers. Write PNG. "
    return ""


def _tree_of_file(file: Path) -> Tree:
    """Return the folder of a file, or the one above where pictures lie there, and no other file."""
    _refuse_description(file)
    own, above = (_without_others(file, folder) for folder in (file.parent, file.parent.parent))
    return above if find_coco(own) and not _has_pictures(own, file.name) else own


def _without_others(file: Path, folder: Path) -> Tree:
    whole, own = Tree.of(folder), file.relative_to(folder).as_posix()
    other = {*whole.ending(".json", ".yaml", ".yml", "classes.txt")} - {own}
    return Tree(folder, tuple(name for name in whole.files if name not in other))


def _has_pictures(tree: Tree, file: str) -> bool:
    images = tree.json_samples[file]["images"]
    stated = (str(image.get("file_name", "")) for image in images if isinstance(image, dict))
    return all(Path(name).name in tree.pictures_by_name for name in stated)


def _refuse_description(file: Path) -> None:
    """Raise ValueError for a description, which needs no other."""
    try:
        name = read_description(file).name
    except ValueError:
        return
    raise ValueError(
        f"{str(file)!r} describes the data set {name!r} already: name it in DATASETS.DESCRIPTIONS."
    )
