"""The fuzzer finds what it should find, and finds nothing in the product."""

import contextlib
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from random import Random

import pytest

from tests.fuzz import outcome, page
from tests.fuzz.base import ROOT, SPLITS, build_project, decode, runs_of
from tests.fuzz.coco import ANNOTATIONS, are_plausible_results, is_plausible
from tests.fuzz.images import LABELS, are_plausible, are_plausible_labels, file_mutators
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.settings import is_plausible_description
from tests.fuzz.trees import mutators_of, read_tree


def run_fuzzer(*words, seconds):
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


def test_some_changes_of_each_kind():
    assert " 0 failures" in run_fuzzer("--count", "5", "--step", "29", seconds=300)


@pytest.mark.slow
def test_every_change():
    number = int(run_fuzzer(seconds=3600).splitlines()[-1].split()[0])
    assert number == sum(1 + len(kind.mutators) for kind in KINDS.values()) >= 1000


def test_the_page_shows_the_data():
    counts = json.loads(page.DATA.read_text())
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.replaced(text, counts) == text
    assert sum(sum(own.values()) for own in counts.values()) >= 1000
    assert set(counts) == set(KINDS)


def test_counts_become_a_table():
    outcomes = [outcome.Outcome("a", n, v, "") for n, v in enumerate(["same", "hang", "same"])]
    counts = page.counted(outcomes)
    assert counts["a"]["same"] == 2
    assert counts["a"]["hang"] == 1
    assert (
        page.table(counts).splitlines()[-1] == "| all | 3 | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 0 |"
    )


# ---- the oracles


@pytest.fixture
def project(tmp_path):
    build_project(tmp_path / "project")
    return tmp_path / "project"


def is_right(project):
    return {
        "train.json": is_plausible(project / "train.json", project / "train"),
        "val.json": is_plausible(project / "val.json"),
        "predictions.json": are_plausible_results(project),
        "train": are_plausible(project / "train"),
        "train_labels": are_plausible_labels(project / "train_labels"),
        "predicted": are_plausible_labels(project / "predicted", are_true=False),
        "instance.yaml": is_plausible_description(project / "instance.yaml"),
        "semantic.yaml": is_plausible_description(project / "semantic.yaml"),
    }


def test_the_project_is_right(project):
    assert all(is_right(project).values())
    assert len(list((project / "train").iterdir())) == len(SPLITS["train"])
    for entry in read_tree(project / "train.json")["annotations"]:
        mask = decode(entry["segmentation"])
        assert mask.sum() == entry["area"] > 0
        assert (decode({"size": [48, 64], "counts": runs_of(mask)}) == mask).all()


RIGHT_AS_WELL = {
    *(
        "iscrowd None",
        "iscrowd",
        "iscrowd True",
        "iscrowd 0.0",
        "iscrowd 1",
        "category name 7",
        "category name 'disc'",
    ),
    *("an object again", "runs as floats", "polygons and one of no area", "width (0)", "path (0)"),
}


def test_what_only_says_something_else_is_told_from_what_is_wrong(project):
    """Of the changes of annotations just these leave a file that is right."""
    right, plausible = (project / "train.json").read_bytes(), set()
    mutators = mutators_of("train.json", ANNOTATIONS)
    for title, mutate in zip(ANNOTATIONS, mutators, strict=True):
        for seed in range(3):  # "disc" is another name of two of the three classes
            (project / "train.json").write_bytes(right)
            mutate(Random(seed), project)
            with contextlib.suppress(TypeError, ValueError, LookupError, AttributeError):
                if is_plausible(project / "train.json", project / "train"):
                    plausible.add(title)
    assert plausible - {"file 'train_11.png'"} == RIGHT_AS_WELL


def test_label_maps_that_are_right(tmp_path):
    """Of the changes of all label maps just these leave maps that are right."""
    right = set()
    for title, mutate in zip(LABELS, file_mutators(LABELS, "train_labels"), strict=True):
        project = tmp_path / title
        build_project(project)
        what = mutate(Random("all"), project)
        with contextlib.suppress(Exception):
            if are_plausible_labels(project / "train_labels"):
                right.add(title)
        assert "4 of 4" in what
    same = {"BMP", "TIFF", "palette", "16 bits, the same ids", "something behind"}
    assert right == {*same, "colours"}  # those of the description


def test_the_seed_alone_decides(tmp_path):
    changes = []
    for folder in ("a", "b"):
        project = tmp_path / folder
        build_project(project)
        for name, kind in KINDS.items():
            rng = Random(f"{name} 3")
            changes.append(kind.mutators[3](rng, project))
        changes.append({p.relative_to(project): p.read_bytes() for p in project.rglob("*.json")})
    assert changes[: len(changes) // 2] == changes[len(changes) // 2 :]


# ---- the verdicts


def raising(error):
    def run():
        raise error

    return run


@pytest.fixture
def verdict_of(tmp_path, monkeypatch):
    """Judge a run that does what is wanted once a file was changed."""
    monkeypatch.setenv("POINTREND_CACHE", "")
    monkeypatch.setenv("DETECTRON2_DATASETS", "")
    monkeypatch.setattr(outcome, "SECONDS", 2)
    numbers = itertools.count()

    def judge(run, explains=lambda project, result: False, always=False, again=False):
        def mutate(rng, project):
            (project / "changed").touch()
            return "changed"

        def act():
            return run() if always or os.path.exists("changed") else {"AP": 50}

        monkeypatch.setitem(KINDS, "fake", Kind([mutate], act, explains))
        fuzzer = outcome.Fuzzer(tmp_path / str(next(numbers)))
        return fuzzer.again("fake") if again else fuzzer.run("fake", 0)

    return judge


def noticed(result):
    logging.getLogger("pointrend_ext.data").warning("2 of 3 left out")
    return result


def test_what_is_said_once_alone_is_found(verdict_of):
    """A cache that keeps the verdict but not the notice."""

    def run():
        if not os.path.exists("cache"):
            os.mkdir("cache")
            return noticed({"AP": 50})
        return {"AP": 50}

    assert verdict_of(run, always=True, again=True).verdict == "other, silently"
    assert verdict_of(lambda: noticed({"AP": 50}), always=True, again=True).verdict == "same"


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (lambda: {"AP": 50}, "same"),
        (lambda: noticed({"AP": 50}), "same, with a notice"),
        (lambda: noticed({"AP": 40}), "other, with a notice"),
        (lambda: {"AP": 40}, "other, silently"),
        (lambda: {}, "other, silently"),
        (raising(ValueError("train.json: no image")), "refused"),
        (raising(ValueError("SOLVER.MAX_ITER is 0")), "refused"),
        (raising(KeyError("no such set 'fuzz_val'")), "refused"),
        (raising(ValueError("invalid literal")), "refused, but not clearly"),
        (raising(ValueError("train.json " * 200)), "refused, but not clearly"),
        (raising(KeyError("width")), "traceback"),
        (raising(TypeError("train.json")), "traceback"),
        (raising(MemoryError()), "traceback"),
        (lambda: os._exit(3), "crash"),
        (lambda: os.abort(), "crash"),
        (lambda: time.sleep(30), "hang"),
    ],
)
def test_verdicts(run, verdict, verdict_of):
    assert verdict_of(run).verdict == verdict


def test_another_meaning_needs_an_oracle_that_reads_it(verdict_of):
    changed = lambda: {"AP": 40}  # noqa: E731
    assert verdict_of(changed, lambda project, result: True).verdict == "means something else"
    assert verdict_of(changed, lambda project, result: 1 / 0).verdict == "other, silently"
