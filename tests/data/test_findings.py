"""What checks found: counts, shares, levels, and their way through JSON."""

import json
import logging

from pointrend_ext.data.findings import Cause, Findings, Kind

NO_AREA = Cause(Kind.LEFT_OUT, "annotations whose box has no area")
CROWD = Cause(Kind.LEFT_OUT, "crowd regions", is_expected=True)
FLAT = Cause(Kind.CHANGED, "flat polygons, read as one polygon")


def found(**numbers):
    result = Findings(num_checked=100)
    for cause, number in ((NO_AREA, "bad"), (CROWD, "crowd"), (FLAT, "flat")):
        for index in range(numbers.get(number, 0)):
            result.add(cause, f"annotation {index}")
    return result


def test_lines_state_number_share_fate_and_first_place():
    lines = found(bad=2, crowd=4).lines()
    assert lines == [
        "4 of 100 (4.0%) left out: crowd regions; first: annotation 0",
        "2 of 100 (2.0%) left out: annotations whose box has no area; first: annotation 0",
    ]


def test_expected_causes_become_a_warning_at_five_per_cent(caplog):
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("findings")
    for crowd, bad, level in ((4, 0, "INFO"), (5, 0, "WARNING"), (0, 1, "WARNING")):
        caplog.clear()
        found(crowd=crowd, bad=bad).log(logger, "Data set 'mine'")
        assert [record.levelname for record in caplog.records] == [level]
    caplog.clear()
    found().log(logger, "Data set 'mine'")
    assert not caplog.records


def test_what_was_said_is_not_said_again():
    whole = found(bad=2, crowd=4)
    assert whole.without({CROWD}).unsaid().counts == {NO_AREA: 2}
    assert whole.unsaid().counts == {CROWD: 4}
    assert whole.unsaid().counts == {}
    assert whole.counts == {NO_AREA: 2, CROWD: 4}


def test_rows_survive_json():
    before = found(bad=2, crowd=4, flat=7)
    after = Findings.from_rows(json.loads(json.dumps(before.to_rows())), before.num_checked)
    assert after == before
