"""Lines and pictures of a run; lines after the checkpoint, or cut off by a kill, are forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.train.logs import RunLog, Window
from latentdepth.train.loop_config import LogConfig


def test_a_resumed_log_has_each_step_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    def open_at(step: int) -> RunLog:
        return RunLog(LogConfig(tensorboard=False), tmp_path, step=step, steps=40, quiet=False)

    with open_at(0) as log:
        for step in (10, 20, 30):
            log.numbers(step, {"loss": 1.23456789 / step})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 40, "lo')
    with open_at(20) as log:
        log.numbers(30, {"loss": 7.0}, kind="validation")
        log.advance(30)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [("train", 10), ("train", 20), ("validation", 30)]
    assert lines[0]["loss"] == 0.123457
    said = capfd.readouterr().err
    assert "train step 20/40  loss 0.06173" in said
    assert "a line cut off by a kill is dropped" in said


def test_pictures_are_saved_as_they_are(tmp_path: Path):
    picture = torch.rand(3, 5, 7)
    with RunLog(LogConfig(tensorboard=True), tmp_path, step=0, steps=1, quiet=True) as log:
        path = log.picture(3, picture)
    with Image.open(path) as png:
        pixels = torch.from_numpy(np.array(png)).permute(2, 0, 1) / 255
    torch.testing.assert_close(pixels, picture, atol=0.5 / 255 + 1e-6, rtol=0)  # 8 bits
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 1


def test_figures_are_averaged_and_time_aside_does_not_count(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def pass_time(seconds: float) -> None:
        clock[0] += seconds

    window = Window()
    for loss in (1.0, 3.0):
        with window.waiting():
            pass_time(1)
        pass_time(3)
        window.add({"loss": loss})
    window.aside(lambda: pass_time(100))()
    assert window.close() == {"loss": 2.0, "seconds_per_step": 4.0, "waiting_share": 0.25}
    window.add({"loss": 5.0})
    pass_time(2)
    assert window.close() == {"loss": 5.0, "seconds_per_step": 2.0, "waiting_share": 0.0}
