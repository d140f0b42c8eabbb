"""Streams: the same batches here and in workers, errors without a worker's traceback, nothing left running."""

import multiprocessing
import os
import signal
from dataclasses import dataclass

import pytest
import torch

from latentdepth.data.batch import Batch
from latentdepth.data.loader import stream


@dataclass(frozen=True)
class Numbered:
    """``batches(i)`` of the number i; stands at module level, so that a spawned worker finds it."""

    bad: int = -1
    deadly: int = -1

    def __call__(self, index: int) -> Batch:
        if index == self.bad:
            raise ValueError(f"photos/{index}.png: truncated")
        if index == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        image = torch.full((1, 3, 8, 8), float(index))
        # its own process and threads, for the tests to see
        target = torch.tensor([os.getpid() % 1_000_003, torch.get_num_threads()]).float().reshape(1, 2, 1, 1)
        return Batch(image, target.expand(1, 2, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool))


def numbers(batches: list[Batch]) -> list[int]:
    return [int(b.image[0, 0, 0, 0]) for b in batches]


def test_workers_keep_order_and_report_what_they_cannot_read():
    indices = [4, 0, 7, 2, 9]
    ready = stream(Numbered(bad=9), indices, workers=2, prefetch=1)
    made = [next(ready) for _ in range(4)]
    assert numbers(made) == indices[:4]
    assert len({float(b.target[0, 0, 0, 0]) for b in made}) == 2
    assert float(made[0].target[0, 0, 0, 0]) != os.getpid() % 1_000_003
    assert {float(b.target[0, 1, 0, 0]) for b in made} == {1.0}
    with pytest.raises(ValueError, match=r"^photos/9\.png: truncated$"):
        next(ready)
    assert not multiprocessing.active_children()


def test_closing_early_ends_the_workers_and_a_killed_one_is_an_error():
    ready = stream(Numbered(deadly=2), range(100), workers=1, prefetch=1)
    assert numbers([next(ready)]) == [0]
    assert len(multiprocessing.active_children()) == 1
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGINT)  # Ctrl-C is the training process's business
    assert numbers([next(ready)]) == [1]
    with pytest.raises(RuntimeError, match=r"killed|exited unexpectedly"):
        next(ready)
    assert not multiprocessing.active_children()


def test_without_workers_batches_are_made_here_and_when_asked():
    ready = stream(Numbered(bad=1), range(3), workers=0)
    assert float(next(ready).target[0, 0, 0, 0]) == os.getpid() % 1_000_003
    with pytest.raises(ValueError, match=r"^photos/1\.png"):
        next(ready)


def test_impossible_requests_are_refused_at_once():
    with pytest.raises(ValueError, match="workers is -1"):
        stream(Numbered(), range(3), workers=-1)
    with pytest.raises(ValueError, match="prefetch is 0"):
        stream(Numbered(), range(3), prefetch=0)
