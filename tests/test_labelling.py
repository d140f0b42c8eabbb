"""Photos labelled into shards: what is in them, what one bad photo costs, and that a killed run goes on to the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth import load
from latentdepth.core.types import AFFINE_DEPTH, AFFINE_DISPARITY, NORMALS, Kind, Prediction
from latentdepth.data.labels import LabelFrames
from latentdepth.data.options import LabelChoice
from latentdepth.data.sample import disparity_of
from latentdepth.data.shards import ShardFrames
from latentdepth.images import read
from latentdepth.labelling import Labelling, LabelReport, label_files, labelled, summary, told_several_times
from latentdepth.models.others.declared import modality_of
from latentdepth.models.student import Student, StudentFacts
from latentdepth.options import PredictOptions


class Brightness:
    """A predictor of one line: bright is near, with a lean to the right that its mirror image contradicts."""

    def __init__(self, kind: Kind = AFFINE_DISPARITY, *, lean: float = 0.1) -> None:
        self.modality, self.name, self.lean = modality_of(kind), "brightness", lean
        self.asked: list[PredictOptions] = []

    def describe(self) -> dict[str, str | int | float | bool]:
        return {"default resolution": 32}

    def __call__(self, images: torch.Tensor, options: PredictOptions | None = None) -> Prediction:
        self.asked.append(options or PredictOptions())
        lean = self.lean * torch.linspace(0, 1, images.shape[-1])
        value = images.mean(1, keepdim=True) + lean
        low, high = value.amin((1, 2, 3), keepdim=True), value.amax((1, 2, 3), keepdim=True)
        return Prediction((value - low) / (high - low).clamp(min=1e-6), self.modality.kind)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Five photos of a bright spot on dark ground."""
    (tmp_path / "photos").mkdir()
    row, column = np.mgrid[:40, :60]
    for k in range(5):
        spot = np.exp(-((row - 20) ** 2 + (column - 10 - 8 * k) ** 2) / 60)
        pixels = (spot[..., None] * [200, 150, 100] + 20).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{k}.png")
    return sorted((tmp_path / "photos").iterdir())


def made(photos: list[Path], out: Path, labelling: Labelling | None = None, **kwargs: object) -> LabelReport:
    predictor = Brightness()
    return label_files(
        lambda: predictor, photos, labelling or Labelling(per_shard=2), out, model="m", **kwargs  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def test_labels_are_read_back(photos: list[Path], tmp_path: Path):
    report = made(photos, tmp_path / "labels")
    assert (report.labelled, report.failed, len(shards(tmp_path / "labels"))) == (5, 0, 3)
    frames = LabelFrames(ShardFrames(tmp_path / "labels"))
    assert len(frames) == 5
    label, sample = frames.label(0), frames[0]
    assert (label.quantity, label.invariance, label.members, label.photo) == ("disparity", "affine", 2, str(photos[0]))
    assert 0.8 < label.agreement < 0.95
    # the mean of both views has next to no lean left (one view: 0.14); each was stretched to its own range
    image = read(photos[0]).pixels
    wanted = image.mean(1)
    wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    torch.testing.assert_close(disparity_of(sample.depth_m), wanted, atol=0.03, rtol=0)
    # the two views differ by the lean on either side of the middle, and their spread by half of that
    assert float(frames.uncertainty(0).max()) == pytest.approx(0.5 * 0.1 / float(image.mean(1).max()), rel=0.5)


def test_members_are_mirrored_in_turn_and_see_other_sizes():
    predictor, image = Brightness(), torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    _, agreement = told_several_times(predictor, image, PredictOptions(members=5, seed=7))
    assert [one.resolution for one in predictor.asked] == [None, None, 26, 26, 40]
    assert [one.seed for one in predictor.asked] == [7, 8, 9, 10, 11]
    assert {one.members for one in predictor.asked} == {1}
    mirrored, same = told_several_times(Brightness(), image.flip(-1), PredictOptions(members=4))
    straight, _ = told_several_times(Brightness(), image, PredictOptions(members=4))
    torch.testing.assert_close(mirrored.value.flip(-1), straight.value, atol=1e-5, rtol=0)
    assert agreement == pytest.approx(same, abs=0.05)
    with pytest.raises(ValueError, match="members is 11; a network without noise has 10 at most"):
        told_several_times(predictor, image, PredictOptions(members=11))


def test_one_bad_photo_costs_one_line(photos: list[Path], tmp_path: Path):
    photos[1].write_bytes(b"no picture")
    Image.new("RGB", (40, 40), (90, 90, 90)).save(photos[2])
    lines: list[tuple[str, str, str]] = []
    predictor = Brightness(lean=0.0)
    report = label_files(
        lambda: predictor, photos, Labelling(per_shard=3), tmp_path / "labels", model="m",
        on_photo=lambda path, fate, text: lines.append((path.name, fate, text)),
    )  # fmt: skip
    assert (report.labelled, report.failed) == (3, 2)
    assert [(name, fate) for name, fate, text in lines if text] == [("1.png", "failed"), ("2.png", "failed")]
    assert "not an image" in lines[1][2]
    assert "says the same of every pixel" in lines[2][2]
    notes = json.loads((tmp_path / "labels/labels-000000.json").read_text())
    assert [note["fate"] for note in notes] == ["labelled", "failed", "failed"]
    assert summary(report, tmp_path / "labels").startswith("3 labelled, 2 failed; shards are in")


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(photos: list[Path], tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    made(photos, whole)

    def stop(path: Path, fate: str, text: str) -> None:
        if path == photos[2]:
            raise KeyboardInterrupt

    report = made(photos, cut, on_photo=stop)
    assert report.stopped == "interrupted"
    assert sorted(shards(cut)) == ["shard-000000.tar"]
    # what kill -9 leaves: a shard that is being written, and a whole one without its note
    (cut / "shard-000001.tar.part").write_bytes(b"half")
    (cut / "shard-000002.tar").write_bytes(b"of another run")
    again = made(photos, cut)
    assert (again.before, again.labelled) == (2, 3)
    assert shards(cut) == shards(whole)
    assert not list(cut.glob("*.part"))
    third = label_files(lambda: pytest.fail("nothing is to do"), photos, Labelling(per_shard=2), cut, model="m")
    assert third.before == 5


def test_another_run_is_not_mixed_in(photos: list[Path], tmp_path: Path):
    made(photos, tmp_path / "labels")
    with pytest.raises(ValueError, match=r"holds labels of other photos, names \(see .*labels\.json\)"):
        made(photos[:4], tmp_path / "labels")
    with pytest.raises(ValueError, match="holds labels of other labelling"):
        made(photos, tmp_path / "labels", Labelling(PredictOptions(members=4), per_shard=2))


def test_what_is_not_good_enough_is_left_out_while_writing(photos: list[Path], tmp_path: Path):
    strict = Labelling(choice=LabelChoice(min_agreement=1.0), per_shard=2)
    report = made(photos, tmp_path / "none", strict)
    assert (report.labelled, report.left_out, shards(tmp_path / "none")) == (0, 5, {})
    assert made(photos, tmp_path / "none", strict).before == 5
    masking = Labelling(choice=LabelChoice(mask_uncertainty=0.01), per_shard=2)
    made(photos, tmp_path / "masked", masking)
    frames = LabelFrames(ShardFrames(tmp_path / "masked"))
    # 8 bits of the root: a step at 0.01 is 0.0008
    valid, uncertainty = frames[0].valid, frames.uncertainty(0)
    assert 0 < float(valid.float().mean()) < 1
    assert float(uncertainty[valid].max()) <= 0.011
    assert float(uncertainty[~valid].min()) >= 0.009


def test_sky_is_at_infinity(tmp_path: Path):
    image = np.random.default_rng(0).integers(0, 80, (96, 128, 3)).astype(np.uint8)
    image[:40] = (150, 200, 255)
    path = tmp_path / "sky.png"
    Image.fromarray(image).save(path)

    class Below(Brightness):
        def __call__(self, images: torch.Tensor, options: PredictOptions | None = None) -> Prediction:
            near = torch.zeros(1, 1, *images.shape[-2:])
            near[..., 40:, :] = torch.linspace(0.2, 1, images.shape[-2] - 40)[:, None]
            value = near if self.modality.kind == AFFINE_DISPARITY else 1 - near
            return Prediction(value, self.modality.kind)

    for kind in (AFFINE_DISPARITY, AFFINE_DEPTH):
        sample, label, _ = labelled(Below(kind), path, Labelling(), "m")
        assert bool(sample.depth_m[:, :40].isinf().all())
        assert not bool(sample.depth_m[:, 40:].isinf().any())
        assert bool((disparity_of(sample.depth_m)[:, :40] == 0).all())
        assert label.sky == pytest.approx(40 / 96, abs=1e-4)  # as it is rounded
        assert label.quantity == ("disparity" if kind == AFFINE_DISPARITY else "depth")
        plain, without, _ = labelled(Below(kind), path, Labelling(sky=False), "m")
        assert without.sky == 0
        assert bool(plain.depth_m.isfinite().all())


def test_a_student_labels_and_normals_are_refused(photos: list[Path], tmp_path: Path):
    torch.manual_seed(0)
    Student(StudentFacts(width=8, resolution=64)).save(tmp_path / "model")
    predictor = load(f"dir:{tmp_path / 'model'}", device="cpu", dtype="float32")
    report = label_files(
        lambda: predictor, photos[:2], Labelling(PredictOptions(members=4)), tmp_path / "labels", model="m"
    )
    assert report.labelled + report.failed == 2  # an untrained network may say the same of every pixel
    with pytest.raises(ValueError, match="brightness predicts normals; labels are depth or disparity"):
        label_files(lambda: Brightness(NORMALS), photos, Labelling(), tmp_path / "normals", model="m")
    with pytest.raises(ValueError, match="members is 1; labels need a number of 2 or more"):
        Labelling(PredictOptions(members=1))
    with pytest.raises(ValueError, match="the longer side is 20"):
        Labelling(longest_px=20)


def test_photos_are_shrunk_first(photos: list[Path]):
    Image.new("RGB", (300, 100), (90, 90, 90)).save(photos[0])
    image = Image.open(photos[0])
    image.putpixel((5, 5), (255, 255, 255))
    image.save(photos[0])
    labelling = Labelling(longest_px=150)
    assert labelled(Brightness(), photos[0], labelling, "m")[0].image.shape == (3, 50, 150)
    assert labelled(Brightness(), photos[0], replace(labelling, longest_px=0), "m")[0].image.shape == (3, 100, 300)
