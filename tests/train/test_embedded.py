"""The embedded model's recipe, end to end on a handful of frames: every stage runs and ends in a folder that loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentdepth.models.diffusion import load_diffusion
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor
from latentdepth.train import embedded


def test_all_stages(frames: Path, tmp_path: Path):
    build = embedded.Build("vae", photos=frames, frames=frames, out=tmp_path / "run", steps=2, batch=2, views=1)
    embedded.train_vae(build)
    embedded.train_prior(build)
    embedded.train_depth(build)
    embedded.assemble(build)
    folder = tmp_path / "run" / "model"
    stored = sum(p.stat().st_size for p in folder.rglob("*.safetensors"))
    assert stored < 32e6  # what may lie in the package
    model = load_diffusion(folder, device=torch.device("cpu"), dtype=torch.float32)
    assert model.facts.modality == "disparity"
    prediction = DiffusionPredictor(model, "fresh")(torch.rand(1, 3, 48, 64), PredictOptions(members=2))
    assert bool(torch.isfinite(prediction.value).all())
    assert str(prediction.kind) == "affine-invariant disparity"


def test_stages_say_what_they_miss(tmp_path: Path):
    build = embedded.Build("vae", out=tmp_path)
    with pytest.raises(SystemExit, match="--frames"):
        embedded.train_vae(build)
    with pytest.raises(SystemExit, match="--photos"):
        embedded.train_prior(replace(build, stage="prior"))
