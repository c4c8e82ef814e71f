"""`pointrend-ext-runtime`: what the small distribution holds, and that it works without PyTorch."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.deploy.runtime import OnnxPredictor
from tests.deploy.runtime.models import write_instances, write_semantic

ROOT = Path(__file__).resolve().parents[3]
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""
WITHOUT = ("torch", "torchvision", "detectron2", "fvcore", "pointrend_ext", "pycocotools", "tqdm")


@pytest.fixture(scope="module")
def build():
    """The functions of ``runtime/setup.py``."""
    return runpy.run_path(str(ROOT / "runtime/setup.py"), run_name="runtime_setup")


@pytest.fixture(scope="module")
def installed(build, tmp_path_factory):
    """A folder with the package, as an installation writes it."""
    target = tmp_path_factory.mktemp("installed")
    build["copy_runtime"](target)
    record = target / "pointrend_ext_runtime-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Name: pointrend-ext-runtime\nVersion: 0.1.0\n")
    return target


@pytest.fixture
def run(installed, tmp_path):
    """Run Python elsewhere, where packages are missing."""

    def run(code, *words, blocked=(*WITHOUT, "cv2")):
        # Of this environment's packages the code sees those that are not blocked.
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT), *ENVIRONMENT]),
        }
        command = [sys.executable, "-c", BLOCK.format(blocked=blocked) + code, *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


FOREIGN = re.compile(r"^\s*(from|import) (torch|detectron2|pointrend_ext)\b", re.MULTILINE)
ENVIRONMENT = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def test_predictions_without_torch(run, tmp_path):
    masks = np.random.default_rng(0).random((2, 1, 28, 28)).astype(np.float32)
    boxes = [[0.1, 0.2, 0.8, 0.7], [0.3, 0.1, 0.9, 0.9]]
    path = write_instances(tmp_path / "a.onnx", boxes, [0.9, 0.8], [0, 1], masks)
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    done = run(
        "import sys, numpy as np, pointrend_runtime\n"
        "got = pointrend_runtime.OnnxPredictor(sys.argv[1])(sys.argv[2])\n"
        "np.savez('out.npz', boxes=got.boxes, masks=np.asarray(got.masks))\n"
        "print(got, got.to_coco(1)[0]['segmentation'], pointrend_runtime.__version__)\n"
        "assert not {'torch', 'detectron2', 'pointrend_ext'} & set(sys.modules)\n"
        "got.draw()",
        path,
        tmp_path / "a.png",
    )
    assert done.stderr.strip().splitlines()[-1].startswith("ImportError: Drawing and cameras need ")
    expected = OnnxPredictor(path)(tmp_path / "a.png")
    assert done.stdout == f"{expected} {expected.to_coco(1)[0]['segmentation']} 0.1.0\n"
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["boxes"], expected.boxes)
        np.testing.assert_array_equal(found["masks"], np.asarray(expected.masks))


def test_drawing_without_torch(run, tmp_path):
    path = write_instances(tmp_path / "a.onnx", [0, 0, 1, 1], [0.9], [1], np.ones((1, 1, 4, 4)))
    code = (
        "import sys, numpy as np, pointrend_runtime\n"
        "image = np.full((60, 80, 3), 90, np.uint8)\n"
        "np.save('out.npy', pointrend_runtime.OnnxPredictor(sys.argv[1])(image).draw())"
    )
    assert run(code, path, blocked=WITHOUT).returncode == 0
    expected = OnnxPredictor(path)(np.full((60, 80, 3), 90, np.uint8)).draw()
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_both_distributions_in_one_process(run, tmp_path):
    path = write_instances(tmp_path / "a.onnx", [0, 0, 1, 1], [0.9], [1], np.ones((1, 1, 4, 4)))
    done = run(
        "import sys, numpy as np, pointrend_ext, pointrend_runtime\n"
        "from pointrend_ext.deploy.runtime import OnnxPredictor\n"
        "image = np.zeros((30, 40, 3), np.uint8)\n"
        "kinds = OnnxPredictor, pointrend_runtime.OnnxPredictor\n"
        "ours, own = (kind(sys.argv[1])(image) for kind in kinds)\n"
        "print((np.asarray(ours.masks) == np.asarray(own.masks)).all(), type(ours) is type(own))",
        path,
        blocked=(),
    )
    assert done.stdout == "True False\n", done.stderr


def test_a_batch_job_over_a_folder(run, tmp_path):
    path = write_semantic(tmp_path / "a.onnx", "labels")
    (tmp_path / "in").mkdir()
    for number, color in enumerate([(9, 0, 0), (0, 0, 9)]):
        Image.new("RGB", (40, 40), color).save(tmp_path / f"in/{number}.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"no picture")
    code = "import runpy; runpy.run_module('pointrend_runtime', run_name='__main__')"
    done = run(code, path, "in", "--output", "out")
    assert done.returncode == 1  # one of three
    assert done.stdout.startswith("2 images and 0 frames in ")
    assert "broken.jpg' is truncated or corrupt or no image" in done.stderr
    labels = [np.unique(Image.open(tmp_path / f"out/masks/{n}_labels.png")) for n in (0, 1)]
    assert labels == [2, 0]  # of blue, green, red
    for words, reason in [
        ((path, "gone", "--output", "out"), "gone: there is no such file or folder"),
        (("gone.onnx", "in", "--output", "out"), "gone.onnx does not exist"),
        ((path, "in", "--output", "out", "--save", "overlay"), "pip install opencv-python-head"),
        ((path, "in", "--output", "out", "--classes", "sun"), r"no class ['sun']"),
    ]:
        done = run(code, *words)
        assert done.returncode == 2
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.fixture
def copied(tmp_path):
    """The files that the Dockerfile takes, which are all that a build reads."""
    text = (ROOT / "runtime/Dockerfile").read_text()
    (tmp_path / "source").mkdir()
    for source, target in re.findall(r"^COPY (\w+) (\S+)$", text, re.MULTILINE):
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
            shutil.copytree(ROOT / source, tmp_path / "source" / target, ignore=ignored)
        else:
            shutil.copy(ROOT / source, tmp_path / "source" / source)
    return tmp_path / "source"


def test_the_wheel(build, copied, tmp_path):
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(tmp_path), str(copied / "runtime")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = tmp_path.glob("*.whl")
    assert path.name == "pointrend_ext_runtime-0.1.0-py3-none-any.whl"
    archive = zipfile.ZipFile(path)
    modules = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in modules} == {"pointrend_runtime"}
    inside = {name.removeprefix("pointrend_runtime/") for name in modules}
    assert inside >= {
        *build["runtime_files"](),
        "__init__.py",
        "__main__.py",
        "LICENSE",
        "py.typed",
    }
    for name in modules:
        if name.endswith(".py"):
            text = archive.read(name).decode()
            assert not re.search(
                r"^\s*(from|import) (torch|detectron2|pointrend_ext)\b", text, re.M
            )
    (metadata,) = [n for n in archive.namelist() if n.endswith("METADATA")]
    lines = archive.read(metadata).decode().splitlines()
    required = {x.split()[1] for x in lines if x.startswith("Requires-Dist") and "extra" not in x}
    assert {re.split("[<>=]", x)[0] for x in required} == {"numpy", "onnxruntime", "pillow"}
    assert {"Provides-Extra: draw", "Provides-Extra: openvino"} <= set(lines)
