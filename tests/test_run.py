"""Scripts made for Detectron2 run with our keys, heads and data sets, as Python runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointrend_ext.data.toy import generate_toy_data
from pointrend_ext.model_zoo import get_config_file
from tests.fresh_python import run_fresh

ROOT = Path(__file__).resolve().parents[1]
TOY = get_config_file("Toy/pointrend_rcnn_toy.yaml")
READ = """
from detectron2.config import get_cfg
cfg = get_cfg()
cfg.merge_from_file(sys.argv[1])
cfg.merge_from_list(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Holds toy data of two images and one, so that no test generates all."""
    root = tmp_path_factory.mktemp("datasets")
    generate_toy_data(root, num_train=2, num_val=1)
    return root


@pytest.fixture
def run(tmp_path, data_root):
    """Run a script with this text, or this word; return exit code, output, last line of errors."""

    def run_script(text, *words, before=(), is_own_process=False):
        script = text
        if "\n" in text:
            script = str(tmp_path / "made" / "script.py")
            Path(script).parent.mkdir(exist_ok=True)
            Path(script).write_text(f"import sys\n{text}")
        command = ["pointrend_ext.run", *before, script, *map(str, words)]
        env = {"PYTHONPATH": str(ROOT), "DETECTRON2_DATASETS": str(data_root)}
        if not is_own_process:
            done = run_fresh(None, *command, cwd=tmp_path, **env)
        else:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", *command],
                cwd=tmp_path,
                env={**os.environ, **env},
                capture_output=True,
                text=True,
            )
        return done.returncode, done.stdout, done.stderr

    return run_script


def test_keys_heads_and_toy_data(run):
    text = f"""{READ}
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
print(len(DatasetCatalog.get(cfg.DATASETS.TRAIN[0])), cfg.MODEL.MASK_POINT_HEAD.FC_DIM)
print(type(build_model(cfg).roi_heads.mask_head).__name__, cfg.SOLVER.MAX_ITER)
"""
    code, output, errors = run(text, TOY, "MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", "7")
    assert (code, output.split()) == (0, ["2", "64", "PointRendROIMaskHead", "7"]), errors


def test_the_script_is_main_beside_its_own_modules(run, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "neighbour.py").write_text("VALUE = 5")
    text = """
import neighbour
print(__name__, sys.argv[1:], sys.modules["__main__"].__file__ == __file__, neighbour.VALUE)
sys.exit(7)
"""
    code, output, _ = run(text, "--description", "a b", "KEY")
    assert code == 7
    assert output == "__main__ ['--description', 'a b', 'KEY'] True 5\n"


def test_a_module(run, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "part.py").write_text(
        "import sys\nfrom detectron2.config import get_cfg\n"
        "print(__name__, sys.argv[1], 'ALIGNMENT' in get_cfg().MODEL.FPN)"
    )
    assert run("some.part", "x", is_own_process=True)[:2] == (0, "__main__ x True\n")


def test_described_data_of_an_option_and_of_a_configuration(run, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\ntask: instance\nroot: .\nsplits:\n  train:\n    images: images\n"
            "    annotations: a.json\n"
        )
    text = f"{READ}\nfrom detectron2.data import DatasetCatalog\nprint(*DatasetCatalog.list())\n"
    opts = (TOY, "DATASETS.DESCRIPTIONS", "('two.yaml',)", "DATASETS.TRAIN", "('two_train',)")
    code, output, errors = run(text, *opts, before=["--description", "one.yaml"])
    assert code == 0, errors
    assert {"one_train", "two_train", "toy_val", "coco_2017_val"} <= set(output.split())


def test_processes_that_start_anew_are_prepared(run):
    """As those of a training on several GPUs: what a script's main needs is there in each."""
    text = """
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.engine import launch
import multiprocessing

def main(word):
    print(word, "MASK_POINT_HEAD" in get_cfg().MODEL, "toy_val" in DatasetCatalog, flush=True)

if __name__ == "__main__":
    from pointrend_ext.engine.foreign_scripts import _run_prepared
    process = multiprocessing.get_context("spawn").Process(
        target=_run_prepared, args=(main, (), "anew")
    )
    process.start()
    process.join()
    launch(main, 1, args=("here",))
"""
    code, output, errors = run(text, is_own_process=True)
    assert (code, output) == (0, "anew True True\nhere True True\n"), errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.py"], "There is no script 'nowhere.py' (looked in "),
        (["no.such.module"], "There is no script 'no.such.module'"),
        ([READ, TOY, "MODEL.NO_KEY", "1"], "Non-existent key: MODEL.NO_KEY"),
        ([READ, "nowhere.yaml"], "nowhere.yaml"),
        ([READ, TOY, "DATASETS.DESCRIPTIONS", "('no.yaml',)"], "no.yaml"),
        ([f"{READ}\nfrom detectron2.data import DatasetCatalog as d\nd.get('x')\n", TOY], "'x'"),
    ],
)
def test_a_users_mistake_is_one_line(run, words, message):
    code, _, errors = run(*words)
    assert code == 2
    last = errors.rstrip().splitlines()[-1]
    assert last.startswith("python -m pointrend_ext.run: Error: ")
    assert message in last
    assert "Traceback" not in errors


def test_a_wrong_description_too(run):
    code, _, errors = run("x.py", before=["--description", "no.yaml"])
    assert code == 2
    assert "no.yaml" in errors
    assert "Traceback" not in errors


def test_an_error_of_the_script_keeps_its_traceback(run):
    code, _, errors = run("\nraise ValueError('of the script')\n")
    assert code == 1
    assert "Traceback" in errors
    assert errors.endswith("ValueError: of the script\n")
