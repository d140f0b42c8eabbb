"""The sheet shows the frames it says, with their colours, and none where there is nothing to order by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from latentdepth.core.types import AFFINE_DEPTH, METRIC_DEPTH, NORMALS
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.run import evaluate
from latentdepth.evaluate.sheet import write_sheet
from latentdepth.evaluate.table import Journal


def worse_each_time(value: torch.Tensor, index: int) -> torch.Tensor:
    return value * (1 + 0.1 * index)


def test_best_and_worst_are_predicted_again_and_drawn(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    one, rule = oracle(METRIC_DEPTH, worse_each_time), PROTOCOLS["metric"]
    rows = evaluate([one], [miniature()], [rule], Journal.open(tmp_path / "rows.jsonl", {})).rows
    one.asked.clear()
    path = write_sheet(one, miniature(), rule, rows, tmp_path / "sheets" / "one.png", most=2)
    assert one.asked == ["a/000", "a/001", "b/006", "b/007"]
    assert path is not None
    sheet = np.asarray(Image.open(path)).astype(int)
    # of four rows of cells the last column is the error map: dark for the perfect frame, brighter row by row
    right = sheet[:, -12 - 256 : -12]
    rows_of_cells = [right[76 + k * 222 + 24 + 20 : 76 + k * 222 + 216 - 4] for k in range(4)]
    brightness = [float(cell.mean()) for cell in rows_of_cells]
    assert brightness == sorted(brightness)
    assert brightness[0] < 30 < 100 < brightness[3]
    # truth and prediction of the perfect frame have the same colours
    cells = [sheet[76 + 24 : 76 + 24 + 192, 12 + k * 262 : 12 + k * 262 + 256] for k in (1, 2)]
    assert np.abs(cells[0][60:] - cells[1][60:]).max() <= 1
    assert not list(tmp_path.rglob("*.part"))


def test_the_same_rows_make_the_same_sheet(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    one, rule = oracle(AFFINE_DEPTH, worse_each_time), PROTOCOLS["marigold"]
    rows = evaluate([one], [miniature()], [rule], Journal.open(tmp_path / "rows.jsonl", {})).rows
    first = write_sheet(one, miniature(), rule, rows, tmp_path / "first.png")
    second = write_sheet(one, miniature(), rule, rows[::-1], tmp_path / "second.png")
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes()


def test_normals_have_a_sheet_by_angle(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    one, rule, bench = oracle(NORMALS), PROTOCOLS["normals"], miniature(3, "normals")
    rows = evaluate([one], [bench], [rule], Journal.open(tmp_path / "rows.jsonl", {})).rows
    path = write_sheet(one, bench, rule, rows, tmp_path / "n.png")
    assert path is not None
    with Image.open(path) as image:
        assert image.size == (2 * 12 + 4 * 256 + 3 * 6, 56 + 20 + 3 * 222 + 40)


def test_no_frame_with_a_figure_no_sheet(miniature: Any, oracle: Any, tmp_path: Path) -> None:
    one, rule = oracle(METRIC_DEPTH, lambda value, _: value * torch.nan), PROTOCOLS["metric"]
    rows = evaluate([one], [miniature()], [rule], Journal.open(tmp_path / "rows.jsonl", {})).rows
    assert write_sheet(one, miniature(), rule, rows, tmp_path / "one.png") is None
    assert not (tmp_path / "one.png").exists()
