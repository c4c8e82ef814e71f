"""From an export of every known format to scores, a report and an exported model, as one types it.

``python -m tests.wheel.journey`` runs all of it from a wheel, outside of the checkout, and writes
what was printed into docs/command_line.md; ``test_journey`` compares it.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.data.formats import test_label_folders as maps
from tests.data.formats import writers
from tests.tiny_models import WIDTHS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/command_line.md"
BEGIN, END = "<!-- written by tests/wheel/journey.py -->\n", "<!-- end -->\n"


def colored_maps(folder: Path) -> Path:
    maps.write(folder, "images", "masks", encode=lambda x: Image.fromarray(maps.colored(x)))
    maps.labelmap(folder, f"void:{','.join(map(str, maps.VOID))}::")
    return folder


class Export(NamedTuple):
    """A format: what writes it, whether it has instances, and whether its model is exported."""

    write: Callable[[Path], Path]
    has_instances: bool = True
    is_exported: bool = False


EXPORTS = {
    "labelme": Export(writers.labelme, is_exported=True),
    "roboflow": Export(writers.roboflow),
    "cvat": Export(writers.cvat),
    "label_studio": Export(writers.label_studio),
    "coco_annotator": Export(writers.coco_annotator),
    "yolo": Export(writers.yolo),
    "via": Export(writers.via),
    "grey_maps": Export(lambda f: maps.write(f, "images", "masks"), has_instances=False),
    "palette_maps": Export(lambda f: maps.voc(f, maps.palette), has_instances=False),
    "rgb_maps": Export(colored_maps, has_instances=False, is_exported=True),
}
SMALL_LABELS = [
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", 16),
    *("MODEL.SEM_SEG_HEAD.NORM", "BN"),
    *("MODEL.SEM_SEG_POINT_HEAD.FC_DIM", 16),
]
TRAINING = [
    *("SOLVER.MAX_ITER", 4),
    *("TEST.EVAL_PERIOD", 0),
    *("DATALOADER.NUM_WORKERS", 0),
    *("INPUT.MIN_SIZE_TRAIN", "(64,)"),
    *("INPUT.MIN_SIZE_TEST", 64),
]


def small(has_instances: bool) -> str:
    """Return the ``KEY VALUE`` pairs of a model and a training that take no time."""
    own = WIDTHS if has_instances else [*WIDTHS[:8], *SMALL_LABELS]
    return " ".join(map(str, [*own, *TRAINING]))


def commands(name: str, export: Export) -> Iterator[str]:
    """Yield what is typed for one export, ``$SMALL`` for ``small``."""
    out = f"output/{name}"
    model = f"--config-file {out}/config.yaml --weights {out}/model_final.pth"
    found = "coco_instances_results" if export.has_instances else "sem_seg_predictions"
    metrics = "segm" if export.has_instances else "boundary_iou"
    pictures = f'"exports/{name}/**/*.*g"'
    yield f"pointrend train --data exports/{name} MODEL.WEIGHTS '' $SMALL"
    yield f"pointrend predict {model} --input {pictures} --output {out}/seen --no-progress"
    yield (
        f"pointrend score --description {out}/data/data.yaml --dataset {name}_val "
        f"--predictions ours={out}/inference/{found}.json --metrics {metrics} --draws 0 "
        f"--output {out}/scores"
    )
    yield (
        f"pointrend report --description {out}/data/data.yaml --evaluation "
        f"{out}/scores/evaluation.json --run ours={out} --output {out}/report.html"
    )
    if export.is_exported:
        yield f"pointrend export {model} --output {out}/model.pt2"


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment with the wheel and, of this environment, all other packages.

    Returns:
        Its folder of commands.
    """
    venv.create(folder)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python"]
    install = [*pip, str(folder), "install", "--no-deps", str(wheel)]
    subprocess.run(install, env=environment(scripts), check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([scripts / "python", "-c", ask], capture_output=True, text=True)
    # Lines in files of this kind that lie there are not read: of an editable install nothing is.
    Path(done.stdout.strip(), "others.pth").write_text(sysconfig.get_path("purelib"))
    return scripts


def environment(scripts: Path) -> dict[str, str]:
    """Return the variables of a shell that knows nothing of the checkout, or of data sets."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DETECTRON2_DATASETS")}
    return {**env, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def run(line: str, folder: Path, scripts: Path, **variables: str) -> str:
    """Type a line in a folder; return what is printed, but for logs.

    Raises:
        AssertionError: the exit code is not 0.
    """
    env, command = {**environment(scripts), **variables}, ["bash", "-c", line]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    printed = re.sub(r"\x1b\[[\d;]*m", "", done.stdout).replace(f"{folder.resolve()}/", "")
    printed = re.sub(r"^Notice: .*\n", "", printed, flags=re.MULTILINE)
    return re.split(r"^\[\d\d/\d\d |^\| ", printed, maxsplit=1, flags=re.MULTILINE)[0]


def journey(name: str, folder: Path, scripts: Path) -> str:
    """Go all the way with one export; return the transcript."""
    export, shown = EXPORTS[name], []
    export.write(folder / "exports" / name)
    for line in commands(name, export):
        printed = run(line, folder, scripts, SMALL=small(export.has_instances))
        shown.append(f"$ {line}\n{printed.rstrip()}\n")
    if not export.is_exported:  # of the others, the page shows what was found
        shown = [shown[0].split("\nDescription:")[0] + "\n"]
    return f"### {name}\n\n```console\n{''.join(shown)}```\n"


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the checkout, in which nothing is left behind."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "output", "build", "*.egg-info")
    shutil.copytree(ROOT, folder / "sources", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "wheel"]
    options = ["--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*pip, *options, str(folder / "sources")], check=True)
    return next(folder.glob("*.whl"))


def prepare(folder: Path) -> Path:
    """Make the environment below a folder, and let ``doctor`` look at it; return its commands."""
    scripts = install(build_wheel(folder / "wheel"), folder / "env")
    printed = run("pointrend doctor", folder, scripts)
    assert "pointrend_ext in env/" in printed
    assert printed.rstrip().endswith("Training is possible.")
    return scripts


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scripts = prepare(folder)
        shown = "\n".join(journey(name, folder, scripts) for name in EXPORTS)
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{shown}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
