"""A folder of images and a folder of label maps as a data set."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.data.catalog import is_registered
from pointrend_ext.data.descriptions.values import LabelValues, validate
from pointrend_ext.data.findings import first_of
from pointrend_ext.data.label_encoding import check_label_size
from pointrend_ext.data.label_maps import IMAGE_ENDINGS, LABEL_ENDINGS
from pointrend_ext.data.reading import read_image_size
from pointrend_ext.data.text_files import read_lines
from pointrend_ext.data.threads import in_threads


def register_semantic_folder(
    name: str,
    image_dir: str | os.PathLike[str],
    label_dir: str | os.PathLike[str],
    classes: Sequence[str],
    names: str | os.PathLike[str] | None = None,
    **options: Any,
) -> None:
    """Register a semantic data set; its folders are read when it is loaded.

    Again with the same arguments it does nothing.

    Args:
        name: name for ``DATASETS.TRAIN`` or ``DATASETS.TEST``.
        image_dir: folder of the images.
        label_dir: folder of the label maps.
        classes: names of the labels 0, 1, ... One name alone is the name of label 1, and 0 is the
            background.
        names: a text file with the pictures that count, see ``load_semantic_folder``; None for all.
        **options: ``values``, ``ignore_value``, ``image_suffix``, ``label_suffix``, ``colors`` and
            ``ignore_color`` as in a description, see docs/datasets.md.

    Raises:
        ValueError: an argument is wrong, or the name is taken by something else.
    """
    given = {"classes": classes, **options}
    stated = validate(LabelValues, {key: _listed(value) for key, value in given.items()})
    images, labels = (os.path.abspath(os.path.expanduser(d)) for d in (image_dir, label_dir))
    encoding = stated.encoding()
    suffixes = {"image_suffix": stated.image_suffix, "label_suffix": stated.label_suffix}
    listed = None if names is None else os.path.abspath(os.path.expanduser(names))
    metadata: dict[str, Any] = {
        "evaluator_type": "sem_seg",
        "image_root": images,
        "sem_seg_root": labels,
        "stuff_classes": stated.classes,
        "ignore_label": encoding.ignore_label,
        "label_encoding": encoding,
        "image_names": listed,
        **suffixes,
    }
    if stated.colors is not None:
        metadata["stuff_colors"] = stated.colors

    def load() -> list[dict[str, Any]]:
        # With their encoding: records are all that a mapper sees of the data set.
        records = load_semantic_folder(images, labels, **suffixes, names=listed)
        return [{**record, "label_encoding": encoding} for record in records]

    if not is_registered(name, metadata):
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(**metadata)


def _listed(value: Any) -> Any:
    """Return tuples and other sequences as the lists that a file would have."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    return [_listed(part) for part in value] if is_sequence else value


def load_semantic_folder(
    image_dir: str,
    label_dir: str,
    image_suffix: str | None = None,
    label_suffix: str | None = None,
    names: str | None = None,
) -> list[dict[str, Any]]:
    """List the images of a folder with their label maps.

    Subfolders are read too. A label map has the path of its image in the other folder, up to the
    suffix. Files and folders whose name starts with a dot are left out.

    Args:
        image_dir: folder of the images.
        label_dir: folder of the label maps; the same folder is allowed if the suffixes differ.
        image_suffix: such as ``"_leftImg8bit.png"``; None for that of any image format.
        label_suffix: likewise; None for the extension of any lossless format.
        names: a text file with one picture a line, its path below ``image_dir`` without suffix;
            others are passed over. None for all.

    Returns:
        Records in Detectron2's format, sorted by ``image_id``: the path below ``image_dir`` without
        suffix. ``height`` and ``width`` are those of the upright image.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: there are no images, images and label maps do not match one to one, or a file is
            no image.
    """
    images = _files_by_stem("image", image_dir, image_suffix, IMAGE_ENDINGS)
    labels = _files_by_stem("label map", label_dir, label_suffix, LABEL_ENDINGS)
    if names is not None:
        listed = _listed_names(names, images, image_dir)
        images, labels = (
            {stem: path for stem, path in files.items() if stem in listed}
            for files in (images, labels)
        )
    alone = [
        *_alone("images", images, image_dir, "label map", labels),
        *_alone("label maps", labels, label_dir, "image", images),
    ]
    if alone:
        raise ValueError(
            f"{'; '.join(alone)}. A label map must be called like its image up to the ending. Add "
            "or remove files; where the names end differently, state image_suffix and label_suffix."
        )
    files = [(stem, images[stem], labels[stem]) for stem in sorted(images)]
    return list(in_threads(lambda names: _record(*names), files, f"{image_dir}: opening files"))


def _listed_names(names: str, images: dict[str, str], image_dir: str) -> set[str]:
    """Read a list of pictures; ValueError where one is not there, or there is none."""
    listed = {unicodedata.normalize("NFC", line) for line in read_lines(names)}
    absent = sorted(listed - images.keys())
    if absent or not listed:
        found = f"{len(absent)} of {len(listed)} pictures that are not" if absent else "no picture"
        raise ValueError(
            f"The list {names!r} names {found}{f' in {image_dir!r}' if absent else ''}"
            f"{f': {first_of([*map(repr, absent)])}' if absent else ''}. Write one path below the "
            "image folder a line, without suffix."
        )
    return listed


def _files_by_stem(
    what: str, folder: str, suffix: str | None, endings: tuple[str, ...]
) -> dict[str, str]:
    """Return stem -> path. Stems are relative, with forward slashes, in one Unicode form."""
    found: dict[str, str] = {}
    for parent, subfolders, files in os.walk(folder, onerror=_raise, followlinks=True):
        subfolders[:] = [
            f for f in subfolders if not (f.startswith(".") or _leads_back(folder, parent, f))
        ]
        for file in files:
            ending = os.path.splitext(file)[1] if suffix is None else suffix
            is_meant = ending.lower() in endings if suffix is None else file.endswith(suffix)
            if file.startswith(".") or not is_meant:
                continue
            path = os.path.join(parent, file)
            stem = os.path.relpath(path, folder).replace(os.sep, "/")[: -len(ending)]
            stem = unicodedata.normalize("NFC", stem)  # macOS writes accents apart, others do not
            if stem in found:
                raise ValueError(
                    f"The {what} folder {folder!r} holds {os.path.relpath(found[stem], folder)!r} "
                    f"and {os.path.relpath(path, folder)!r}, which differ in their ending alone. "
                    f"State the {what.split()[0]}_suffix that is meant, or take one of them out."
                )
            found[stem] = path
    if not found:
        wanted = " or ".join(endings) if suffix is None else repr(suffix)
        raise ValueError(
            f"The {what} folder {folder!r} holds no {what}: no file name ends in {wanted}. Correct "
            f"the folder or the {what.split()[0]}_suffix."
        )
    return found


def _leads_back(folder: str, parent: str, name: str) -> bool:
    """Tell whether a link leads to a folder that it lies in: by a circle, images would repeat."""
    link = os.path.join(parent, name)
    if not os.path.islink(link):
        return False
    target, above = os.path.realpath(link), Path(parent)
    ways = [above, *above.parents[: len(above.relative_to(folder).parts)]]
    return any(Path(os.path.realpath(way)).is_relative_to(target) for way in ways)


def _raise(error: OSError) -> None:
    """Let ``os.walk`` report a folder that is not there or must not be read, not pass over it."""
    raise error


def _alone(
    what: str, ours: dict[str, str], folder: str, other: str, others: dict[str, str]
) -> Iterator[str]:
    alone = sorted(ours[stem] for stem in ours.keys() - others.keys())
    if alone:
        shown = first_of([repr(os.path.relpath(path, folder)) for path in alone])
        yield f"{len(alone)} of {len(ours)} {what} in {folder!r} have no {other}: {shown}"


def _record(stem: str, image: str, label: str) -> dict[str, Any]:
    size_hw = read_image_size(image)
    check_label_size(label, read_image_size(label), image, size_hw)
    return {
        "file_name": image,
        "sem_seg_file_name": label,
        "height": size_hw[0],
        "width": size_hw[1],
        "image_id": stem,
    }
