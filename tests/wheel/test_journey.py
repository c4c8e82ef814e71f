"""What docs/command_line.md shows of every kind of export is what a wheel does."""

import re

import pytest

from tests.wheel.journey import BEGIN, END, EXPORTS, PAGE, journey, prepare

WRITTEN = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
SHOWN = re.findall(r"^### (\w+)$", WRITTEN, re.MULTILINE)


def plain(text):
    """Without numbers, which differ between machines, and the width of columns."""
    return re.sub(r"[\s-]+", " ", re.sub(r"\d[\d.e+-]*", "#", text))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder outside of the checkout, and the commands of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("journey")
    return folder, prepare(folder)


def test_every_export_is_shown():
    assert [*EXPORTS] == SHOWN


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTS)
def test_from_an_export_to_a_report(name, place):
    assert plain(journey(name, *place)) in plain(WRITTEN)
