"""Extra figures of frames whose edges, points and doubts are known."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from latentdepth.core.types import METRIC_DEPTH, Camera, Invariance, Kind, Prediction, Quantity
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.sample import Sample
from latentdepth.evaluate.extra import EXTRA, gradient_magnitude
from latentdepth.evaluate.figures import FIGURES
from latentdepth.evaluate.options import ExtraName
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.score import Scored, score

H, W = 32, 40
FACTS = Facts("here", "Here", "depth", None, 1e-3, 80.0, None, "", "")


def step(column: int) -> torch.Tensor:
    """2 m to the left of ``column``, 3 m at it, so that the edge has a middle, and 4 m to the right."""
    return (3 + torch.sign(torch.arange(W) - column).float()).expand(1, H, W).contiguous()


def sample(camera: Camera | None = None, valid: torch.Tensor | None = None) -> Sample:
    known = torch.ones(1, H, W, dtype=torch.bool) if valid is None else valid
    return Sample(torch.zeros(3, H, W), step(20), known, camera=camera)


def measured(depth_m: torch.Tensor, extra: list[str], **about: torch.Tensor | Camera | None) -> Scored:
    uncertainty = about.pop("uncertainty", None)
    assert uncertainty is None or isinstance(uncertainty, torch.Tensor)
    prediction = Prediction(depth_m[None], METRIC_DEPTH, uncertainty)
    return score(prediction, sample(**about), FACTS, PROTOCOLS["metric"], extra=extra)  # pyright: ignore[reportArgumentType]


def test_every_word_of_the_command_line_has_its_figures() -> None:
    assert get_args(ExtraName) == tuple(EXTRA)
    assert {figure for figures in EXTRA.values() for figure in figures} <= set(FIGURES)
    with pytest.raises(ValueError, match="there is no extra figure 'sharpness'; allowed are boundary_f1, edges"):
        measured(step(20), ["sharpness"])


def test_edges_in_their_place_and_three_pixels_off() -> None:
    right = measured(step(20), ["boundary_f1", "edges"]).figures
    # Depth Pro averages over four directions, and an upright step is a boundary in one of them
    assert (right["boundary_f1"], right["edge_accuracy_px"], right["edge_completeness_px"]) == (0.25, 0.0, 0.0)
    off = measured(step(23), ["boundary_f1", "edges"]).figures
    assert (off["boundary_f1"], off["edge_accuracy_px"], off["edge_completeness_px"]) == (0.0, 3.0, 3.0)


def test_scattered_truth_has_no_edges() -> None:
    valid = torch.zeros(1, H, W, dtype=torch.bool)
    valid[:, ::2, ::2] = True
    figures = measured(step(20), ["boundary_f1", "edges"], valid=valid).figures
    assert all(math.isnan(figures[name]) for name in (*EXTRA["boundary_f1"], *EXTRA["edges"]))
    assert figures["abs_rel"] == 0


def test_points_two_centimetres_off_and_thirty() -> None:
    camera = Camera.from_focal(1000.0, W, H)  # narrow, so that pixels lie a few millimetres apart
    near = measured(step(20) + 0.02, ["cloud"], camera=camera).figures
    # along the ray through a pixel at most 26 from the middle of 1000, depth and distance differ by 0.04 %
    assert near["chamfer_m"] == pytest.approx(0.02, rel=1e-3)
    assert near["f_score"] == 1.0
    far = measured(step(20) + 0.3, ["cloud"], camera=camera).figures
    assert far["chamfer_m"] == pytest.approx(0.3, rel=1e-3)
    assert far["f_score"] == 0.0
    assert math.isnan(measured(step(20), ["cloud"]).figures["chamfer_m"])  # no camera


@pytest.mark.parametrize("quantity", [Quantity.DEPTH, Quantity.DISPARITY, Quantity.LOG_DEPTH])
def test_doubt_where_the_error_is_ranks_it_perfectly(quantity: Quantity) -> None:
    truth = torch.linspace(1, 9, H * W).view(1, 1, H, W)
    share = torch.linspace(0.0, 0.2, H * W)[torch.randperm(H * W, generator=torch.Generator().manual_seed(0))]
    predicted = truth * (1 + share.view(1, 1, H, W))
    value, slope = {
        Quantity.DEPTH: (predicted, torch.ones(())),
        Quantity.DISPARITY: (1 / predicted, 1 / predicted**2),
        Quantity.LOG_DEPTH: (predicted.log(), 1 / predicted),
    }[quantity]
    kind = Kind(quantity, Invariance.METRIC)
    frame = Sample(torch.zeros(3, H, W), truth[0], torch.ones(1, H, W, dtype=torch.bool))

    def ause(depth_error: torch.Tensor) -> Scored:
        doubt = Prediction(value, kind, depth_error * slope)  # an error of depth, in the unit of the value
        return score(doubt, frame, FACTS, PROTOCOLS["metric"], extra=["ause"])

    honest = ause((predicted - truth) * truth / truth).figures
    constant = ause(predicted).figures  # the same share of depth everywhere
    # shares of the prediction rank as shares of the truth do: p / g rises with (p - g) / p
    assert honest["ause"] == pytest.approx(0, abs=1e-6)
    assert honest["aurg"] > 0.3
    assert constant["aurg"] == pytest.approx(0, abs=0.02)
    alone = score(Prediction(value, kind), frame, FACTS, PROTOCOLS["metric"], extra=["ause"])
    assert math.isnan(alone.figures["ause"])


def test_a_fault_has_the_extra_figures_as_nan() -> None:
    figures = measured(step(20)[..., 1:], ["edges", "cloud"]).figures
    assert set(EXTRA["edges"]) | set(EXTRA["cloud"]) <= set(figures)
    assert all(math.isnan(value) for value in figures.values())


def test_the_control_doubts_the_edges_of_the_photo() -> None:
    """A photo with one edge where the error is: doubting it is as good as the truth, elsewhere worse than chance."""
    truth = step(20)
    wrong = truth.clone()
    wrong[:, :, 8:12] *= 1.5
    at, away = (torch.zeros(3, H, W) for _ in range(2))
    at[:, :, 8:12] = torch.rand(3, H, 4, generator=torch.Generator().manual_seed(0))
    away[:, :, 28:32] = torch.rand(3, H, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for image in (at, away):
        seen = Sample(image, truth, torch.ones(1, H, W, dtype=torch.bool))
        scored = score(Prediction(wrong[None], METRIC_DEPTH), seen, FACTS, PROTOCOLS["metric"], extra=["ause"])
        assert math.isnan(scored.figures["ause"])  # no ensemble
        found.append(scored.figures["ause_gradient"])
    # the gradient of columns 8 to 11 reaches one column further on either side, which costs a little
    assert 0 <= found[0] < 0.1
    assert found[1] > 0.5


def test_gradients_of_a_ramp_are_its_slope() -> None:
    row, column = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
    image = (0.03 * column + 0.04 * row).expand(1, 3, 6, 9)
    inside = gradient_magnitude(image)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.05))
