"""A whole run on a miniature benchmark: every frame once for all rules, faults as rows, and going on after a kill."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from latentdepth.core.types import AFFINE_DEPTH, AFFINE_DISPARITY, METRIC_DEPTH, NORMALS
from latentdepth.evaluate.baselines import BASELINES, Baseline
from latentdepth.evaluate.contender import MissingError
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.run import evaluate, spread
from latentdepth.evaluate.table import Journal, Row, flat, write_tables

RULES = [PROTOCOLS["marigold"], PROTOCOLS["metric"]]


def journal(folder: Path, **settings: Any) -> Journal:
    return Journal.open(folder / "rows.jsonl", settings)


def without_time(rows: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in flat(rows)]


def test_every_frame_is_predicted_once_for_all_rules(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    perfect = oracle(METRIC_DEPTH)
    done = evaluate([perfect], [miniature()], RULES, journal(tmp_path))
    assert perfect.asked == [miniature().frame(k) for k in range(8)]
    assert Counter(entry.protocol for row in done.rows for entry in row.entries) == {"marigold": 8, "metric": 8}
    for row in flat(done.rows):
        assert row["abs_rel"] == pytest.approx(0, abs=1e-6)
        assert (row["delta1"], row["fault"], row["steps"], row["members"]) == (1.0, None, 2, 3)
        assert row["seconds"] > 0
    assert [row.group for row in done.rows] == ["a"] * 4 + ["b"] * 4
    assert done.refused == ()


def test_without_rules_each_model_gets_its_own(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    contenders = [oracle(METRIC_DEPTH, name="m"), oracle(AFFINE_DISPARITY, name="d"), oracle(NORMALS, name="n")]
    benchmarks = [miniature(), miniature(truth="point_pairs", key="pairs"), miniature(truth="normals", key="normals")]
    done = evaluate(contenders, benchmarks, None, journal(tmp_path))
    used = {(row.model, row.benchmark, entry.protocol) for row in done.rows for entry in row.entries}
    assert used == {
        ("m", "miniature", "metric"),
        ("d", "miniature", "marigold"),
        ("m", "pairs", "ordinal"),
        ("d", "pairs", "ordinal"),
        ("n", "normals", "normals"),
    }
    assert {(r.model, r.benchmark) for r in done.refused} == {
        ("m", "normals"), ("d", "normals"), ("n", "miniature"), ("n", "pairs"),
    }  # fmt: skip
    main = {"ordinal": 1.0, "below_5": 1.0, "delta1": 1.0}
    for row in flat(done.rows):
        assert [row[name] for name in main if row.get(name) is not None] == [1.0]


def test_what_is_wrong_costs_a_row_and_no_more(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    def change(value: torch.Tensor, index: int) -> torch.Tensor:
        if index == 1:
            raise MissingError("no prediction; looked for b")
        if index == 2:
            raise RuntimeError("CUDA out of memory\n  tried to allocate")
        return {
            3: lambda: value * 0 + 0.5,
            4: lambda: value * math.nan,
            5: lambda: value[..., 1:],
            6: lambda: value.max() + 1 - value,
        }.get(index, lambda: value)()

    done = evaluate([oracle(AFFINE_DEPTH, change)], [miniature(broken=(0,))], RULES[:1], journal(tmp_path))
    faults = {row.frame: row.entries[0].fault for row in done.rows}
    assert list(faults.values()) == [
        "unreadable", "missing", "failed", "constant", "not_finite", "size", "flipped", None,
    ]  # fmt: skip
    notes = [row.entries[0].note for row in done.rows]
    assert "a/000.png: truncated or damaged" in notes[0]
    assert notes[2] == "CUDA out of memory tried to allocate"
    assert [math.isfinite(row.entries[0].figures.get("abs_rel", math.nan)) for row in done.rows] == [
        False, False, False, True, False, False, True, True,
    ]  # fmt: skip


class Killed(BaseException):
    """What nothing catches, as a kill."""


def killed_after(oracle: Any, frames: int) -> Any:
    def change(value: torch.Tensor, index: int) -> torch.Tensor:
        if index >= frames:
            raise Killed
        return value * (1 + 0.1 * index)

    return oracle(METRIC_DEPTH, change)


def test_a_killed_run_goes_on_and_ends_with_the_same_files(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    def files(folder: Path, kills: list[int]) -> tuple[list[dict[str, Any]], list[list[str]]]:
        asked = []
        for frames in [*kills, 100]:
            one = killed_after(oracle, frames)
            try:
                done = evaluate([one], [miniature()], RULES, journal(folder, protocol=("marigold", "metric")))
            except Killed:
                with (folder / "rows.jsonl").open("ab") as file:
                    file.write(b'{"model": "oracle", "benchm')  # the line that was being written
            else:
                write_tables(done.rows, folder)
                return without_time(done.rows), [*asked, one.asked]
            asked.append(one.asked)
        raise AssertionError

    whole, _ = files(tmp_path / "whole", [])
    pieces, asked = files(tmp_path / "pieces", [3, 3, 5])
    assert pieces == whole
    names = [miniature().frame(k) for k in range(8)]
    # a frame that was being predicted when the run died is predicted again, no other
    assert asked == [names[:4], names[3:4], names[3:6], names[5:]]

    def columns(folder: Path) -> list[str]:
        lines = (folder / "per_image.csv").read_text().splitlines()
        time = lines[0].split(",").index("seconds")
        return [",".join(v for k, v in enumerate(line.split(",")) if k != time) for line in lines]

    assert columns(tmp_path / "pieces") == columns(tmp_path / "whole")


def test_a_finished_run_asks_nothing_and_a_new_model_only_for_its_own(
    miniature: Any, oracle: Any, tmp_path: Path
) -> None:
    first, again, second = (oracle(METRIC_DEPTH, name=name) for name in ("first", "first", "second"))
    before = evaluate([first], [miniature()], RULES, journal(tmp_path))
    made: list[tuple[str, bool]] = []

    def on_frame(row: Row, new: bool) -> None:
        made.append((row.model, new))

    after = evaluate([again, second], [miniature()], RULES, journal(tmp_path), on_frame=on_frame)
    assert (again.asked, len(second.asked)) == ([], 8)
    assert after.rows[:8] == before.rows
    assert made == [("first", False)] * 8 + [("second", True)] * 8


def test_frames_that_failed_are_tried_again(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    def missing(value: torch.Tensor, index: int) -> torch.Tensor:
        if index == 2:
            raise MissingError("no prediction")
        return value

    evaluate([oracle(METRIC_DEPTH, missing)], [miniature()], RULES, journal(tmp_path))
    mended = oracle(METRIC_DEPTH)
    done = evaluate([mended], [miniature()], RULES, journal(tmp_path))
    assert mended.asked == ["a/002"]
    assert len(done.rows) == 8
    assert all(entry.fault is None for row in done.rows for entry in row.entries)


def test_other_settings_are_an_error_that_says_which(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    evaluate([oracle(METRIC_DEPTH)], [miniature()], RULES, journal(tmp_path, protocol=("metric",), extra=()))
    with pytest.raises(ValueError, match=r"other settings: protocol was \['metric'\], now \['median'\]. Give these"):
        journal(tmp_path, protocol=("median",), extra=())
    with pytest.raises(ValueError, match=r"rows of oracle with other settings: kind was 'metric depth', now 'affine"):
        evaluate([oracle(AFFINE_DEPTH)], [miniature()], RULES, journal(tmp_path, protocol=("metric",), extra=()))
    with pytest.raises(ValueError, match=r"rows of benchmark miniature with other settings: frames was 8, now 9"):
        evaluate([oracle(METRIC_DEPTH)], [miniature(9)], RULES, journal(tmp_path, protocol=("metric",), extra=()))


def test_names_must_be_unique(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    class Same(miniature):
        def frame(self, index: int) -> str:
            return "a/same"

    with pytest.raises(ValueError, match="two frames are called a/same"):
        evaluate([oracle(METRIC_DEPTH)], [Same()], RULES, journal(tmp_path))
    with pytest.raises(ValueError, match="oracle is named twice"):
        evaluate([oracle(METRIC_DEPTH), oracle(METRIC_DEPTH)], [miniature()], RULES, journal(tmp_path))
    with pytest.raises(ValueError, match="miniature is named twice"):
        evaluate([oracle(METRIC_DEPTH)], [miniature(), miniature()], RULES, journal(tmp_path / "other"))


def test_nothing_that_can_be_scored_is_an_error_with_the_reasons(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oracle on miniature by metric: the prediction is affine-invariant depth"):
        evaluate([oracle(AFFINE_DEPTH)], [miniature()], [PROTOCOLS["metric"]], journal(tmp_path))


def test_pairs_go_by_their_own_protocol_whatever_is_asked_for_depth(
    miniature: Any, oracle: Any, tmp_path: Path
) -> None:
    benchmarks = [miniature(), miniature(truth="point_pairs", key="pairs")]
    done = evaluate([oracle(AFFINE_DEPTH)], benchmarks, [PROTOCOLS["marigold"]], journal(tmp_path))
    used = {(row.benchmark, entry.protocol) for row in done.rows for entry in row.entries}
    assert used == {("miniature", "marigold"), ("pairs", "ordinal")}


def test_frames_are_spread_evenly() -> None:
    assert spread(10, None) == spread(10, 20) == list(range(10))
    assert spread(10, 3) == [0, 3, 6]
    with pytest.raises(ValueError, match="max_frames is 0; allowed is 1 or more"):
        spread(10, 0)


def test_max_frames_takes_those_frames_and_more_can_follow(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    few, more = oracle(METRIC_DEPTH), oracle(METRIC_DEPTH)
    done = evaluate([few], [miniature()], RULES, journal(tmp_path), max_frames=2)
    assert [row.frame for row in done.rows] == few.asked == ["a/000", "b/004"]
    evaluate([more], [miniature()], RULES, journal(tmp_path))
    assert len(more.asked) == 6


def test_baselines_on_the_miniature(miniature: Any, tmp_path: Path) -> None:
    contenders = [Baseline.of(f"baseline:{name}") for name in BASELINES]
    done = evaluate(contenders, [miniature()], [PROTOCOLS["disparity"]], journal(tmp_path))
    figures = {name: [r["abs_rel"] for r in flat(done.rows) if r["model"] == f"baseline:{name}"] for name in BASELINES}
    faults = {row.model: row.entries[0].fault for row in done.rows}
    assert faults == {"baseline:constant": "constant", "baseline:ramp": None, "baseline:luminance": None}
    # brightness was drawn as inverse depth, which is clamped at the nearest pixels only
    assert max(figures["luminance"]) < 0.01
    assert max(figures["luminance"]) < min(figures["ramp"])
    assert sum(figures["ramp"]) < sum(figures["constant"])
    with pytest.raises(ValueError, match="no baseline 'centre'; allowed are constant, ramp, luminance"):
        Baseline.of("baseline:centre")
