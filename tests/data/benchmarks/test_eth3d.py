"""ETH3D in miniature copies: raw floats in files called .JPG, infinity, portrait photos, photos that EXIF turns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.eth3d import SCENE_FRAMES, open_eth3d

PHOTO, DEPTH = "rgb/{0}/images/dslr_images/{1}.JPG", "depth/{0}_dslr_depth/{0}/ground_truth_depth/dslr_images/{1}.JPG"
ORIGINAL = ("{0}/images/dslr_images/{1}.JPG", "{0}/ground_truth_depth/dslr_images/{1}.JPG")


def write(
    folder: Path, scene: str, name: str, depth_m: np.ndarray, *, layout: tuple[str, str] = (PHOTO, DEPTH), turn: int = 1
) -> None:
    """A photo, its upper half white as stored, with an EXIF orientation; the depth as raw little-endian floats."""
    photo, depth = (folder / path.format(scene, name) for path in layout)
    for path in (photo, depth):
        path.parent.mkdir(parents=True, exist_ok=True)
    height, width = depth_m.shape
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(photo, quality=95, exif=exif)
    depth.write_bytes(depth_m.astype("<f4").tobytes())


def ramp(height: int, width: int) -> np.ndarray:
    return (1 + np.arange(height * width, dtype=np.float32).reshape(height, width)) / 8


def test_raw_floats_and_infinity(tmp_path: Path, published: Callable[[Path, str], Path]):
    depth = ramp(16, 24)
    depth[3, :5] = [np.inf, np.nan, 0, -1, 1e-6]
    depth[15, 23] = 5000
    write(tmp_path / "set", "office", "DSC_0219", depth)
    write(tmp_path / "set", "terrains", "DSC_5287", ramp(16, 24))
    bench = open_eth3d(published(tmp_path / "set", "eth3d.tar"))
    assert isinstance(bench, Benchmark)
    frames = [bench.frame(k) for k in range(len(bench))]
    assert frames == ["rgb/office/images/dslr_images/DSC_0219", "rgb/terrains/images/dslr_images/DSC_5287"]
    sample = bench[0]
    assert sample.group == "office"
    assert sample.valid[0, 3, :6].tolist() == [False] * 5 + [True]
    # no far limit
    assert int(sample.valid.sum()) == 16 * 24 - 5
    assert torch.equal(sample.depth_m[0][sample.valid[0]], torch.from_numpy(depth)[sample.valid[0]])
    assert bench.notice is not None
    assert (
        "452 of 454 frames lack files, the first rgb/courtyard/images/dslr_images/*.JPG (photo 1 of 38)" in bench.notice
    )


def test_a_portrait_photo_gives_a_portrait_depth(tmp_path: Path):
    depth = ramp(24, 16)
    write(tmp_path, "meadow", "DSC_6535", depth)
    sample = open_eth3d(tmp_path)[0]
    assert tuple(sample.image.shape) == (3, 24, 16)
    assert torch.equal(sample.depth_m[0], torch.from_numpy(depth))


def test_a_photo_that_exif_would_turn_stays_as_its_depth_is(tmp_path: Path):
    depth = ramp(16, 24)
    write(tmp_path, "meadow", "DSC_6535", depth, turn=6)
    sample = open_eth3d(tmp_path)[0]
    assert tuple(sample.image.shape) == (3, 16, 24)
    assert torch.equal(sample.depth_m[0], torch.from_numpy(depth))
    # JPEG's ringing reaches no row that far from the edge
    assert float(sample.image[:, 0].min()) > 0.98
    assert float(sample.image[:, -1].max()) < 0.02


def test_the_original_layout_has_the_published_names(tmp_path: Path):
    write(tmp_path, "pipes", "DSC_0634", ramp(16, 24), layout=ORIGINAL)
    bench = open_eth3d(tmp_path)
    assert (len(bench), bench.frame(0)) == (1, "rgb/pipes/images/dslr_images/DSC_0634")
    assert bench[0].group == "pipes"


def test_a_list_of_other_frames(tmp_path: Path):
    write(tmp_path, "office", "DSC_0219", ramp(16, 24))
    write(tmp_path, "office", "DSC_0220", ramp(16, 24))
    (tmp_path / "one.txt").write_text(f"{PHOTO.format('office', 'DSC_0220')} {DEPTH.format('office', 'DSC_0220')}\n")
    bench = open_eth3d(tmp_path, list_file=tmp_path / "one.txt")
    assert [bench.frame(k) for k in range(len(bench))] == ["rgb/office/images/dslr_images/DSC_0220"]
    assert bench[0].group == "office"


def test_faults(tmp_path: Path):
    with pytest.raises(Missing, match=r"looked for rgb/courtyard/images/dslr_images/\*\.JPG"):
        open_eth3d(tmp_path)
    write(tmp_path, "office", "DSC_0219", ramp(16, 24))
    depth = tmp_path / DEPTH.format("office", "DSC_0219")
    depth.write_bytes(depth.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"DSC_0219\.JPG: 1532 bytes; the photo has 24 x 16 pixels, .* has 1536"):
        open_eth3d(tmp_path)[0]
    depth.write_bytes(np.full(16 * 24, np.inf, "<f4").tobytes())
    with pytest.raises(ValueError, match="no pixel holds a valid depth"):
        open_eth3d(tmp_path)[0]
    photo = tmp_path / PHOTO.format("office", "DSC_0219")
    Image.new("L", (24, 16)).save(photo)
    with pytest.raises(ValueError, match=r"rgb/.*DSC_0219\.JPG: \(16, 24\) of uint8; a photo of this set is 8-bit RGB"):
        open_eth3d(tmp_path)[0]
    photo.write_bytes(photo.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"rgb/.*DSC_0219\.JPG: truncated or damaged"):
        open_eth3d(tmp_path)[0]
    depth.unlink()
    with pytest.raises(Missing):
        open_eth3d(tmp_path)


def test_the_scenes_make_up_the_published_number():
    assert (len(SCENE_FRAMES), sum(SCENE_FRAMES.values())) == (13, 454)
