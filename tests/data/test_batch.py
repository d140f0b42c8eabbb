"""Batches are stacked in order and moved whole."""

import torch

from latentdepth.data.batch import Batch, stacked


def row(value: float) -> Batch:
    return Batch(
        torch.full((1, 3, 4, 6), value), torch.full((1, 1, 4, 6), -value), torch.full((1, 1, 4, 6), value > 0.5)
    )


def test_rows_stay_in_order():
    both = stacked([row(0.2), row(0.7)])
    assert both.image[:, 0, 0, 0].tolist() == torch.tensor([0.2, 0.7]).tolist()
    assert both.target[:, 0, 0, 0].tolist() == torch.tensor([-0.2, -0.7]).tolist()
    assert both.valid[:, 0, 0, 0].tolist() == [False, True]


def test_all_parts_move():
    moved = row(0.3).to("meta")
    assert {t.device.type for t in (moved.image, moved.target, moved.valid)} == {"meta"}


def test_what_a_teacher_told_stays_with_its_row():
    told = Batch(row(0.2).image, row(0.2).target, row(0.2).valid, torch.tensor([True]))
    both = stacked([row(0.7), told])
    assert both.by_teacher is not None
    assert both.by_teacher.tolist() == [False, True]
    assert stacked([row(0.2), row(0.7)]).by_teacher is None
    moved = told.to("meta")
    assert moved.by_teacher is not None
    assert moved.by_teacher.device.type == "meta"
