"""What many GPUs need: the arithmetic by hand, and the page that shows it."""

from pathlib import Path

import pytest

from benchmarks.scaling import (
    CONFIG,
    GBITS,
    GPUS,
    Rates,
    efficiencies,
    gradient_bytes,
    ring_bytes,
    sending_s,
    table,
)

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"


def test_bytes_of_a_ring():
    """Of 4 processes each sends 3 of 4 parts to sum them, and 3 of 4 to tell the sums."""
    assert ring_bytes(1000, 1) == 0
    assert ring_bytes(1000, 4) == 1500


def test_sending_and_what_it_costs():
    rates = Rates(iteration_s=0.3, gpus=4)
    assert sending_s(10**9, 4, rates, 8.0) == 0.0  # within one machine
    assert sending_s(10**9, 8, rates, 8.0) == pytest.approx(1.75)  # 1.75 GB at 1 GB/s
    assert efficiencies(rates, 0.0) == (1.0, 1.0)
    assert efficiencies(rates, 0.1) == pytest.approx((0.75, 1.0))  # hidden by 0.2 s of backward
    assert efficiencies(rates, 0.3) == pytest.approx((0.5, 0.75))


def test_rows():
    rates = Rates(images=2, iteration_s=0.5, inference_s=0.1, gpus=8, loader=20, scoring_s=7.0)
    assert table(10**6, rates, [16], [8]).splitlines() == [
        "| GPUs | MB sent | 8 Gbit/s |",
        "| --- | --- | --- |",
        "| 16 | 2 | 0.00 s, 100% to 100% |",
        "",
        "| GPUs | images per iteration | images/s | workers, all | s of an evaluation |",
        "| --- | --- | --- | --- | --- |",
        "| 16 | 32 | 64 | 3 | 31 + 7 |",
    ]


def test_the_page_shows_what_is_computed():
    computed = table(gradient_bytes(CONFIG), Rates(), GPUS, GBITS)
    text = PAGE.read_text()
    for part in computed.strip().split("\n\n"):
        assert part in text, f"python -m benchmarks.scaling prints\n{computed}"
