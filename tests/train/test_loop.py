"""The loop: it learns, it resumes to the same numbers, and it never loses a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentdepth.train.loop import LoopConfig, learning_rate, train


class Line:
    """Fit y = 3x - 1: the smallest real task."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)
        with torch.no_grad():
            self.network.weight.fill_(0.0)
            self.network.bias.fill_(0.0)

    def loss(self, batch: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        noise = 0.01 * torch.randn(batch.shape, generator=draw)
        return {"loss": (self.network(batch) - (3 * batch - 1 + noise)).square().mean()}

    def save(self, folder: Path) -> None:
        save_file(dict(self.network.state_dict()), folder / "line.safetensors")


def batches(step: int) -> Tensor:
    return torch.randn(16, 1, generator=torch.Generator().manual_seed(step))


CONFIG = LoopConfig(steps=120, lr=0.2, warmup=5, ema=0.9, bf16=False, save_every=40, log_every=20, weight_decay=0.0)


def weights(out: Path) -> dict[str, Tensor]:
    return load_file(out / "model" / "line.safetensors")


def test_it_learns_and_logs(tmp_path: Path):
    model = train(CONFIG, Line(), batches, tmp_path, quiet=True)
    assert model == tmp_path / "model"
    assert float(weights(tmp_path)["weight"]) == pytest.approx(3, abs=0.05)
    assert float(weights(tmp_path)["bias"]) == pytest.approx(-1, abs=0.05)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40, 60, 80, 100, 120]
    assert lines[-1]["loss"] < lines[0]["loss"] / 100


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path):
    train(CONFIG, Line(), batches, tmp_path / "whole", quiet=True)

    def until_70(step: int) -> Tensor:
        if step == 70:
            raise KeyboardInterrupt
        return batches(step)

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, Line(), until_70, tmp_path / "cut", quiet=True)
    assert json.loads((tmp_path / "cut" / "progress.json").read_text())["step"] == 70
    train(CONFIG, Line(), batches, tmp_path / "cut", quiet=True)
    for name, value in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weights(tmp_path / "cut")[name], value, atol=0, rtol=0)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path):
    def broken(step: int) -> Tensor:
        return batches(step) * (float("nan") if step == 50 else 1.0)

    with pytest.raises(ValueError, match=r"loss is nan at step 50.*lower learning rate"):
        train(CONFIG, Line(), broken, tmp_path, quiet=True)
    assert json.loads((tmp_path / "progress.json").read_text())["step"] == 40
    assert torch.isfinite(weights(tmp_path)["weight"]).all()


def test_running_a_finished_run_again_changes_nothing(tmp_path: Path):
    train(CONFIG, Line(), batches, tmp_path, quiet=True)
    before = weights(tmp_path)
    train(CONFIG, Line(), batches, tmp_path, quiet=True)
    assert all(torch.equal(before[k], v) for k, v in weights(tmp_path).items())


def test_learning_rate_rises_then_falls_and_is_never_zero():
    rates = [learning_rate(CONFIG, step) for step in range(CONFIG.steps)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(CONFIG.lr)
    assert rates.index(max(rates)) in (4, 5)
    assert rates[-1] == pytest.approx(CONFIG.lr * CONFIG.final_lr, rel=0.05)
