"""Labels in shards: what is kept beside them comes back, and what is not good enough is left out."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from latentdepth.data.labels import (
    UNCERTAINTY,
    Label,
    LabelFrames,
    add_label,
    decode_uncertainty,
    encode_uncertainty,
    is_labelled,
)
from latentdepth.data.options import LabelChoice
from latentdepth.data.sample import Sample, disparity_of
from latentdepth.data.shards import ShardFrames, ShardWriter

H, W = 8, 12


def label(**about: Any) -> Label:
    known = {"quantity": "disparity", "invariance": "affine", "agreement": 0.9, "uncertainty": 0.02, "sky": 0.25}
    return Label(**{**known, "model": "dir:m", "members": 4, "photo": "p.jpg", **about})


def disparity() -> torch.Tensor:
    """From 1 / 65534 at the left to 1 at the right; sky, of disparity 0, in the upper rows."""
    value = torch.linspace(0, 1, W).clamp(min=1 / 65534).expand(1, H, W).clone()
    value[:, :2] = 0
    return value


def write(folder: Path, *labels: Label) -> ShardFrames:
    uncertainty = torch.linspace(0, 0.5, H)[None, :, None].expand(1, H, W)
    with ShardWriter(folder) as writer:
        for k, one in enumerate(labels):
            sample = Sample(torch.rand(3, H, W), 1 / disparity(), torch.ones(1, H, W).bool(), "photos")
            add_label(writer, f"k{k}", sample, one, uncertainty)
    return ShardFrames(folder, name="labels")


def test_a_label_comes_back(tmp_path: Path):
    frames = write(tmp_path, label(), label(agreement=0.5))
    assert is_labelled(frames)
    labels = LabelFrames(frames)
    assert (len(labels), labels.name, labels.label(1)) == (2, "labels", label(agreement=0.5))
    # sky and the unknown shift's zero are exact; the log code errs by 0.009 %
    torch.testing.assert_close(disparity_of(labels[0].depth_m), disparity(), rtol=1e-4, atol=0)
    assert bool(labels[0].depth_m[:, :2].isinf().all())
    assert bool(labels[0].valid.all())


def test_uncertainty_is_finest_where_it_is_small():
    given = torch.tensor([[[0.0, 1e-3, 0.01, 0.1, 0.5, 1.0, 1.5]]])
    back = decode_uncertainty(encode_uncertainty(given), "u.png")
    # half a step of the root: 2 sqrt(u) / 510, and its square
    assert bool(((back - given.clamp(max=1)).abs() <= given.clamp(max=1).sqrt() / 255 + 1 / 510**2 + 1e-7).all())


def test_what_is_not_good_enough_is_left_out(tmp_path: Path):
    frames = write(tmp_path, label(), label(agreement=0.5), label(uncertainty=0.2), label(agreement=float("nan")))
    assert len(LabelFrames(frames, LabelChoice(min_agreement=0.6))) == 2
    assert len(LabelFrames(frames, LabelChoice(min_agreement=0.6, max_uncertainty=0.1))) == 1
    masked = LabelFrames(frames, LabelChoice(mask_uncertainty=0.25))
    assert torch.equal(masked[0].valid, masked.uncertainty(0) <= 0.25)
    assert 0 < float(masked[0].valid.float().mean()) < 1
    with pytest.raises(ValueError, match=r"none of 4 labels is left \(the first: agreement 0.900 is below 0.95\)"):
        LabelFrames(frames, LabelChoice(min_agreement=0.95))


@pytest.mark.parametrize(
    ("invariance", "kind", "known"),
    [
        ("affine", "disparity", True),
        ("affine", "depth", False),
        ("affine", "photo", True),
        ("scale", "log_depth", True),
        ("scale", "metric_depth", False),
        ("metric", "metric_depth", True),
        ("metric", "normals", False),
    ],
)
def test_a_label_says_no_more_than_it_knows(tmp_path: Path, invariance: Any, kind: Any, known: bool):
    labels = LabelFrames(write(tmp_path, label(invariance=invariance)))
    if known:
        labels.check_target(kind)
    else:
        with pytest.raises(
            ValueError, match=rf"data labels: its labels are {invariance}-invariant disparity, of which"
        ):
            labels.check_target(kind)


def test_shards_without_labels_and_damage_are_named(tmp_path: Path):
    with ShardWriter(tmp_path / "plain") as writer:
        writer.add("a", Sample(torch.rand(3, H, W), torch.ones(1, H, W), torch.ones(1, H, W).bool()))
    plain = ShardFrames(tmp_path / "plain")
    assert not is_labelled(plain)
    with pytest.raises(ValueError, match=r"a\.json: no label; shards of labels are what `latentdepth predict --to"):
        LabelFrames(plain)
    colour = io.BytesIO()
    Image.new("RGB", (2, 2)).save(colour, "PNG")
    with pytest.raises(ValueError, match=r"u\.png: uint8 of shape \(2, 2, 3\); uncertainty is one channel"):
        decode_uncertainty(colour.getvalue(), "u.png")
    sample = Sample(torch.rand(3, H, W), torch.ones(1, H, W), torch.ones(1, H, W).bool())
    with ShardWriter(tmp_path / "without") as writer:
        with pytest.raises(ValueError, match=r"the member depth\.png of a is the shard's own"):
            writer.add("a", sample, extra={"depth.png": b""})
        writer.add("a", sample, facts={"label": asdict(label())})
    bare = LabelFrames(ShardFrames(tmp_path / "without"), LabelChoice(mask_uncertainty=0.1))
    with pytest.raises(ValueError, match=rf"a\.{UNCERTAINTY} is missing; make the label again"):
        bare[0]
    for choice in ({"min_agreement": 2.0}, {"max_uncertainty": -0.1}, {"mask_uncertainty": 1.1}):
        with pytest.raises(ValueError, match=next(iter(choice))):
            LabelChoice(**choice)
