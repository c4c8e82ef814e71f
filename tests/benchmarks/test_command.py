"""The command that all benchmarks share: turns, memory, demands, another checkout."""

from contextlib import contextmanager

import pytest

from benchmarks import options
from benchmarks.command import main
from benchmarks.measure import Timing, time_interleaved
from benchmarks.report import Report, Row, dumps
from benchmarks.worker import Job, worker

FAKE = "tests.benchmarks.fake_cases"
QUICK = ["--rounds", "2", "--only", "sleep"]


def test_forms_take_turns_and_the_first_round_does_not_count():
    calls = []
    seconds = {"a": iter([9.0, 1.0, 4.0, 2.0]), "b": iter([0.0, 5.0, 5.0, 6.0])}

    def clock(name):
        calls.append(name)
        return next(seconds[name])

    timings = time_interleaved({n: lambda n=n: clock(n) for n in "ab"}, rounds=3)
    assert calls == list("abababab")
    assert timings == {"a": Timing(2.0, 1.0, 4.0), "b": Timing(5.0, 5.0, 6.0)}


def test_against_upstream(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.command.limit_threads", lambda count: None)
    out = tmp_path / "out"
    main(FAKE, [*QUICK, "--demand", "2", "--output", str(out)])
    report = Report.read(out)
    (row,) = report.rows
    assert row.ratio > 1
    assert row.peak_mib == {"upstream": pytest.approx(40, abs=3), "ours": pytest.approx(10, abs=3)}
    assert row.equality == "5 runs were prepared"  # three of upstream, the two before, in turn
    assert row.parameters == {"ours": 7}
    assert row.is_met
    assert report.command == f"python -m {FAKE} --rounds 2 --only sleep --demand 2 --output out"
    assert row.line() in capsys.readouterr().out
    assert (out / "results.md").read_text() == report.markdown()
    assert (out / "speed.png").stat().st_size > 1000


@pytest.fixture
def no_memory(monkeypatch):
    """Processes take their time to start."""
    monkeypatch.setattr("benchmarks.command._peak_mib", lambda job: 1.0)


@pytest.mark.usefixtures("no_memory")
def test_a_missed_demand_ends_with_an_error(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.command.limit_threads", lambda count: None)
    with pytest.raises(SystemExit):
        main(FAKE, [*QUICK, "--demand", "50"])
    assert "BELOW WHAT IS DEMANDED" in capsys.readouterr().out


@pytest.mark.usefixtures("no_memory")
def test_against_another_checkout(tmp_path, capsys):
    """Of a version four times as fast as this one."""
    checkout = tmp_path / "before"
    (checkout / "pointrend_ext").mkdir(parents=True)
    (checkout / "pointrend_ext" / "__init__.py").write_text("SPEED = 4\n")
    main(FAKE, [*QUICK, "--before", str(checkout), "--demand", "50", "--output", str(tmp_path)])
    (row,) = Report.read(tmp_path).rows
    assert set(row.seconds) == set(row.peak_mib) == {"before", "ours"}
    assert row.ratio == row.seconds["before"].median / row.seconds["ours"].median
    assert "| before s | ours s |" in (tmp_path / "results.md").read_text()
    assert f"**{row.ratio:.2f}**" in capsys.readouterr().out


@pytest.mark.usefixtures("no_memory")
def test_runs_that_need_a_process_of_their_own_get_one_each(capsys, monkeypatch):
    seconds = {"upstream": iter([9.0, 3.0, 5.0]), "ours": iter([9.0, 1.0, 3.0])}
    asked = []

    @contextmanager
    def fake_worker(job):
        asked.append(job.form)
        yield lambda what: next(seconds[job.form]) if what == "time" else None

    monkeypatch.setattr("benchmarks.command.limit_threads", lambda count: None)
    monkeypatch.setattr("benchmarks.command.worker", fake_worker)
    main(FAKE, ["--rounds", "2", "--only", "alone"])
    assert asked == ["upstream", "ours"] * 3
    assert "| **2.0** | 1 / 1 | 0 results |" in capsys.readouterr().out


def test_a_folder_without_the_package(tmp_path, capfd):
    job = Job(FAKE, [], "Fake: sleep", "ours", 1, str(tmp_path))
    with (
        pytest.raises(RuntimeError, match=r"Fake: sleep, ours of .* failed"),
        worker(job) as ask,
    ):
        ask("time")
    assert f"{tmp_path} has no pointrend_ext" in capfd.readouterr().err


def test_a_row_by_hand(tmp_path):
    seconds = {"ours": Timing(1.0, 0.5, 2), "upstream": Timing(3.14, 3, 4), "x": Timing(7, 7, 7)}
    mib = {"ours": 10.4, "upstream": 99.6, "x": 1.0}
    row = Row("Group", "a case", 2, seconds, mib, "equal", min_ratio=3, max_mib=10)
    assert row.line() == (
        "| a case; x 7.000 [7.000, 7.000] s, 1 MiB | 2 | 3.140 [3.000, 4.000] | "
        "1.000 [0.500, 2.000] | **3.1** (>= 3) | 100 / 10 (<= 10) | equal |"
    )
    assert not row.is_met  # 10.4 MiB
    alone = Row("Group", "b", 1, {"ours": Timing(1, 1, 1)}, {"ours": 3.0}, "finite")
    assert alone.line() == "| b | 1 | - | 1.000 [1.000, 1.000] | - | - / 3 | finite |"
    assert alone.is_met
    report = Report({"processor": "a CPU"}, "python", 5, [row, alone])
    report.write(tmp_path)
    assert Report.read(tmp_path) == report
    assert len((tmp_path / "results.json").read_text().splitlines()) == 11  # a line per row


def test_json_of_one_line_per_value():
    assert dumps({"a": {"b": [1, {"c": 2}]}, "d": []}) == (
        '{\n "a": {\n  "b": [1, {"c": 2}]\n },\n "d": []\n}\n'
    )


def test_a_command_names_no_folder_of_this_machine():
    words = ["--image", "/home/me/photo.jpg", "--output", "docs/benchmarks/cpu", "R=1, C=8"]
    shown = "--image photo.jpg --output docs/benchmarks/cpu 'R=1, C=8'"
    assert options.shown(words) == shown
