"""Models on OpenVINO and ONNX Runtime: every stage beside torch, and what doesn't fit is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.student import Student, StudentFacts
from latentdepth.options import PredictOptions, Runtime
from latentdepth.runtimes.artefact import Check, artefact_folder
from latentdepth.runtimes.comparing import relative_difference
from latentdepth.runtimes.engine import engine
from latentdepth.runtimes.exporting import Progress, export_model
from latentdepth.runtimes.predicting import ExportedDiffusion, load_exported

ENGINES: tuple[Runtime, ...] = ("openvino", "onnx")
LIBRARY = {"openvino": ("openvino",), "onnx": ("onnx", "onnxruntime")}
SIZE = (64, 48)
OTHER_SIZE = (36, 60)  # its latent doesn't halve evenly, as that of SIZE does


def needs(runtime: Runtime) -> None:
    for library in LIBRARY[runtime]:
        pytest.importorskip(library)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((80, 60), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module", params=ENGINES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    needs(request.param)
    return request.param


@pytest.fixture(scope="module")
def kept(runtime: Runtime, tiny_folder: Path, photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, exported at two sizes; not to be changed."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("exported") / "tiny"))
    export_model(folder, runtime, name=f"dir:{folder}", photos=[photo], sizes=[SIZE, OTHER_SIZE])
    return folder


@pytest.fixture
def exported(kept: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(kept, tmp_path / "tiny"))


@pytest.mark.parametrize("size", [SIZE, OTHER_SIZE])
def test_every_stage_says_what_torch_says(kept: Path, runtime: Runtime, size: tuple[int, int]) -> None:
    here = load_exported(kept, runtime, dtype="float32", name="tiny")
    assert isinstance(here, ExportedDiffusion)
    there = load_diffusion(kept, device=torch.device("cpu"), dtype=torch.float32)
    draw = torch.Generator().manual_seed(3)
    width, height = size
    images = torch.rand((2, 3, height, width), generator=draw) * 2 - 1
    with torch.inference_mode():
        latent = there.encode(images)
        noise = torch.randn(latent.shape, generator=draw)
        t = torch.tensor([999, 500])
        clean = there.x0(noise, t, latent)
        # float32 both times; what is left is the order of sums
        assert relative_difference(here.encode(images), latent) < 1e-5
        assert relative_difference(here.x0(noise, t, latent), clean) < 1e-5
        assert relative_difference(here.decode(clean), there.decode(clean)) < 1e-5


def test_a_prediction_is_the_same_in_float32_and_near_in_bfloat16(kept: Path, runtime: Runtime, photo: Path) -> None:
    images = torch.rand((1, 3, 60, 80), generator=torch.Generator().manual_seed(4))
    options = PredictOptions(members=2, steps=2)
    wanted = load(f"dir:{kept}", dtype="float32")(images, options)
    said = load(f"dir:{kept}", dtype="float32", runtime=runtime)(images, options)
    assert said.uncertainty is not None
    assert (said.value - wanted.value).abs().max() < 1e-4  # of a range of 1
    assert said.kind == wanted.kind
    fast = load(f"dir:{kept}", runtime=runtime)(images, options)
    assert fast.made_with["dtype"] in ("bfloat16", "float32")
    # bfloat16's roundings through a random network of some 60 layers; numbers of another precision are 50 % off
    assert relative_difference(fast.value, wanted.value) < 0.08


def test_what_is_compiled_for_one_precision_is_not_taken_for_another(exported: Path, tmp_path: Path) -> None:
    found = engine("openvino") if (exported / "runtimes" / "openvino").is_dir() else pytest.skip("compiles nothing")
    path = artefact_folder(exported, "openvino") / "decode.xml"
    latent = torch.randn((1, 4, 24, 32), generator=torch.Generator().manual_seed(7))
    wanted = found.read(path, dtype=torch.float32, cache=None)(latent)
    for dtype in (*found.dtypes, *reversed(found.dtypes)):  # each compiled, then each from what is kept
        assert relative_difference(found.read(path, dtype=dtype, cache=tmp_path)(latent), wanted) < 0.08


def test_rows_don_t_depend_on_their_batch(kept: Path, runtime: Runtime) -> None:
    here = load_exported(kept, runtime, dtype="auto", name="tiny")
    assert isinstance(here, DiffusionModel)
    images = torch.rand((3, 3, SIZE[1], SIZE[0]), generator=torch.Generator().manual_seed(5))
    together = here.encode(images)
    assert torch.equal(together[1:2], here.encode(images[1:2]))


def test_a_size_that_was_not_exported_is_refused_and_can_be_added(
    exported: Path, runtime: Runtime, photo: Path
) -> None:
    images = torch.zeros((1, 3, 64, 64))
    with pytest.raises(ValueError, match=r"size is 64x64 .* at 64x48, 36x60: type `latentdepth export .*--size 64x64`"):
        load(f"dir:{exported}", runtime=runtime)(images, PredictOptions())
    written: list[str] = []
    export_model(
        exported, runtime, name="tiny", photos=[photo], sizes=[(64, 64)], progress=Progress(wrote=written.append)
    )
    assert written == []  # the graphs are good for it; only the comparison was missing
    assert load(f"dir:{exported}", runtime=runtime)(images, PredictOptions()).value.shape == (1, 1, 64, 64)


def test_changed_weights_make_it_stale(exported: Path, runtime: Runtime) -> None:
    path = exported / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    (exported / "adaptive.json").write_text("{}")  # says nothing of the networks
    load_exported(exported, runtime, dtype="auto", name="tiny")
    save_file(weights | {name: weights[name] + 1e-3}, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"stale: the model's weights .* type `latentdepth export tiny .*--overwrite`"):
        load_exported(exported, runtime, dtype="auto", name="tiny")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("processor", {"machine": "s390x", "features": ["vx"]}, r"another processor \(s390x with vx\)"),
        ("version", "0.0.1", r"checked with \w+ 0\.0\.1, here is"),
        ("format", 99, "format 99"),
        ("size_bytes", 1, "missing or cut off"),
        ("checks", "all", "checks is 'all'"),
    ],
)
def test_an_export_that_does_not_fit_is_refused(
    exported: Path, runtime: Runtime, key: str, value: object, said: str
) -> None:
    path = artefact_folder(exported, runtime) / "artefact.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=said + r".*type `latentdepth export tiny --runtime \w+ --overwrite`"):
        load_exported(exported, runtime, dtype="auto", name="tiny")


def test_a_damaged_graph_is_named(exported: Path, runtime: Runtime) -> None:
    folder = artefact_folder(exported, runtime)
    path = next(path for path in folder.glob("step.*") if path.suffix in (".xml", ".onnx"))
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(ValueError, match=r"step\.\w+ can't be read .*export the model again"):
        load_exported(exported, runtime, dtype="auto", name="tiny")


def test_without_an_export_it_says_what_to_type(tiny_folder: Path, runtime: Runtime) -> None:
    with pytest.raises(ValueError, match=rf"not exported for {runtime} .*type `latentdepth export dir:.* --runtime"):
        load(f"dir:{tiny_folder}", runtime=runtime)


def test_devices_and_dtypes_that_it_lacks(kept: Path, runtime: Runtime) -> None:
    with pytest.raises(ValueError, match="device is cuda and runtime"):
        load(f"dir:{kept}", runtime=runtime, device="cuda")
    with pytest.raises(ValueError, match=rf"dtype is float16; {runtime} computes on this processor in"):
        load(f"dir:{kept}", runtime=runtime, dtype="float16")


def test_broken_weights_are_never_exported(tiny_folder: Path, runtime: Runtime, photo: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "broken"))
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"conv_in\.weight holds NaN or infinity"):
        export_model(folder, runtime, name="broken", photos=[photo], sizes=[SIZE])
    assert not artefact_folder(folder, runtime).exists()


def test_other_people_s_networks_stay_on_torch(runtime: Runtime, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["DepthAnythingForDepthEstimation"]}')
    with pytest.raises(ValueError, match=r"is neither a diffusion model .* nor a student: it runs on torch alone"):
        export_model(tmp_path, runtime, name="theirs", photos=[photo])


def test_a_size_that_the_network_can_t_see(tiny_folder: Path, runtime: Runtime, photo: Path) -> None:
    with pytest.raises(ValueError, match=r"size is 63x48; .* multiples of 2: the nearest is 6[24]x48"):
        export_model(tiny_folder, runtime, name="tiny", photos=[photo], sizes=[(63, 48)])
    with pytest.raises(ValueError, match="no photo to compare on"):
        export_model(tiny_folder, runtime, name="tiny", photos=[])


@pytest.mark.slow
def test_a_student_runs_whole(runtime: Runtime, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Student(StudentFacts(width=8, resolution=64, max_depth_m=20.0)).save(folder)
    done: list[Check] = []
    export_model(
        folder, runtime, name="student", photos=[photo], sizes=[(96, 64)], progress=Progress(checked=done.append)
    )
    assert {one.stage for one in done} == {"network"}
    images = torch.rand((2, 3, 64, 96), generator=torch.Generator().manual_seed(6))
    options = PredictOptions(resolution=96, members=2)
    said = load(f"dir:{folder}", dtype="float32", runtime=runtime)
    wanted = load(f"dir:{folder}", dtype="float32")
    answer, reference = said(images, options), wanted(images, options)
    assert (answer.value - reference.value).abs().max() < 1e-3  # metres, of 20
    assert answer.kind == reference.kind
    assert str(answer.made_with["runtime"]).startswith(runtime)
    assert said.describe()["parameters"] == wanted.describe()["parameters"]
    with pytest.raises(ValueError, match="size is 64x32"):
        said(images, PredictOptions(resolution=64))


class _Drifting(nn.Module):
    """A network that answers otherwise once it has been traced: what a comparison is for."""

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped = wrapped

    def forward(self, images: Float[Tensor, "1 3 h w"]) -> Tensor:
        said = self.wrapped(images)
        return said * 1.2 if torch.jit.is_tracing() else said


def test_what_differs_from_torch_is_not_left_behind(
    runtime: Runtime, tiny_folder: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from latentdepth.runtimes import exporting

    folder = Path(shutil.copytree(tiny_folder, tmp_path / "drifting"))
    whole = exporting.traceable(folder)
    drifting = replace(whole, stages={"encode": _Drifting(whole.stages["encode"])})
    drifting = replace(drifting, inputs=lambda image, *, every_step=False: {"encode": [(image * 2 - 1,)]})
    monkeypatch.setattr(exporting, "traceable", lambda model: drifting)
    with pytest.raises(ValueError, match=rf"{runtime} differs from torch by 0\.2 in encode .*Nothing was exported"):
        export_model(folder, runtime, name="drifting", photos=[photo], sizes=[SIZE])
    assert not list((folder / "runtimes").iterdir())
