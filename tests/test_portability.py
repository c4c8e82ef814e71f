"""What a system without POSIX' modules, signals and fork needs, as far as Linux can show it."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pointrend_ext
from pointrend_ext.data.toy import generate_toy_data
from tests.fresh_python import run_fresh

ROOT = Path(__file__).resolve().parents[1]
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))
MODULES = sorted(m.name for m in pkgutil.walk_packages(pointrend_ext.__path__, "pointrend_ext."))
# The libraries come first: they know Windows themselves. Then everything of POSIX is gone.
WITHOUT_POSIX = """
import importlib, multiprocessing, os, signal, subprocess, sys
import cv2, detectron2.engine, detectron2.evaluation, detectron2.export, matplotlib.pyplot
import portalocker, torch, torchvision
for name in ("fcntl", "resource", "pwd", "grp", "termios", "syslog"):
    sys.modules[name] = None
GONE = {
    os: ("fork", "register_at_fork", "sched_getaffinity", "statvfs", "getuid", "geteuid", "killpg"),
    signal: ("SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGKILL", "SIGHUP", "SIGALRM", "setitimer"),
}
for module, names in GONE.items():
    for name in names:
        vars(module).pop(name, None)
"""


def run(code, *words, cwd=ROOT):
    path = os.pathsep.join((str(ROOT), str(ROOT / "tools")))
    done = run_fresh(code, *map(str, words), cwd=cwd, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_everything_can_be_imported():
    assert len(MODULES) > 150
    assert len(TOOLS) > 8
    load = "for name in sys.argv[1:]:\n    importlib.import_module(name)\nprint('all')"
    code = f"{WITHOUT_POSIX}\n{load}"
    assert run(code, *MODULES, *TOOLS) == "all\n"


def test_signals_locks_and_shared_memory(tmp_path):
    """The lock itself is portalocker's, which has one for Windows."""
    code = f"""{WITHOUT_POSIX}
import os
from types import SimpleNamespace
from pointrend_ext.data import workers
from pointrend_ext.engine import run_folder
from pointrend_ext.engine.safe_end import SafeEnd
folder = sys.argv[1]
with run_folder.holding(folder):
    print(str(os.getpid()) in open(os.path.join(folder, "run.lock")).read())
print(workers._free_bytes())
os.name = "nt"
with workers.DeathWatch():
    pass
os.name = "posix"
end = SafeEnd()
end.trainer = SimpleNamespace(
    cfg=SimpleNamespace(OUTPUT_DIR=folder),
    checkpointer=SimpleNamespace(get_checkpoint_file=lambda: ""),
)
end._waits = True
try:
    with end.ending_well():
        signal.raise_signal(signal.SIGTERM)
        end._agree(None)
except KeyboardInterrupt as stop:
    print(stop.exit_code, stop)
"""
    output = run(code, tmp_path / "run").splitlines()
    assert output[:2] == ["True", "inf"]
    assert output[2].startswith("143 The training was ended by SIGTERM. There is no checkpoint in ")


LOADERS = """
import sys
import torch
from pointrend_ext.data import register_datasets
from pointrend_ext.data.loading import build_test_loader, build_train_loader
from pointrend_ext.engine import load_cfg

def checksum(batches):
    images = [record["image"].long().sum().item() for batch in batches for record in batch]
    masks = [len(r["instances"]) for b in batches for r in b if "instances" in r]
    return images, masks

if __name__ == "__main__":
    torch.multiprocessing.set_start_method(sys.argv[1])
    workers = int(sys.argv[2])
    opts = ["DATALOADER.NUM_WORKERS", workers, "SOLVER.IMS_PER_BATCH", 2, "SEED", 3]
    opts += ["DATALOADER.ASPECT_RATIO_GROUPING", False]  # label maps have no size yet
    for config in sys.argv[3:]:
        cfg = load_cfg(config, opts)
        register_datasets((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
        batches = iter(build_train_loader(cfg))
        print(checksum([next(batches), next(batches)]))
        print(checksum(list(build_test_loader(cfg, cfg.DATASETS.TEST[0]))))
"""


def test_loaders_that_start_their_workers_anew(tmp_path):
    """Windows and macOS spawn: mapper, records and sampler are pickled. The images are the same."""
    generate_toy_data(tmp_path, num_train=5, num_val=2)
    script = tmp_path / "load.py"
    script.write_text(LOADERS)
    configs = [f"Toy/pointrend_{model}_toy.yaml" for model in ("rcnn", "semantic")]
    env = {"PYTHONPATH": str(ROOT), "DETECTRON2_DATASETS": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", str(script), "spawn", "1", *configs]
    outputs = []
    for done in (
        run_fresh(LOADERS, "fork", "0", *configs, **env),
        subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True),
    ):
        assert done.returncode == 0, done.stderr[-3000:]
        outputs.append([line for line in done.stdout.splitlines() if line.startswith("([")])
    assert len(outputs[0]) == 2 * len(configs)
    assert outputs[0] == outputs[1]
