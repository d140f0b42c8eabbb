"""Tiles against the whole: exactness, fits, seams, wrapping, resuming, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentdepth.core.modality import Modality, depth_like, normals
from latentdepth.core.seams import seam_energy
from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH, NORMALS, Kind, Prediction, Quantity
from latentdepth.loading import load
from latentdepth.models.others.declared import modality_of
from latentdepth.options import PredictOptions, TileMode, TileOptions
from latentdepth.tile_pixels import shrink
from latentdepth.tile_plan import make_plan
from latentdepth.tiling import TiledPredictor, predict_tiled


class Pixelwise:
    """Every value depends on its own pixel alone. ``drift`` adds a scale and a shift that differ from call to call."""

    def __init__(self, kind: Kind = METRIC_DEPTH, *, drift: bool = False, resolution: int = 24) -> None:
        self.modality: Modality = normals() if kind == NORMALS else modality_of(kind)
        self.name, self.drift, self.resolution, self.calls = "pixelwise", drift, resolution, 0
        self._draw = torch.Generator().manual_seed(4)

    def describe(self) -> dict[str, str | int | float | bool]:
        return {"default resolution": self.resolution}

    def __call__(self, images: torch.Tensor, options: PredictOptions | None = None) -> Prediction:
        self.calls += 1
        value = (images * images.new_tensor([0.2, 0.7, 0.1])[:, None, None]).sum(1, keepdim=True) ** 2
        if self.modality.kind == NORMALS:
            value = torch.nn.functional.normalize(images - 0.45, dim=1)
        if self.drift:
            scale, shift = torch.rand(2, generator=self._draw).tolist()
            value = value * (0.3 + scale) + shift
        return Prediction(value=value, kind=self.modality.kind, uncertainty=None)


def photo(height: int = 60, width: int = 90, seed: int = 0) -> torch.Tensor:
    """Smooth, with an edge: what a coarse map can tell of it is worth fitting to."""
    draw = torch.Generator().manual_seed(seed)
    rough = torch.rand(1, 3, 5, 7, generator=draw)
    image = torch.nn.functional.interpolate(rough, (height, width), mode="bicubic").clamp(0.05, 0.95)
    image[..., width // 3 :] *= 0.6
    return image


MODES: list[TileMode] = ["grid", "shifted", "random"]


@pytest.mark.parametrize("tiles", MODES)
@pytest.mark.parametrize("wrap", ["none", "x", "both"])
def test_a_pixelwise_predictor_tiled_equals_whole_exactly(tiles: TileMode, wrap: str):
    image, predictor = photo(), Pixelwise()
    options = TileOptions(tiles=tiles, tile_overlap=0.3, wrap=wrap)  # pyright: ignore[reportArgumentType]
    found = predict_tiled(predictor, image, tiles=options)
    assert torch.equal(found.value, predictor(image).value)
    assert found.kind == METRIC_DEPTH
    assert found.made_with["tile_size"] == 24
    assert found.made_with["tiles_left_out"] == 0


def test_normals_tiled_equal_whole():
    image, predictor = photo(), Pixelwise(NORMALS)
    found = predict_tiled(predictor, image, tiles=TileOptions(tiles="grid"))
    torch.testing.assert_close(found.value, predictor(image).value, atol=1e-6, rtol=0)  # renormalised: an ulp or two


@pytest.mark.parametrize("tiles", MODES)
def test_random_scale_and_shift_of_every_tile_leave_no_seams(tiles: TileMode):
    image, predictor = photo(), Pixelwise(AFFINE_DISPARITY, drift=True)
    options = TileOptions(tiles=tiles, tile_overlap=0.3)
    found = predict_tiled(predictor, image, tiles=options)
    whole = Pixelwise()(image).value
    design = torch.stack((found.value.flatten(), torch.ones(whole.numel())), 1).double()
    line = torch.linalg.lstsq(design, whole.flatten().double()[:, None]).solution[:, 0]
    error = (found.value.double() * line[0] + line[1] - whole).abs()
    # the coarse map is a resized one, so the fits to it are not exact; values span about 0.6
    assert float(error.max()) < 0.02
    plan = make_plan(image, 24, options, found)
    seams = [seam_energy(value, plan.windows, plan.layout) for value in (found.value, whole)]
    assert seams[0] == pytest.approx(seams[1], rel=0.05)
    assert 0 <= float(found.value.min()) < float(found.value.max()) <= 1


class Astray(Pixelwise):
    """Right about the whole photo; of a tile it knows the detail and adds a slope that isn't there."""

    def __call__(self, images: torch.Tensor, options: PredictOptions | None = None) -> Prediction:
        found = super().__call__(images, options)
        slope = torch.linspace(-0.15, 0.15, images.shape[-1]) * (self.calls > 1)
        return Prediction(value=found.value + slope, kind=found.kind)


def test_slopes_that_only_tiles_see_are_taken_back():
    image = photo(96, 128)
    whole = Pixelwise()(image).value
    found = predict_tiled(Astray(AFFINE_DISPARITY), image, tiles=TileOptions(tiles="grid", tile_size=64)).value
    naive = predict_tiled(Astray(METRIC_DEPTH), image, tiles=TileOptions(tiles="grid", tile_size=64)).value
    design = torch.stack((found.flatten(), torch.ones(whole.numel())), 1).double()
    line = torch.linalg.lstsq(design, whole.flatten().double()[:, None]).solution[:, 0]
    error = (found.double() * line[0] + line[1] - whole).abs().mean()
    assert float(error) < 0.5 * float((naive - whole).abs().mean())


class Blur(Pixelwise):
    """Sees its neighbours, and nothing beyond the border of what it is shown."""

    def __call__(self, images: torch.Tensor, options: PredictOptions | None = None) -> Prediction:
        value = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 5, 1, 2)
        return Prediction(value=value, kind=self.modality.kind)


def test_wrapping_a_rolled_texture_gives_the_rolled_result():
    image = torch.rand(1, 3, 60, 96, generator=torch.Generator().manual_seed(1))
    options = TileOptions(tiles="grid", tile_overlap=1 / 3, wrap="both")
    straight = predict_tiled(Blur(), image, tiles=options).value
    # tiles of 24 x 18 every 16 and 12 pixels: rolled by whole steps the same tiles are seen
    rolled = predict_tiled(Blur(), image.roll((24, -32), (-2, -1)), tiles=options).value
    # the running mean adds the same tiles in another order
    torch.testing.assert_close(rolled, straight.roll((24, -32), (-2, -1)), atol=1e-6, rtol=0)
    cut = predict_tiled(Blur(), image, tiles=TileOptions(tiles="grid", tile_overlap=1 / 3)).value
    assert float((cut - straight).abs()[..., 0].max()) > 0.01


def test_adaptive_looks_only_where_there_is_detail():
    image = torch.full((1, 3, 60, 90), 0.5)
    image[..., 20:40, 60:80] = (
        torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(2)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    )
    predictor = Pixelwise(AFFINE_DISPARITY)
    found = predict_tiled(predictor, image, tiles=TileOptions(tiles="adaptive"))
    every = predict_tiled(Pixelwise(AFFINE_DISPARITY), image, tiles=TileOptions(tiles="grid"))
    assert 0 < int(found.made_with["tile_count"] or 0) < int(every.made_with["tile_count"] or 0)
    assert predictor.calls == 1 + int(found.made_with["tile_count"] or 0)
    assert float(found.value[..., 30, 5:30].std()) < 1e-3  # the coarse map, which is flat there
    assert float(found.value[..., 24:36, 64:76].std()) > 0.05


class Killed(Exception):
    pass


def test_goes_on_after_a_kill(tmp_path: Path):
    image, options, folder = photo(), TileOptions(tiles="grid"), tmp_path / "work"

    def kill(done: int, total: int) -> None:
        if done == 7:
            raise Killed

    with pytest.raises(Killed):
        predict_tiled(Pixelwise(), image, tiles=options, folder=folder, on_tile=kill)
    assert (folder / "journal.txt").read_text().count("\n") == 8
    with (folder / "journal.txt").open("a") as journal:
        journal.write("1")  # a number that the kill cut short: 1 of 12
    again, seen = Pixelwise(), []
    found = predict_tiled(again, image, tiles=options, folder=folder, on_tile=lambda done, total: seen.append(done))
    total = int(found.made_with["tile_count"] or 0)
    assert again.calls == 1 + total - 7
    assert seen[-1] == total
    assert torch.equal(found.value, Pixelwise()(image).value)
    assert not folder.exists()


def test_tiles_of_another_photo_are_not_used(tmp_path: Path):
    folder = tmp_path / "work"

    def kill(done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        predict_tiled(Pixelwise(), photo(seed=1), tiles=TileOptions(tiles="grid"), folder=folder, on_tile=kill)
    found = predict_tiled(Pixelwise(), photo(seed=2), tiles=TileOptions(tiles="grid"), folder=folder)
    assert torch.equal(found.value, Pixelwise()(photo(seed=2)).value)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"holds thesis\.tex"):
        predict_tiled(Pixelwise(), photo(), tiles=TileOptions(tiles="grid"), folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_tile_larger_than_the_photo_is_the_photo():
    image, predictor = photo(20, 30), Pixelwise(resolution=64)
    found = predict_tiled(predictor, image, tiles=TileOptions(tiles="grid", tile_size=500))
    assert found.made_with["tile_count"] == 1
    assert found.value.shape == (1, 1, 20, 30)


@pytest.mark.parametrize("size", [(1, 200), (200, 1), (1, 1), (3, 500)])
@pytest.mark.parametrize("kind", [METRIC_DEPTH, AFFINE_DISPARITY], ids=str)
def test_panoramas_of_a_single_pixel(size: tuple[int, int], kind: Kind):
    image = photo(60, 500)[..., : size[0], : size[1]].contiguous() if size != (200, 1) else photo(200, 3)[..., :1]
    found = predict_tiled(Pixelwise(kind), image, tiles=TileOptions(tiles="shifted"))
    assert found.value.shape == (1, 1, *size)
    assert bool(found.value.isfinite().all())
    if kind == METRIC_DEPTH:
        assert torch.equal(found.value, Pixelwise()(image).value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tiles": "grid", "tile_overlap": 1.0}, r"tile_overlap is 1; allowed is 0 to 0\.9"),
        ({"tiles": "grid", "tile_overlap": -0.5}, r"tile_overlap is -0\.5"),
        ({"tiles": "grid", "tile_size": -64}, "tile_size is -64; allowed is 1 or more"),
        ({"tiles": "grid", "tile_size": 0}, "tile_size is 0; allowed is 1 or more"),
        ({"tiles": "random", "random_tiles": -1}, "random_tiles is -1; allowed is 0 or more"),
        ({"tiles": "grid", "random_tiles": 3}, "random_tiles is given and tiles is grid: give --tiles random"),
        ({"tiles": "grid", "tile_size": 20, "tile_by_context": True}, "both given"),
        ({"wrap": "x"}, "wrap is given and tiles is off: give --tiles grid"),
        ({"tile_overlap": 0.25}, "tile_overlap is given and tiles is off"),
    ],
)
def test_bad_options_are_refused_by_name_when_they_are_made(given: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        TileOptions(**given)


@pytest.mark.parametrize(
    ("given", "tiles", "message"),
    [
        ({"resolution": -5}, "grid", "resolution is -5; allowed is 0 or more"),
        ({"resolution": 0}, "grid", "give tile_size too"),
        ({"match_input": False}, "grid", "match_input is off"),
        ({}, "off", "tiles is off; allowed here are grid"),
    ],
)
def test_options_that_make_no_sense_with_tiles_are_refused(given: dict[str, Any], tiles: TileMode, message: str):
    with pytest.raises(ValueError, match=message):
        predict_tiled(Pixelwise(), photo(), PredictOptions(**given), tiles=TileOptions(tiles=tiles))


def test_resolution_0_sees_tiles_at_their_own_size():
    options = TileOptions(tiles="grid", tile_size=40)
    found = predict_tiled(Pixelwise(), photo(), PredictOptions(resolution=0), tiles=options)
    assert found.made_with["resolution"] == found.made_with["tile_size"] == 40


def test_eight_bits_as_floats():
    counts = (photo() * 255).round().byte()
    as_array = counts[0].permute(1, 2, 0).numpy()
    found = predict_tiled(Pixelwise(), as_array, tiles=TileOptions(tiles="grid", wrap="x"))
    assert torch.equal(found.value, Pixelwise()(counts.float() / 255).value)


def test_shrinking_by_strips_is_shrinking():
    image = torch.rand(1, 3, 700, 90, generator=torch.Generator().manual_seed(3))
    whole = torch.nn.functional.interpolate(image, (33, 17), mode="bilinear", antialias=True)
    torch.testing.assert_close(shrink(image, (33, 17)), whole, atol=1e-6, rtol=0)  # order of sums


def test_a_diffusion_model_in_tiles_with_uncertainty(tiny_folder: Path):
    tiled = TiledPredictor(load(f"dir:{tiny_folder}", device="cpu", dtype="float32"), TileOptions(tiles="grid"))
    found = tiled(torch.cat((photo(70, 100), photo(70, 100, seed=5))), PredictOptions(members=2, resolution=48))
    assert found.value.shape == (2, 1, 70, 100)
    assert found.uncertainty is not None
    assert found.uncertainty.shape == (2, 1, 70, 100)
    assert bool((found.uncertainty >= 0).all())
    assert found.made_with["tiles"] == "grid"
    assert found.made_with["resolution"] == 48
    assert tiled.describe()["tiles"] == "grid"
    assert found.kind == depth_like(Quantity.DEPTH).kind


_MEASURE = """
import resource, sys
import numpy as np, torch
sys.path.insert(0, {here!r})
from test_tiling import Pixelwise
from latentdepth.options import TileOptions
from latentdepth.tiling import predict_tiled
photo = np.memmap({file!r}, np.uint8, "r", shape=(2000, 6000, 3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
predict_tiled(Pixelwise(resolution=500), photo, tiles=TileOptions(tiles="grid", tile_overlap=0.1))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_below_that_of_the_photo_as_floats(tmp_path: Path):
    """12 megapixels: 36 MB as bytes, 144 MB as floats, 48 MB of result. 100 megapixels are measured in benchmarks."""
    file = tmp_path / "photo.raw"
    np.random.default_rng(0).integers(0, 256, 3000 * 4000 * 3, np.uint8).tofile(file)
    script = _MEASURE.format(here=str(Path(__file__).parent), file=str(file))
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    # the result, the mapped photo, the mapped tiles and some strips; the floats alone would not fit
    assert int(said.stdout) * 1024 < 144e6
