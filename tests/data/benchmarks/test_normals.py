"""Lists of photos with normals, in miniature copies: unknown normals, names of six data sets, a published list."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.normals import FACTS, open_normals

# one frame each, as the published lists spell them: photo, normals, group
NAMES = {
    "nyu-normals": ("000000_img.png", "000000_normal.npy", ""),
    "scannet-normals": ("scene0001_01/001170_img.png", "scene0001_01/001170_normal.npy", "scene0001_01"),
    "ibims-normals": ("corridor_01_img.png", "corridor_01_normal.npy", "corridor"),
    "diode-normals": (
        "indoors/scene_00020/scan_00186/00020_00186_indoors_260_020.png",
        "indoors/scene_00020/scan_00186/00020_00186_indoors_260_020_normal.npy",
        "indoors/scene_00020/scan_00186",
    ),
    "oasis-normals": ("239575_ALI_img.png", "239575_ALI_normal.npy", "239575"),
    "sintel-normals": ("sleeping_1/frame_0043_img.png", "sleeping_1/frame_0043_normal.npy", "sleeping_1"),
}


def write(folder: Path, photo: str, normals: str, vectors: np.ndarray | None = None) -> None:
    (folder / photo).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 3, 3), 50, np.uint8)).save(folder / photo)
    vectors = np.tile(np.array([0.0, 0.0, 1.0]), (2, 3, 1)) if vectors is None else vectors
    np.save(folder / normals, vectors)


def test_every_data_set_has_a_name_here():
    assert [facts.key for facts in FACTS] == list(NAMES)


@pytest.mark.parametrize("key", NAMES)
def test_published_names(tmp_path: Path, packed: Callable[[Path, str], Path], key: str):
    photo, normals, group = NAMES[key]
    write(tmp_path / "set", photo, normals)
    for root in (tmp_path / "set", packed(tmp_path / "set", "normals.tar")):
        bench = open_normals(key, root)
        assert isinstance(bench, Benchmark)
        assert (len(bench), bench.frame(0), bench.facts.truth) == (1, photo.removesuffix(".png"), "normals")
        assert bench[0].group == group


def test_unit_vectors_and_zero_where_unknown(tmp_path: Path):
    vectors = np.zeros((2, 3, 3))
    vectors[0, 0] = (0, 0, 1)
    vectors[0, 1] = (0, -2, 0)  # any length counts, the direction alone is asked
    vectors[0, 2] = (0.6, 0, 0.8)
    vectors[1, 0] = np.nan
    write(tmp_path, *NAMES["nyu-normals"][:2], vectors)
    sample = open_normals("nyu-normals", tmp_path)[0]
    assert sample.valid[0].tolist() == [[True, True, True], [False, False, False]]
    expected = torch.tensor([[0, 0, 1], [0, -1, 0], [0.6, 0, 0.8]]).float()
    assert sample.normals is not None
    torch.testing.assert_close(sample.normals[:, 0].T, expected)
    assert sample.normals[:, 1].abs().max() == 0


def test_a_published_list_chooses_and_orders(tmp_path: Path):
    for number in (1, 2, 3):
        write(tmp_path, f"a/{number:06d}_img.png", f"a/{number:06d}_normal.npy")
    text = "a/000003_img.png a/000003_normal.npy\na/000001_img.png a/000001_normal.npy\n"
    (tmp_path / "list.txt").write_text(text)
    bench = open_normals("scannet-normals", tmp_path, list_file=tmp_path / "list.txt")
    assert [bench.frame(k) for k in range(len(bench))] == ["a/000003_img", "a/000001_img"]
    assert len(open_normals("scannet-normals", tmp_path)) == 3


def test_faults(tmp_path: Path):
    with pytest.raises(ValueError, match="no normals are known as 'kitti-normals'; allowed are nyu-normals, scannet"):
        open_normals("kitti-normals", tmp_path)
    with pytest.raises(Missing, match=r"there is no \*_normal\.npy"):
        open_normals("nyu-normals", tmp_path)
    photo, normals, _ = NAMES["nyu-normals"]
    write(tmp_path, photo, normals, np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match=r"000000_normal\.npy: no pixel has a normal"):
        open_normals("nyu-normals", tmp_path)[0]
    write(tmp_path, photo, normals, np.ones((3, 2, 3)))
    with pytest.raises(ValueError, match=r"000000_normal\.npy: 2 x 3 pixels, the photo has 3 x 2"):
        open_normals("nyu-normals", tmp_path)[0]
    (tmp_path / photo).unlink()
    with pytest.raises(Missing, match=r"000000_img\.png"):
        open_normals("nyu-normals", tmp_path)
