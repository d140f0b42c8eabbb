"""The allocator's settings: nested, entered by threads, left alone where somebody has set them."""

from __future__ import annotations

import threading

import pytest
import torch

from latentdepth.models import kept_memory as module
from latentdepth.models.kept_memory import give_back, kept_memory


def test_nests_and_ends_after_an_error():
    with kept_memory(), kept_memory():
        assert torch.ones(20_000_000).sum() == 20_000_000
    with pytest.raises(ValueError, match="inside"), kept_memory():
        raise ValueError("inside")
    assert module._inside == 0
    give_back()


def test_threads_may_enter_together():
    sums: list[float] = []

    def work() -> None:
        for _ in range(20):
            with kept_memory():
                sums.append(float(torch.ones(9_000_000).sum()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [9_000_000.0] * 60
    assert module._inside == 0


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_TRIM_THRESHOLD_", "1"), ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")]
)
def test_somebodys_own_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    with kept_memory():
        assert module._inside == 0
