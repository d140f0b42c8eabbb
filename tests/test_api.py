"""The Python door: lazy names, one call, and results that are saved."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import latentdepth


def test_importing_the_package_does_not_import_torch():
    code = "import sys, latentdepth; sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_resolves():
    assert all(getattr(latentdepth, name) is not None for name in latentdepth.__all__)
    with pytest.raises(AttributeError, match="it has Camera"):
        latentdepth.nothing  # noqa: B018  (the lookup is the test)


def test_predict_is_still_the_function_after_its_modules_were_imported():
    import latentdepth.predictor

    assert callable(latentdepth.predict)


def test_one_call_from_array_to_files(tiny_folder: Path, tmp_path: Path):
    photo = np.random.default_rng(0).integers(0, 255, (30, 44, 3), dtype=np.uint8)
    options = latentdepth.PredictOptions(members=2)
    result = latentdepth.predict(photo, model=f"dir:{tiny_folder}", options=options)
    assert result.value.shape == (30, 44)
    assert result.uncertainty is not None
    assert result.uncertainty.shape == (30, 44)
    files = result.save(tmp_path / "r" / "x", formats=["npy"])
    assert tmp_path / "r" / "x_depth.npy" in files
    np.testing.assert_array_equal(np.load(tmp_path / "r" / "x_depth.npy"), result.value)
    torch.testing.assert_close(latentdepth.read_prediction(tmp_path / "r" / "x").value, result.prediction.value)


def test_a_loaded_predictor_gives_the_same(tiny_folder: Path):
    photo = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    predictor = latentdepth.load(f"dir:{tiny_folder}")
    a = latentdepth.predict(photo, model=predictor).value
    b = latentdepth.predict(photo, model=f"dir:{tiny_folder}").value
    np.testing.assert_array_equal(a, b)
