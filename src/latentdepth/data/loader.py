"""Micro-batches made by worker processes while the network computes.

Order and content are those of ``batches(index)`` itself, whatever the number of workers. Knows no files.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from latentdepth.data.batch import Batch

MakeBatch = Callable[[int], Batch]


@dataclass(frozen=True)
class _Failure:
    """A bad file's message: raised here, it would reach the user wrapped in a worker's traceback."""

    message: str


class _Indexed(Dataset[Batch | _Failure]):
    def __init__(self, batches: MakeBatch, indices: Sequence[int]) -> None:
        self.batches, self.indices = batches, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Batch | _Failure:
        try:
            return self.batches(self.indices[place])
        except (ValueError, OSError) as error:
            return _Failure(str(error))


def _quiet_worker(_: int) -> None:
    # Ctrl-C reaches every process of the terminal; the training process alone decides what happens then
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def stream(
    batches: MakeBatch, indices: Sequence[int], *, workers: int = 2, prefetch: int = 4, pin: bool | None = None
) -> Iterator[Batch]:
    """``batches(i)`` for every i of ``indices`` (a range, or any sequence), in that order.

    ``workers`` processes with one thread each keep ``prefetch`` micro-batches ready apiece; 0 makes them here, when
    asked. Workers are spawned, so ``batches`` must pickle and a script needs the usual ``if __name__ == "__main__"``.
    ``pin`` page-locks memory for copies to a GPU; None does so when there is CUDA. Closing the iterator, an exception
    and Ctrl-C all end the workers. Raises ValueError, with the file's name, for what a worker can't read, and
    RuntimeError for a worker that was killed.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; allowed is 0 or more")
    if prefetch < 1:
        raise ValueError(f"prefetch is {prefetch}; allowed is 1 or more")
    return _stream(batches, indices, workers, prefetch, torch.cuda.is_available() if pin is None else pin)


def _stream(batches: MakeBatch, indices: Sequence[int], workers: int, prefetch: int, pin: bool) -> Iterator[Batch]:
    loader = DataLoader(
        _Indexed(batches, indices),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_quiet_worker,
        pin_memory=pin,
    )
    ready = iter(loader)
    try:
        for made in ready:
            if isinstance(made, _Failure):
                raise ValueError(made.message)
            yield made
    finally:
        del ready  # ends the workers
