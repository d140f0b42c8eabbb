"""The bar: what it counts, how it rates, and that it leaves lines alone."""

from __future__ import annotations

import re

import pytest

from latentdepth.verbs.progress import bar


def test_it_counts_all_and_rates_what_was_worked_on(capsys: pytest.CaptureFixture[str]):
    with bar("photos", total=3, unit="photos/h", per_s=3600) as shown:
        shown.advance(worked=False)
        shown.say("note: [bold]/a[/bold].jpg: a line that is longer than any terminal " + "x" * 300)
        shown.advance(worked=False)
        assert shown.lines == 1
    text = capsys.readouterr().err
    assert re.search(r"photos .* 2/3 .*0\.00 photos/h", text)
    assert "[bold]/a[/bold].jpg" in text
    assert "x" * 300 in text


def test_a_total_that_is_learnt_late(capsys: pytest.CaptureFixture[str]):
    with bar("frames", unit="frames/s", per_s=1e9) as shown:
        shown.of(7)
        shown.advance()
    text = capsys.readouterr().err
    assert "1/7" in text
    found = re.search(r"(\d+) frames/s", text)
    assert found
    assert int(found[1]) >= 100  # one thing in less than 10 million seconds


def test_a_line_for_what_is_under_way_until_it_is_done(capsys: pytest.CaptureFixture[str]):
    with bar("photos", total=2) as shown:
        shown.within("tiles", 3, 4)
        shown.advance()
        shown.within("tiles", 5, 7)
    text = capsys.readouterr().err
    assert "tiles" in text
    assert "5/7" in text
    assert "3/4" not in text
