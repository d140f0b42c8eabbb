"""Furniture libraries: true sizes, the right way up, pictures upright, credits; broken ones cost little or say why."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentdepth.synth.library import CATALOGUE, Entry, piece_of, properties, read_library
from latentdepth.synth.pieces import Piece
from latentdepth.synth.scene import Mesh
from latentdepth.synth.shapes import bounds
from latentdepth.synth.srgb import decoded

# a box of 2 x 1 x 4 units, y up; its front, which looks to +z, shows a picture once
BOX = """mtllib box.mtl
v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nv 0 0 4\nv 2 0 4\nv 2 1 4\nv 0 1 4
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl body
f 1 4 3 2
f 1 2 6 5
f 4 8 7 3
f 1 5 8 4
f 2 3 7 6
usemtl front
f 5/1 6/2 7/3 8/4
"""
MATERIALS = "newmtl body\nKd 0.5 0.25 1.0\nnewmtl front\nKd 1 1 1\nmap_Kd front.png\n"
RED, BLUE = (220, 0, 0), (0, 0, 220)


def picture(top: tuple[int, ...] = RED, bottom: tuple[int, ...] = BLUE, side: int = 8) -> bytes:
    pixels = np.zeros((side, side, len(top)), np.uint8)
    pixels[: side // 2], pixels[side // 2 :] = top, bottom
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def facts(number: int = 1, **changes: str) -> str:
    """The catalogue's lines on one model."""
    lines = {
        "name": "Oak box",
        "category": "Living room",
        "model": "/lib/box/box.obj",
        "width": "100",
        "depth": "50.0",
        "height": "80",
        "doorOrWindow": "false",
        "creator": "A. Maker",
    }
    return "".join(f"{key}#{number}={value}\n" for key, value in {**lines, **changes}.items() if value)


def library(
    path: Path, catalogue: str, members: Mapping[str, str | bytes] | None = None, materials: str = MATERIALS
) -> Path:
    """Writes a library; ``members`` come besides the box or in its stead."""
    files: dict[str, str | bytes] = {"lib/box/box.obj": BOX, "lib/box/box.mtl": materials}
    files["lib/box/front.png"] = picture()
    head = "name=Small things\nprovider=example.org\nlicense=CC BY 3.0  \\u00a9 Makers\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CATALOGUE, (head + catalogue).encode("latin-1"))
        for name, content in {**files, **(members or {})}.items():
            archive.writestr(name, content)
    return path


def only(path: Path) -> Entry:
    (entry,) = read_library(str(path))
    return entry


def shown(entry: Entry) -> Piece:
    piece = piece_of(entry)
    assert piece is not None
    return piece


def pictured(piece: Piece) -> Mesh:
    (mesh,) = [part for part in piece.parts if part.material.texture is not None]
    return mesh


def test_a_piece_has_its_size_and_faces_south(tmp_path: Path) -> None:
    piece = shown(only(library(tmp_path / "a.sh3f", facts())))
    low, high = bounds(piece.parts)
    np.testing.assert_allclose(low, [-0.5, -0.25, 0], atol=1e-12)
    np.testing.assert_allclose(high, [0.5, 0.25, 0.8], atol=1e-12)
    assert piece.size_m == (1.0, 0.5, 0.8)
    np.testing.assert_allclose(pictured(piece).vertices[:, 1], -0.25, atol=1e-12)
    assert sum(len(part.faces) for part in piece.parts) == 12  # squares are halved


def test_faces_keep_their_winding(tmp_path: Path) -> None:
    """What is anticlockwise from outside stays so: the volume within is that of the box, and positive."""
    piece = shown(only(library(tmp_path / "a.sh3f", facts())))
    corners = np.concatenate([part.vertices[part.faces] for part in piece.parts])
    assert np.linalg.det(corners).sum() / 6 == pytest.approx(0.4)


def test_pictures_are_upright(tmp_path: Path) -> None:
    front = pictured(shown(only(library(tmp_path / "a.sh3f", facts()))))
    assert front.uv is not None
    # seen from the south east lies to the right
    np.testing.assert_allclose(front.uv[:, 0], front.vertices[:, 0] + 0.5, atol=1e-12)
    np.testing.assert_allclose(front.uv[:, 1], front.vertices[:, 2] / 0.8, atol=1e-12)
    texture = front.material.texture
    assert texture is not None
    assert (texture[0] == RED).all()
    assert (texture[-1] == BLUE).all()


def test_large_pictures_are_reduced(tmp_path: Path) -> None:
    entry = only(library(tmp_path / "a.sh3f", facts(), {"lib/box/front.png": picture(side=1100)}))
    texture = pictured(shown(entry)).material.texture
    assert texture is not None
    assert texture.shape == (512, 512, 3)


def test_colours_become_linear_and_clear_parts_glass(tmp_path: Path) -> None:
    materials = MATERIALS.replace("Kd 1 1 1", "Kd 1 1 1\nd 0.3").replace("map_Kd front.png\n", "")
    front, body = sorted(
        shown(only(library(tmp_path / "a.sh3f", facts(), materials=materials))).parts, key=lambda part: len(part.faces)
    )
    np.testing.assert_allclose(body.material.colour, decoded(np.array([0.5, 0.25, 1.0])), atol=1e-12)
    assert body.material.look == "principled"
    assert front.material.look == "glass"
    hidden = MATERIALS.replace("Kd 1 1 1", "Kd 1 1 1\nd 0")
    assert len(shown(only(library(tmp_path / "b.sh3f", facts(), materials=hidden))).parts) == 1


def test_a_rotation_turns_the_model_upright(tmp_path: Path) -> None:
    """Rows of a matrix that takes the model's z to y: the front comes to lie on top, the size stays the catalogue's."""
    entry = only(library(tmp_path / "a.sh3f", facts(modelRotation="1 0 0 0 0 1 0 -1 0")))
    piece = shown(entry)
    np.testing.assert_allclose(bounds(piece.parts)[1], [0.5, 0.25, 0.8], atol=1e-12)
    np.testing.assert_allclose(pictured(piece).vertices[:, 2], 0.8, atol=1e-12)


def test_tops_are_where_a_surface_is(tmp_path: Path) -> None:
    (top,) = shown(only(library(tmp_path / "a.sh3f", facts()))).tops
    assert top.z_m == pytest.approx(0.804)
    np.testing.assert_allclose([top.x_m, top.y_m], [[-0.458, 0.458], [-0.229, 0.229]], atol=1e-3)
    for number, height in enumerate(("-1", "40")):  # nothing may stand there; nothing of that height is there
        entry = only(library(tmp_path / f"{number}.sh3f", facts(dropOnTopElevation=height)))
        assert not shown(entry).tops


def test_a_top_ends_where_something_stands_on_it(tmp_path: Path) -> None:
    """A block on the western half: the rest is free, and the block's own top is of another height."""
    block = "v 0 1 0\nv 1 1 0\nv 1 2 0\nv 0 2 0\nv 0 1 4\nv 1 1 4\nv 1 2 4\nv 0 2 4\n"
    faces = "usemtl body\nf 9 12 11 10\nf 12 16 15 11\nf 9 13 16 12\nf 10 11 15 14\nf 13 14 15 16\n"
    catalogue = facts(dropOnTopElevation="40")
    (top,) = shown(only(library(tmp_path / "a.sh3f", catalogue, {"lib/box/box.obj": BOX + block + faces}))).tops
    assert top.z_m == pytest.approx(0.404)
    assert top.x_m == pytest.approx((0.042, 0.458), abs=1e-3)


def test_the_catalogue_says_who_is_to_be_credited(tmp_path: Path) -> None:
    entry = only(library(tmp_path / "a.sh3f", facts(name="Bo\\u00eete", elevation="30")))
    assert entry.name == "Boîte"
    assert entry.elevation_m == pytest.approx(0.3)
    assert entry.credit == "Boîte by A. Maker, from Small things (example.org): CC BY 3.0 © Makers"
    own = only(library(tmp_path / "b.sh3f", facts(license="CC0", creator="")))
    assert own.credit == "Oak box by an unnamed author, from Small things (example.org): CC0"


def test_doors_stairs_marks_and_nonsense_are_left_out(tmp_path: Path) -> None:
    catalogue = facts(1, doorOrWindow="true") + facts(2, category="Staircases") + facts(3, height="0.3")
    catalogue += (
        facts(4, width="wide") + facts(5, model="/lib/box/box.dae") + facts(6, depth="-3") + facts(7, height="")
    )
    catalogue += facts(8, modelRotation="1 0 0") + facts(9, width="nan") + facts(12, name="Kept")
    assert [entry.name for entry in read_library(str(library(tmp_path / "a.sh3f", catalogue)))] == ["Kept"]


def test_properties_of_every_form() -> None:
    text = "# no\n! neither\n a = one \nb:two\nc=thr\\\n   ee\nd#1=x\\=y\ne\\u0041=\\u00e9\nf\n"
    found = properties(text)
    assert {key: found[key] for key in "abcf"} == {"a": "one", "b": "two", "c": "three", "f": ""}
    assert found["d#1"] == "x=y"


BROKEN: dict[str, dict[str, str | bytes]] = {
    "not finite": {"lib/box/box.obj": BOX.replace("v 2 1 4", "v 2 inf 4")},
    "no faces": {"lib/box/box.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\n"},
    "no extent": {"lib/box/box.obj": "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n"},
    "faces without vertices": {"lib/box/box.obj": BOX + "f 1 2 77\n"},
    "not an OBJ file": {"lib/box/box.obj": bytes(range(256))},
    "cut picture": {"lib/box/front.png": picture(side=400)[:150]},
    "far too large": {"lib/box/box.obj": b"#" * (65 << 20)},
    "too many faces": {"lib/box/box.obj": BOX + "f 1 2 3\n" * 60_001},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_model_costs_only_itself(tmp_path: Path, case: str) -> None:
    good = {"lib/good/box.obj": BOX, "lib/good/box.mtl": MATERIALS.replace("map_Kd front.png\n", "")}
    path = library(tmp_path / "a.sh3f", facts() + facts(2, model="/lib/good/box.obj"), {**BROKEN[case], **good})
    broken, whole = read_library(str(path))
    assert piece_of(broken) is None
    assert piece_of(whole) is not None


def test_a_missing_model_costs_only_itself(tmp_path: Path) -> None:
    gone, whole = read_library(str(library(tmp_path / "a.sh3f", facts(model="/lib/gone.obj") + facts(2))))
    assert piece_of(gone) is None
    assert piece_of(whole) is not None


def test_nothing_is_read_from_outside_the_library(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(picture())
    for k, name in enumerate(("../../../outside.png", str(tmp_path / "outside.png"))):
        materials = MATERIALS.replace("front.png", name)
        piece = shown(only(library(tmp_path / f"{k}.sh3f", facts(), materials=materials)))
        assert all(part.material.texture is None for part in piece.parts)


def test_cut_outs(tmp_path: Path) -> None:
    """Cards that are all hole vanish; one of stripes and holes can't be shown, since a surface here has no holes."""
    clear = picture((*RED, 0), (*BLUE, 0))
    assert len(shown(only(library(tmp_path / "a.sh3f", facts(), {"lib/box/front.png": clear}))).parts) == 1
    pixels = np.full((8, 8, 4), 200, np.uint8)
    pixels[::3, :, 3] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert piece_of(only(library(tmp_path / "b.sh3f", facts(), {"lib/box/front.png": file.getvalue()}))) is None


def test_bad_paths_say_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.sh3f").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "bare.sh3f", "w") as archive:
        archive.writestr("readme", "nothing")
    doors = library(tmp_path / "doors.sh3f", facts(doorOrWindow="true"))
    whole = library(tmp_path / "whole.sh3f", facts())
    (tmp_path / "cut.sh3f").write_bytes(whole.read_bytes()[:300])
    for name, told in (
        ("nowhere", "is not there"),
        ("empty", "holds no .sh3f file"),
        ("text.sh3f", "can't be read as a furniture library"),
        ("bare.sh3f", "can't be read as a furniture library"),
        ("cut.sh3f", "can't be read as a furniture library"),
        (doors.name, "holds no furniture"),
    ):
        with pytest.raises(ValueError, match=told) as error:
            read_library(str(tmp_path / name))
        assert str(tmp_path / name) in str(error.value)
        assert "apt-get install sweethome3d-furniture" in str(error.value)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in "bca":
        library(tmp_path / f"{name}.sh3f", facts(10, name=f"{name}10") + facts(9, name=f"{name}9"))
    assert [entry.name for entry in read_library(str(tmp_path))] == ["a9", "a10", "b9", "b10", "c9", "c10"]
