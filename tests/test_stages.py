"""Stages in as many rows as memory takes, and latents without decoding."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from latentdepth.models.diffusion import load_diffusion
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor
from latentdepth.stages import Room

_MORE_THAN_THERE_IS = 2**50


def refuse_above(rows: int, x: Tensor) -> Tensor:
    """``x``; really runs out of memory for more rows than ``rows``."""
    return torch.empty(_MORE_THAN_THERE_IS, dtype=torch.uint8) if len(x) > rows else x


@pytest.fixture
def predictor(tiny_folder: Path) -> DiffusionPredictor:
    model = load_diffusion(tiny_folder, device=torch.device("cpu"), dtype=torch.float32)
    return DiffusionPredictor(model.freeze(), "tiny")


@pytest.fixture
def photo() -> Tensor:
    return torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))


def test_rows_are_halved_until_they_fit_and_stay_so():
    seen: list[int] = []

    def stage(x: Tensor, y: Tensor) -> Tensor:
        refuse_above(2, x)
        seen.append(len(x))
        return x + y

    room, x = Room(7), torch.arange(7.0)
    with pytest.warns(UserWarning, match="out of memory with") as told:
        torch.testing.assert_close(room(stage, x, 10 * x), 11 * x, atol=0, rtol=0)
    assert [str(one.message)[:36] for one in told] == [
        "out of memory with 7 at once: going ",
        "out of memory with 3 at once: going ",
    ]
    assert (room.rows, seen) == (1, [1] * 7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        room(stage, x, x)


def test_one_row_too_many_and_other_errors_are_errors():
    with pytest.raises(MemoryError, match="--resolution"):
        Room(1)(lambda x: refuse_above(0, x), torch.zeros(1))
    with pytest.raises(RuntimeError, match="shape"):
        Room(4)(lambda x: x.view(3, 3), torch.zeros(4))


def test_a_prediction_that_runs_out_of_memory_is_the_same(predictor: DiffusionPredictor, photo: Tensor):
    wanted = predictor(photo, PredictOptions(steps=2, members=4, batch=1))
    decoder_in = predictor.model.vae.decoder.conv_in
    hook = decoder_in.register_forward_pre_hook(lambda _, given: (refuse_above(1, given[0]),))
    with pytest.warns(UserWarning, match="out of memory with . at once: going on with") as told:
        found = predictor(photo, PredictOptions(steps=2, members=4, batch=4))
    hook.remove()
    assert len(told) == 2  # 4 to 2 and 2 to 1
    # convolutions of four rows and of one may add up in another order, and merging stretches a random network's range
    torch.testing.assert_close(found.value, wanted.value, atol=2e-4, rtol=0)


def test_a_latent_is_had_without_decoding(predictor: DiffusionPredictor, photo: Tensor):
    decoded: list[int] = []
    hook = predictor.model.vae.decoder.conv_in.register_forward_hook(lambda *_: decoded.append(1))
    options = PredictOptions(steps=2, members=3, resolution=32)
    mean, spread = predictor.latent(photo, options)
    assert not decoded
    hook.remove()
    model = predictor.model
    with torch.inference_mode():
        single = PredictOptions(steps=2, resolution=32)
        value = predictor.modality.from_decoded(model.decode(predictor.latent(photo, single)[0]))
        torch.testing.assert_close(value, predictor(photo, single).value, atol=0, rtol=0)
    assert mean.shape == (1, 4, 12, 16)
    assert spread.shape == (1, 1, 12, 16)
    assert float(spread.min()) > 0
    assert float(predictor.latent(photo, PredictOptions(resolution=32))[1].abs().max()) == 0
    with pytest.raises(ValueError, match="judged by decoded maps"):
        predictor.latent(photo, PredictOptions(members="auto"))
