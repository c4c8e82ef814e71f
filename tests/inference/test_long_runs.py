"""Two thousand images: memory and open files stay as they are."""

import os
from pathlib import Path

import pytest
from PIL import Image

from pointrend_ext.inference.demo import DemoOptions, OutputWriter, find_inputs, run_demo

WARM_UP, NUMBER = 300, 2000
MEBIBYTE = 2**20


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def handles():
    return sorted(os.readlink(f"/proc/self/fd/{name}") for name in _open())


def _open():
    return [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]


@pytest.fixture
def folder(tmp_path, make_picture):
    for number in range(20):
        size = {"height": 60 + number, "width": 80 - number}
        Image.fromarray(make_picture(seed=number, **size)).save(tmp_path / f"{number}.jpg")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["instance", "semantic"])
def test_stream(folder, predictors, kind, capsys):
    predictor = predictors(kind)
    paths = sorted(folder.glob("*.jpg"))
    stream = predictor.stream(paths[n % 20] for n in range(NUMBER))
    for _ in range(WARM_UP):
        next(stream)
    memory, files = resident(), handles()
    rest = sum(1 for _ in stream)
    grown = (resident() - memory) / MEBIBYTE
    with capsys.disabled():
        print(f"\n{kind}: {rest} images after {WARM_UP}: {grown:+.1f} MiB, {len(files)} handles")
    assert rest == NUMBER - WARM_UP
    assert grown < 20
    assert handles() == files


@pytest.mark.slow
def test_demo(folder, tmp_path, predictors, capsys):
    for number in range(20, NUMBER):
        os.link(folder / f"{number % 20}.jpg", folder / f"{number}.jpg")
    inputs = find_inputs([str(folder / "*.jpg")]).inputs
    assert len(inputs) == NUMBER
    writer = OutputWriter(tmp_path / "out", ["overlay", "masks"], None, inputs)
    options = DemoOptions({"one": predictors("instance")}, writer, progress=False)
    assert not run_demo(inputs[:WARM_UP], options).failures
    memory, files = resident(), handles()
    report = run_demo(inputs[WARM_UP:], options)
    grown = (resident() - memory) / MEBIBYTE
    with capsys.disabled():
        print(f"\ndemo: {report.num_images} images: {grown:+.1f} MiB, {len(files)} handles")
    assert report.num_images == NUMBER - WARM_UP
    assert not report.failures
    assert grown < 20
    assert handles() == files
