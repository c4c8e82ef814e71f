"""Exports in COCO's format: Roboflow's, CVAT's, Label Studio's, COCO-Annotator's, COCO's own.

They differ in where pictures lie and in what stands before their names, which is looked for.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from pointrend_ext.data.coco import summarize_coco_file
from pointrend_ext.data.findings import first_of
from pointrend_ext.data.formats.tree import Tree, split_name


@dataclass(frozen=True)
class CocoPart:
    """An annotation file.

    Attributes:
        file: its path.
        content: what it holds.
        images: the folder that its file names start from.
        renamed: file names that are to be others, by the name in the file.
    """

    file: Path
    content: dict[str, Any]
    images: Path
    renamed: dict[str, str]


@dataclass(frozen=True)
class CocoExport:
    """Annotation files by split; "" where there is one file that names none."""

    tree: Tree
    files: dict[str, str]
    kind: str = "COCO"

    def has_empty_test(self) -> bool:
        """Tell whether there is a test split without annotations: there is nothing to score."""
        return (
            "test" in self.files and not self.tree.json_samples[self.files["test"]]["annotations"]
        )

    def parts(self) -> dict[str, CocoPart]:
        """Check each file, and find its pictures.

        Raises:
            ValueError: a file is not valid, or pictures are not there, or it is not clear which are
                meant.
        """
        files = dict(self.files)
        if self.has_empty_test():
            del files["test"]
        for file in files.values():
            summarize_coco_file(str(self.tree.root / file))
        return {
            split: CocoPart(
                self.tree.root / file,
                self.tree.json_samples[file],
                *_image_folder(self.tree, file, self.tree.json_samples[file]["images"]),
            )
            for split, file in files.items()
        }


def find_coco(tree: Tree) -> list[CocoExport]:
    """Find annotation files of instances.

    Raises:
        ValueError: two belong to one split.
    """
    files = [file for file, content in tree.json_samples.items() if _is_coco(content)]
    # COCO has the same pictures' instances, key points and captions in files side by side.
    files = [f for f in files if PurePosixPath(f).name.startswith("instances")] or files
    if not files:
        return []
    by_split = defaultdict(list)
    for file in files:
        by_split[split_name(file) if len(files) > 1 else ""].append(file)
    for split, found in by_split.items():
        if len(found) > 1:
            raise ValueError(
                f"{tree} has {len(found)} annotation files in COCO's format "
                f"{f'for {split!r}' if split else 'whose names tell no split'}: "
                f"{first_of(found)}. Give the one that is meant, or take the others out."
            )
    return [CocoExport(tree, {split: found[0] for split, found in sorted(by_split.items())})]


def _is_coco(content: Any) -> bool:
    """Tell whether it has pictures, categories and annotations of instances."""
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        return False
    annotations = content.get("annotations")
    if not isinstance(annotations, list) or not isinstance(content["images"], list):
        return False
    return all(isinstance(x, dict) and "category_id" in x for x in annotations[:1])


def _image_folder(
    tree: Tree, file: str, images: list[dict[str, Any]]
) -> tuple[Path, dict[str, str]]:
    """Return the folder below which all pictures lie by their names, and names to be changed."""
    names = [str(image.get("file_name", "")) for image in images]
    roots: Counter[str] = Counter()
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        for picture in tree.pictures_by_name.get(parts[-1] if parts else "", ()):
            own = PurePosixPath(picture).parts
            if own[len(own) - len(parts) :] == parts:
                roots[PurePosixPath(*own[: len(own) - len(parts)]).as_posix()] += 1
    whole = [root for root, count in roots.items() if count == len(names)]
    if whole:
        return tree.root / _likeliest(tree, file, whole), {}
    renamed = {}
    for name in names:
        # Label Studio's names may be addresses: /data/local-files/?d=my%20folder/a.jpg
        known = tree.called(name) or tree.called(unquote(name.rpartition("?d=")[2]))
        if len(known) != 1:
            raise ValueError(
                f"{file!r}: its picture {name!r} is "
                f"{'in several folders' if known else 'not there'}; looked below "
                f"{str(tree.root)!r}, and {roots.most_common(1)[0][1] if roots else 0} of "
                f"{len(names)} pictures lie in one place. Put all of them beside the file."
            )
        if known[0] != name:
            renamed[name] = known[0]
    return tree.root, renamed


def _likeliest(tree: Tree, file: str, roots: list[str]) -> str:
    """Choose among folders that have all pictures: beside the file, or called like its split."""
    split, folder = split_name(file), PurePosixPath(file).parent.as_posix()
    if folder in roots:
        return folder
    named = [root for root in roots if split and split_name(root) == split] or roots
    if len(named) > 1:
        raise ValueError(
            f"{file!r}: all its pictures are in {first_of(sorted(map(repr, named)))}. Take the "
            "copies out of the folder, or give a folder without them."
        )
    return named[0]


def changed_content(part: CocoPart, keep: set[int] | None = None) -> dict[str, Any]:
    """Return the content with other names, and of some images (by place) alone."""
    images = part.content["images"]
    kept = [image for number, image in enumerate(images) if keep is None or number in keep]
    ids, known = {str(image.get("id")) for image in kept}, {str(i.get("id")) for i in images}
    renamed = [
        {**image, "file_name": part.renamed.get(image.get("file_name"), image.get("file_name"))}
        for image in kept
    ]
    annotations = [
        entry
        for entry in part.content["annotations"]
        # Those of no image go with the first split, so that the check still tells of them.
        if str(entry.get("image_id")) in ids
        or (str(entry.get("image_id")) not in known and (keep is None or 0 in keep))
    ]
    return {**part.content, "images": renamed, "annotations": annotations}
