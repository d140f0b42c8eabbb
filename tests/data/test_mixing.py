"""Mixtures by arithmetic: shares, epochs, resumes, ranks, replacements; and what can't be trained on."""

import logging
import math
import pickle
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.data.mixing import MixedBatches, Portion, taught
from latentdepth.data.options import Augmentation, Target
from latentdepth.data.sample import Sample, normalised


@dataclass(frozen=True)
class Counted:
    """Frames whose photo says in grey which one it is: value (index + 1) / 255."""

    name: str
    length: int
    bad: frozenset[int] = frozenset()
    """Raise a ValueError when read."""
    blind: frozenset[int] = frozenset()
    """Have hardly a valid pixel."""
    normals: bool = False

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if index in self.bad:
            raise ValueError(f"{self.name}/{index}.png: truncated")
        depth = 2 + torch.rand(1, 16, 24, generator=generator(self.name, index))
        valid = torch.full((1, 16, 24), index not in self.blind)
        valid[0, 0, :5] = True
        normals = torch.zeros(3, 16, 24)
        normals[2, 4:] = 1
        image = torch.full((3, 16, 24), (index + 1) / 255)
        return Sample(image, depth, valid, normals=normals if self.normals else None)


PLAIN = Augmentation(flip=0.0)


def mixed(*portions: Portion, **options: Any) -> MixedBatches:
    options = {"batch": 2, "seed": 5, **options}
    return MixedBatches(portions, **options)


def one(frames: Counted, **options: Any) -> MixedBatches:
    return mixed(Portion(frames, 1.0, 16, 24, PLAIN), **options)


def seen(batch: Batch) -> list[int]:
    """Which frames a batch was made of."""
    return [round(float(v + 1) / 2 * 255) - 1 for v in batch.image[:, 0, 0, 0]]


@pytest.mark.parametrize(("length", "batch"), [(1, 3), (7, 2), (12, 4), (5, 16)])
def test_every_epoch_holds_every_sample_once(length: int, batch: int):
    batches = one(Counted("a", length), batch=batch)
    stream = [row.sample for index in range(math.ceil(3 * length / batch)) for row in batches.rows(index)]
    epochs = [stream[k * length : (k + 1) * length] for k in range(3)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    if length >= 5:
        assert len({tuple(epoch) for epoch in epochs}) == 3


def test_weights_are_kept_within_a_turn_per_block_and_exactly_in_the_long_run():
    portions = [Portion(Counted(n, 9), w, 16, 24) for n, w in (("a", 0.9), ("b", 0.0996), ("c", 0.0004), ("d", 0.0))]
    batches = mixed(*portions)
    turns = [batches.rows(index)[0].portion for index in range(5000)]
    for block in range(5):
        share = Counter(turns[block * 1000 : (block + 1) * 1000])
        assert abs(share[0] - 900) <= 1
        assert abs(share[1] - 99.6) <= 1
        assert share[2] <= 1
    assert 1 <= Counter(turns)[2] <= 3  # two are due
    assert Counter(turns)[3] == 0
    # mixed within a block, not one set after the other: runs of a fair shuffle of 9 : 1 are short
    assert max(len(run) for run in "".join(map(str, turns[:1000])).split("0")) <= 6


def test_sets_go_through_their_own_epochs_and_keep_their_order_when_another_joins():
    a, b = Counted("a", 6), Counted("b", 5)
    together = mixed(Portion(a, 1.0, 16, 24), Portion(b, 1.0, 16, 24))
    rows = [row for index in range(60) for row in together.rows(index)]
    for portion, length in ((0, 6), (1, 5)):
        mine = [r for r in rows if r.portion == portion]
        assert [r.ordinal for r in mine] == list(range(len(mine)))
        alone = [r.sample for i in range(60) for r in one((a, b)[portion]).rows(i)]
        assert [r.sample for r in mine] == alone[: len(mine)]
        assert sorted(r.sample for r in mine[:length]) == list(range(length))


def test_a_resume_and_other_processes_see_the_same_data():
    portions = (
        Portion(Counted("a", 8), 0.7, 16, 24, Augmentation(window="random", recolour=1.0, motion_blur=0.5)),
        Portion(Counted("b", 5), 0.3, 8, 16),
    )
    whole = [mixed(*portions)(k) for k in range(6)]
    resumed = pickle.loads(pickle.dumps(mixed(*portions)))
    for k in (5, 3, 4):  # any order
        for part in ("image", "target", "valid"):
            assert torch.equal(getattr(resumed(k), part), getattr(whole[k], part))
    assert not torch.equal(mixed(*portions, seed=6)(0).image, whole[0].image)
    assert {tuple(b.image.shape) for b in whole} <= {(2, 3, 16, 24), (2, 3, 8, 16)}


def test_two_ranks_are_disjoint_and_make_the_epoch_together():
    batches = one(Counted("a", 12), batch=2)
    ranks = [[row for index in range(rank, 6, 2) for row in batches.rows(index)] for rank in (0, 1)]
    first, second = ({row.sample for row in rank} for rank in ranks)
    assert not first & second
    assert first | second == set(range(12))


def test_batches_hold_what_the_rows_say_normalised():
    frames = Counted("a", 6)
    batches = one(frames)
    batch, rows = batches(1), batches.rows(1)
    assert seen(batch) == [row.sample for row in rows]
    for place, row in enumerate(rows):
        torch.testing.assert_close(batch.target[place], normalised(frames[row.sample], "depth"))
    assert bool(batch.valid.all())
    disparity = one(frames, target=Target("disparity", tails=0.1))(1)
    torch.testing.assert_close(disparity.target[0], normalised(frames[rows[0].sample], "disparity", tails=0.1))


def test_normals_are_targets_where_they_are_known():
    batch = one(Counted("a", 6, normals=True), target=Target("normals"))(0)
    assert batch.target.shape == (2, 3, 16, 24)
    assert batch.valid[0, 0, :, 0].tolist() == [False] * 4 + [True] * 12
    assert batch.target[0, :, 8, 8].tolist() == [0.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="data set plain has no normals"):
        one(Counted("plain", 3), target=Target("normals"))


def test_views_without_truth_are_replaced_by_the_next_sample():
    frames = Counted("a", 8, blind=frozenset({2, 5}))
    batches = one(frames, batch=4)
    order = [row.sample for index in range(6) for row in batches.rows(index)]
    made = [s for index in range(4) for s in seen(batches(index))]
    for place, wanted in enumerate(order[:16]):
        following = next(s for s in order[place:] if s not in frames.blind)
        assert made[place] == (following if wanted in frames.blind else wanted)
    with pytest.raises(ValueError, match=r"data set a: 3 samples in a row gave no usable depth .*1% of the view"):
        one(replace(frames, length=3, blind=frozenset(range(3))))(0)


def test_bad_files_are_errors_that_name_them_unless_some_may_be_skipped(caplog: pytest.LogCaptureFixture):
    frames = Counted("a", 8, bad=frozenset({1, 4}))
    with pytest.raises(ValueError, match=r"^a/[14]\.png: truncated$"):
        [one(frames)(k) for k in range(4)]
    with caplog.at_level(logging.WARNING):
        batches = one(frames, skip_bad=2)
        made = [s for k in range(8) for s in seen(batches(k))]
    assert not {1, 4} & set(made)
    assert sorted(r.getMessage().split(": ", 1)[1] for r in caplog.records) == [
        "a/1.png: truncated",
        "a/4.png: truncated",
    ]
    batches = one(frames, skip_bad=1)
    for _ in range(2):  # asked again, it fails again
        with pytest.raises(ValueError, match=r"more than the 1 that may be skipped:\na/\d\.png: .*\na/\d\.png"):
            [batches(k) for k in range(4)]
    with pytest.raises(ValueError, match=r"a/0\.png"):
        one(Counted("a", 2, bad=frozenset({0})))  # the first is read before the first step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -1.0}, "set a has weight -1"),
        ({"weight": math.nan}, "set a has weight nan"),
        ({"weight": 0.0}, "weights of a are all 0"),
        ({"height": 12}, "height 12 pixels; allowed are multiples of 8, such as 16"),
        ({"width": 0}, "width 0 pixels; allowed are multiples of 8, such as 8"),
        ({"frames": Counted("a", 0)}, "set a is empty"),
    ],
)
def test_impossible_portions_are_refused(change: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        mixed(replace(Portion(Counted("a", 3), 1.0, 16, 24), **change))


def test_other_impossible_requests_are_refused():
    portion = Portion(Counted("a", 3), 1.0, 16, 24)
    for wrong, message in (({"batch": 0}, "batch is 0"), ({"skip_bad": -1}, "skip_bad is -1")):
        with pytest.raises(ValueError, match=message):
            mixed(portion, **wrong)
    with pytest.raises(ValueError, match="no data set"):
        mixed()
    with pytest.raises(ValueError, match="a, a; names must differ"):
        mixed(portion, portion)
    with pytest.raises(ValueError, match="counted from 0"):
        mixed(portion)(-1)
    with pytest.raises(ValueError, match=r"tails is 0\.5"):
        Target(tails=0.5)
    with pytest.raises(ValueError, match="least_valid"):
        Target(least_valid=1.5)


def test_metres_are_taught_as_they_are():
    frames = Counted("a", 4, blind=frozenset())
    batch = one(frames, target=Target(kind="metric_depth"))(0)
    for image, depth in zip(batch.image, batch.target, strict=True):
        index = round(float(image[0, 0, 0] + 1) / 2 * 255) - 1
        torch.testing.assert_close(depth, frames[index].depth_m, atol=0, rtol=0)


def test_sky_has_no_metres():
    sample = Counted("a", 1)[0]
    depth = sample.depth_m.clone()
    depth[0, :4] = torch.inf
    batch = taught(replace(sample, depth_m=depth), Target(kind="metric_depth"), "a")
    assert not bool(batch.valid[0, 0, :4].any())
    assert bool(batch.valid[0, 0, 4:].all())
    assert bool(torch.isfinite(batch.target).all())


def test_a_set_that_a_teacher_labelled_says_so():
    ours, told = Portion(Counted("a", 4), 1.0, 16, 24), Portion(Counted("b", 4), 1.0, 16, 24, by_teacher=True)
    batches = mixed(ours, told)
    for k in range(6):
        by_teacher = batches(k).by_teacher
        if batches.rows(k)[0].portion == 1:
            assert by_teacher is not None
            assert by_teacher.tolist() == [True, True]
        else:
            assert by_teacher is None
    assert {batches.rows(k)[0].portion for k in range(6)} == {0, 1}


def test_sides_may_be_those_of_patches():
    assert mixed(Portion(Counted("a", 4), 1.0, 14, 28))(0).image.shape == (2, 3, 14, 28)
