"""Pieces of images: which pixels count, and what the others hold."""

from __future__ import annotations

from typing import Any

import jaxtyping
import pytest
import torch

from latentdepth.core import pixels
from latentdepth.core.align import fit_depth, fit_disparity
from latentdepth.core.pixels import Piece, Pixels, check_one_size, slices


def image(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prediction, truth and mask [1 5 7], with every kind of value that can be wrong."""
    generator = torch.Generator().manual_seed(seed)
    prediction, truth = torch.rand(2, 1, 5, 7, generator=generator) + 0.5
    truth[0, 0, :5] = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -2.0])
    prediction[0, 1, :3] = torch.tensor([torch.nan, torch.inf, -1.0])
    return prediction, truth, torch.rand(1, 5, 7, generator=generator) > 0.3


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("size", [4, 35, 1000])
def test_what_counts(
    dtype: torch.dtype, positive: bool, finite: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_PIECE", size)
    prediction, truth, valid = image()
    prediction, truth = prediction.to(dtype), truth.to(dtype)
    before = prediction.clone(), truth.clone()
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    kept_p, kept_g = [], []

    def look(piece: Piece) -> torch.Tensor:
        assert piece.prediction.dtype == piece.truth.dtype == piece.counts.dtype == wide
        counts = piece.counts > 0
        assert piece.number == int(counts.sum()) > 0
        for values in (piece.prediction, piece.truth):
            assert (values[~counts] == 1).all()
        kept_p.append(piece.prediction[counts])
        kept_g.append(piece.truth[counts])
        return torch.tensor([float(piece.number)])

    everything = Pixels(prediction, truth, valid, positive_truth=positive, finite_prediction=finite)
    assert int(everything.table(look).sum()) == sum(len(kept) for kept in kept_p)
    first = everything.first()
    assert first is not None
    torch.testing.assert_close(first.truth[first.counts > 0], kept_g[0], rtol=0, atol=0)
    expected = valid & truth.isfinite()
    expected &= (truth > 0) if positive else True
    expected &= prediction.isfinite() if finite else True
    torch.testing.assert_close(torch.cat(kept_p), prediction[expected].to(wide), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(torch.cat(kept_g), truth[expected].to(wide), rtol=0, atol=0)
    torch.testing.assert_close((prediction, truth), before, rtol=0, atol=0, equal_nan=True)


def test_pieces_of_nothing() -> None:
    prediction, truth, valid = image()
    assert Pixels(prediction, truth, valid & False, positive_truth=True, finite_prediction=True).first() is None
    assert slices(0, torch.device("cpu")) == []
    assert slices(3, torch.device("cpu")) == [slice(0, 3)]


@pytest.mark.parametrize("fit", [fit_depth, fit_disparity])
def test_fits_of_many_pieces_equal_those_of_one(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    prediction = 1000 + torch.rand(2, 1, 20, 30, generator=generator).double()  # a large offset
    truth = 2 + 5 * torch.rand(2, 1, 20, 30, generator=generator).double()
    valid = torch.rand(truth.shape, generator=generator) > 0.5
    valid[:, :, :3] = False  # the first pieces hold nothing
    whole = fit(prediction, truth, valid)[1]
    monkeypatch.setattr(pixels, "_PIECE", 32)
    parts = fit(prediction, truth, valid)[1]
    # Centred about another piece's mean; the offset is 3,500 spreads, so 7 of 16 digits could go uncentred.
    torch.testing.assert_close(parts.scale, whole.scale, rtol=1e-11, atol=0)
    torch.testing.assert_close(parts.shift, whole.shift, rtol=1e-11, atol=0)


def test_sizes_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    z = torch.ones(1, 1, 3, 4)
    check_one_size(z, z, z > 0)
    with pytest.raises(ValueError, match="resize the prediction"):
        check_one_size(z, z[..., 1:], z > 0)
    with pytest.raises(ValueError, match="n x 1 x h x w"):
        check_one_size(z[0], z[0], z[0] > 0)
