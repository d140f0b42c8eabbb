"""Models with layers in 8-bit integers: near torch, apart from every other export, and refused by name."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from latentdepth.loading import load
from latentdepth.options import PredictOptions, Runtime
from latentdepth.runtimes import comparing, exporting
from latentdepth.runtimes.artefact import Artefact, Network, artefact_folder
from latentdepth.runtimes.comparing import fitted_difference, pairs, relative_difference
from latentdepth.runtimes.engine import Quantiser, engine
from latentdepth.runtimes.exporting import export_model
from latentdepth.runtimes.quantising import calibration
from latentdepth.runtimes.traced import DECODE, ENCODE, STEP, WHOLE, Traceable, traceable
from latentdepth.verbs.export import Export, run

pytest.importorskip("openvino")
SIZE = (64, 48)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for i in range(2):
        noise = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((80, 60), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def _small() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    draw = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1)).eval()
    with torch.no_grad():
        for one in network.parameters():
            one.copy_(torch.randn(one.shape, generator=draw) * 0.2)
    return network.requires_grad_(False), (torch.rand((1, 3, 24, 32), generator=draw),)


def _inputs(photo: Float[Tensor, "1 3 h w"], *, every_step: bool = False) -> dict[str, list[tuple[Tensor, ...]]]:
    return {WHOLE: [(photo,)]}


def export(folder: Path, runtime: Runtime, photos: list[Path], *sizes: tuple[int, int]) -> Artefact:
    """As of a student, but of two layers: a real one takes seconds to trace."""
    network = _small()[0]
    traced = Traceable({WHOLE: network}, 2, _inputs, (SIZE,), Network(2, 64, 593, 20.0), affine=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "traceable", lambda model: traced)
        return export_model(folder, runtime, name="small", photos=photos, sizes=sizes)


@pytest.fixture(scope="module")
def student(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported in int8; not to be changed."""
    pytest.importorskip("nncf")
    folder = tmp_path_factory.mktemp("models") / "student"
    folder.mkdir()
    (folder / "config.json").write_text('{"architecture": "latentdepth student"}')
    assert export(folder, "openvino-int8", photos, SIZE).int8 == (WHOLE,)
    return folder


def test_layers_are_in_eight_bits_and_near_torch(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    found = engine("openvino-int8", exports=True)
    assert isinstance(found, Quantiser)
    network, inputs = _small()
    path, made = tmp_path / "small.xml", tmp_path / "int8.xml"
    found.write(network, inputs, path)
    found.quantise(path, [inputs], made)
    off = relative_difference(found.read(made, dtype=torch.float32, cache=None)(*inputs), network(*inputs))
    # the first layer's weights have 7 bits, against overflow: steps of 1/63 of the largest, rounded to half a step at
    # most, are 1 % of a weight, and there are two layers; a graph that was left in float32 is off by 1e-7
    assert 1e-4 < off < 0.05
    assert "FakeQuantize" in made.read_text()
    assert made.with_suffix(".bin").stat().st_size < path.with_suffix(".bin").stat().st_size


def test_what_was_seen_once_is_not_cut_off(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    found = engine("openvino-int8", exports=True)
    assert isinstance(found, Quantiser)
    network, (image,) = _small()
    path, made = tmp_path / "small.xml", tmp_path / "int8.xml"
    found.write(network, (image,), path)
    found.quantise(path, [(image / 10,)] * 9 + [(image,)], made)
    # by the mean of extremes, NNCF's own way, it would end at a fifth of the range and be off by 0.7
    assert relative_difference(found.read(made, dtype=torch.float32, cache=None)(image), network(image)) < 0.05


def test_the_library_s_cores_are_ours() -> None:
    openvino = pytest.importorskip("openvino")
    from latentdepth.runtimes.openvino_engine import one_core

    made = openvino.Core
    with one_core() as core:
        assert openvino.Core() is core
        with one_core() as again:
            assert again is core
        assert openvino.Core() is core
    assert openvino.Core is made


def test_a_student_predicts_in_int8(student: Path) -> None:
    images = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(6))
    said = load(f"dir:{student}", runtime="openvino-int8")(images, PredictOptions(resolution=64))
    assert str(said.made_with["runtime"]).startswith("openvino-int8 ")
    off = relative_difference(said.value, _small()[0](images))
    assert 1e-4 < off < comparing.ALLOWED_INT8  # near, and not the network in float32


def test_it_is_never_taken_for_another_export(student: Path, photos: list[Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(student, tmp_path / "student"))
    with pytest.raises(ValueError, match=r"not exported for openvino .*type `latentdepth export dir:"):
        load(f"dir:{folder}", runtime="openvino")
    export(folder, "openvino", photos, SIZE)
    images = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(6))
    wanted = _small()[0](images)
    for turn in range(2):  # compiled, then from what is kept of that
        plain, int8 = (
            load(f"dir:{folder}", runtime=runtime, dtype="float32")(images, PredictOptions(resolution=64)).value
            for runtime in ("openvino", "openvino-int8")
        )
        assert relative_difference(plain, wanted) < 1e-5, turn
        assert relative_difference(int8, wanted) > 1e-4, turn
    for suffix in (".xml", ".bin"):  # one's graph in the other's folder
        file = f"{WHOLE}{suffix}"
        shutil.copy(artefact_folder(folder, "openvino-int8") / file, artefact_folder(folder, "openvino") / file)
    with pytest.raises(ValueError, match="missing or cut off"):
        load(f"dir:{folder}", runtime="openvino")


def test_changed_weights_make_it_stale(student: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(student, tmp_path / "student"))
    (folder / "config.json").write_text('{"architecture": "latentdepth student", "width": 8}')
    with pytest.raises(ValueError, match=r"stale: .*type `latentdepth export dir:.* --runtime openvino-int8 --over"):
        load(f"dir:{folder}", runtime="openvino-int8")


def test_sizes_are_added_without_calibrating_again(student: Path, photos: list[Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(student, tmp_path / "student"))
    graph = artefact_folder(folder, "openvino-int8") / f"{WHOLE}.bin"
    before = graph.read_bytes()
    artefact = export(folder, "openvino-int8", photos, (96, 64))
    assert artefact.sizes == (SIZE, (96, 64))
    assert {one.allowed for one in artefact.checks} == {comparing.ALLOWED_INT8}
    assert len(artefact.checks) == 2 * len(photos) * len(engine("openvino").dtypes)  # on every photo
    assert graph.read_bytes() == before


def test_nothing_is_left_where_no_stage_holds(
    student: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(student, tmp_path / "student", ignore=shutil.ignore_patterns("runtimes")))
    monkeypatch.setattr(comparing, "ALLOWED_INT8", 1e-6)
    with pytest.raises(ValueError, match=r"no other stage holds .*Nothing was exported: take --runtime openvino, or"):
        export(folder, "openvino-int8", photos, SIZE)
    assert not list((folder / "runtimes").iterdir())


@pytest.mark.slow
def test_stages_that_don_t_hold_stay_as_they_are(
    tiny_folder: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))
    loose = export_model(folder, "openvino-int8", name="tiny", photos=photos, sizes=[SIZE])
    worst = {s: max(one.difference for one in (*loose.checks, *loose.missed) if one.stage == s) for s in (ENCODE, STEP)}
    between = (worst[ENCODE] + worst[STEP]) / 2
    monkeypatch.setattr(comparing, "ALLOWED_INT8", between)
    found = export_model(folder, "openvino-int8", name="tiny", photos=photos, sizes=[SIZE], overwrite=True)
    kept, left = sorted((ENCODE, STEP), key=worst.__getitem__)
    assert kept in found.int8
    assert left not in found.int8
    assert left in [one.stage for one in found.missed]
    said = {one.stage: one.dtype for one in found.checks}
    assert said[kept].startswith("int8+")
    assert not said[left].startswith("int8+")
    assert (
        load(f"dir:{folder}", runtime="openvino-int8")(torch.rand(1, 3, 48, 64), PredictOptions())
        .value.isfinite()
        .all()
    )


def test_stages_are_calibrated_at_every_step_of_the_sampler(tiny_folder: Path) -> None:
    traced = traceable(tiny_folder)
    photo = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(2))
    first, every = traced.inputs(photo), traced.inputs(photo, every_step=True)
    assert {stage: len(rows) for stage, rows in first.items()} == {ENCODE: 1, STEP: 1, DECODE: 1}
    # one jump, and the four steps of trailing spacing a U-Net may meet at least
    assert [int(t) for _, t in every[STEP]] == [999, 999, 749, 499, 249]
    assert len(every[DECODE]) == 2
    for row, same in zip(first[STEP][0], every[STEP][0], strict=True):
        assert torch.equal(row, same)


def test_a_large_folder_is_calibrated_on_in_part(photos: list[Path]) -> None:
    traced = Traceable({WHOLE: _small()[0]}, 2, _inputs, (SIZE,), Network(2, 64, 593, 20.0), affine=False)
    assert len(calibration(traced, [(8, 6)], photos * 60)[WHOLE]) == 60  # each second of 120
    assert len(calibration(traced, [(8, 6), (6, 8), (8, 8)], photos)[WHOLE]) == 3  # each size, though photos are fewer


def test_scale_and_shift_are_no_difference_of_an_answer_that_has_none() -> None:
    wanted = torch.tensor([100.0, 101.0, 103.0, 104.0])
    assert fitted_difference(wanted * 3 - 70, wanted) == pytest.approx(0, abs=1e-6)
    assert fitted_difference(-wanted, wanted) == pytest.approx(1)  # near and far swapped
    assert fitted_difference(torch.zeros(4), wanted) == pytest.approx(1)  # flat
    # wanted about its mean is (-2, -1, 1, 2), and this is at right angles to it and to a shift: nothing of it fits
    across = torch.tensor([1.0, -2.0, 2.0, -1.0])
    assert fitted_difference(wanted + across / 10, wanted) == pytest.approx(0.1 / (1 + 0.1**2) ** 0.5, rel=1e-3)
    assert math.isnan(fitted_difference(torch.tensor([1.0, math.nan]), wanted[:2]))


def test_every_photo_and_every_size_has_its_turn() -> None:
    photos, sizes = [Path("a"), Path("b"), Path("c")], [(1, 2), (2, 1)]
    assert pairs(sizes, photos, every_photo=True) == [(photos[0], (1, 2)), (photos[1], (2, 1)), (photos[2], (1, 2))]
    assert pairs(sizes, photos, every_photo=False) == [(photos[0], (1, 2)), (photos[1], (2, 1))]
    assert pairs(sizes, photos[:1], every_photo=True) == [(photos[0], (1, 2)), (photos[0], (2, 1))]
    assert pairs([], photos, every_photo=True) == []


def test_without_nncf_it_says_what_to_type_and_still_predicts(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)  # how Python marks a module that can't be imported
    with pytest.raises(ValueError, match=r'library nncf is not installed: pip install "latentdepth\[openvino-int8\]"'):
        engine("openvino-int8", exports=True)
    load(f"dir:{student}", runtime="openvino-int8")


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_other_runtimes_take_nothing_to_calibrate_on(runtime: str) -> None:
    with pytest.raises(
        ValueError, match=rf"calibrate is given and runtime is {runtime}, .*give --runtime openvino-int8"
    ):
        run(Export("dir:model", runtime=runtime, calibrate=("photos",)))  # pyright: ignore[reportArgumentType]


def test_a_folder_without_photos_to_calibrate_on(student: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no photos in .*; read are"):
        run(Export(f"dir:{student}", runtime="openvino-int8", calibrate=(str(tmp_path),)))
