"""Views encoded once: determinism, what is left out, what is kept and what is made anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from latentdepth.data.batch import Batch
from latentdepth.data.mixing import Portion
from latentdepth.data.options import Augmentation, Target
from latentdepth.data.sample import Sample
from latentdepth.train import store
from latentdepth.train.latents import LatentBatch, latent_mask
from latentdepth.train.store import SampleViews, Store, StoredBatches, begin_store, digest, encode_views

RANDOM = Augmentation(window="random", recolour=0.5)


@dataclass(frozen=True)
class Scenes:
    """Noise with random depth; every third sample is one flat wall."""

    count: int
    name: str = "scenes"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        draw = torch.Generator().manual_seed(index)
        depth = 1 + torch.rand(1, 40, 48, generator=draw) * (index % 3 != 1)
        return Sample(torch.rand(3, 40, 48, generator=draw), depth, torch.ones(1, 40, 48, dtype=torch.bool))


def views(count: int = 3, **changes: object) -> SampleViews:
    portion = Portion(Scenes(count), 1.0, 24, 32, RANDOM)
    return replace(SampleViews(portion, Target(kind="disparity"), 2, seed=3), **changes)


class Encoder:
    """Every eighth pixel as the latent, and a count of the batches that it saw."""

    seen = 0

    def __call__(self, batch: Batch) -> LatentBatch:
        self.seen += 1
        image = batch.image[:, [0, 1, 2, 0], ::8, ::8]
        target = batch.target.expand(-1, 4, -1, -1)[..., ::8, ::8]
        return LatentBatch(target, image, latent_mask(batch.valid, 8), (image[:, :2, ::2, ::2],))


def test_views_depend_on_seed_sample_and_number_alone():
    assert torch.equal(views()(0).image, views()(0).image)
    assert not torch.equal(views()(0).image, views(seed=4)(0).image)
    first, second = views()(0).image
    assert not torch.equal(first, second)
    assert views()(1).image.shape == (0, 3, 24, 32)  # a flat wall has no range to learn
    assert views()(1).valid.dtype == torch.bool


def test_what_is_stored_is_what_was_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "_PART", 2)  # three parts for five samples
    given = views(5)
    folder = encode_views(given, Encoder(), begin_store(tmp_path / "a", {"seed": 3}), quiet=True)
    assert len(list(folder.glob("part-*"))) == 3
    rows = Store(folder)
    assert len(rows) == 6  # samples 1 and 4 are walls
    wanted = [Encoder()(given(i)) for i in (0, 2, 3)]
    for k in range(6):
        row, one = rows.row(k), wanted[k // 2]
        assert torch.equal(row["target"], one.target[k % 2].half())
        assert torch.equal(row["valid"], one.valid[k % 2])
        assert torch.equal(row["features_0"], one.features[0][k % 2].half())
    batches = StoredBatches((rows,), (1.0,), batch=5, seed=1)
    again = StoredBatches((Store(folder),), (1.0,), batch=5, seed=1)
    first = batches(7)
    assert torch.equal(first.target, again(7).target)
    assert not torch.equal(first.target, batches(8).target)
    assert first.target.dtype == torch.float32
    assert first.image is not None
    assert [tuple(f.shape) for f in first.features] == [(5, 2, 2, 2)]


def test_encoding_goes_on_where_it_stopped_and_starts_anew_for_other_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store, "_PART", 1)
    encode = Encoder()
    encode_views(views(), encode, begin_store(tmp_path, {"seed": 3}), quiet=True)
    assert encode.seen == 2
    encode_views(views(), encode, begin_store(tmp_path, {"seed": 3}), quiet=True)
    assert encode.seen == 2
    (tmp_path / "part-00002.safetensors").unlink()
    encode_views(views(), encode, begin_store(tmp_path, {"seed": 3}), quiet=True)
    assert encode.seen == 3
    encode_views(views(seed=4), encode, begin_store(tmp_path, {"seed": 4}), quiet=True)
    assert encode.seen == 5


def test_two_processes_share_what_one_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "_PART", 1)
    alone, (first, second) = Encoder(), (Encoder(), Encoder())
    encode_views(views(7), alone, begin_store(tmp_path / "one", {}), quiet=True)
    both = begin_store(tmp_path / "both", {})
    for process, encode in ((1, second), (0, first)):
        encode_views(views(7), encode, both, process=process, processes=2, quiet=True)
    assert alone.seen == first.seen + second.seen
    assert min(first.seen, second.seen) >= 2
    names = sorted(path.name for path in both.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((both / name).read_bytes() == (tmp_path / "one" / name).read_bytes() for name in names)


def test_sets_are_drawn_by_weight(tmp_path: Path):
    def bright(batch: Batch) -> LatentBatch:
        latents = Encoder()(batch)
        return replace(latents, target=torch.full_like(latents.target, 9.0))

    stores = tuple(
        Store(encode_views(views(), encode, begin_store(tmp_path / name, {}), quiet=True))
        for name, encode in (("plain", Encoder()), ("bright", bright))
    )
    batches = StoredBatches(stores, (0.25, 0.75), batch=20, seed=0)
    share = torch.stack([(batches(k).target == 9).all((1, 2, 3)).float().mean() for k in range(20)]).mean()
    assert float(share) == pytest.approx(0.75, abs=0.09)  # four standard deviations of 400 draws


def test_a_set_without_a_usable_view_is_named(tmp_path: Path):
    nothing = replace(views(), target=Target(kind="disparity", least_valid=1.0))
    masked = replace(nothing, portion=replace(nothing.portion, frames=Masked(2)))
    encode_views(masked, Encoder(), begin_store(tmp_path / "none", {}), quiet=True)
    with pytest.raises(ValueError, match="none: no view of this data set can be learnt from"):
        Store(tmp_path / "none")


class Masked(Scenes):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, valid=torch.zeros_like(sample.valid))


def test_a_fingerprint_changes_with_any_weight():
    network = nn.Linear(2, 2)
    before = digest([network])
    assert digest([network]) == before
    with torch.no_grad():
        network.bias[1] += 1e-6
    assert digest([network]) != before
    assert digest([network.to(torch.bfloat16)]) != digest([])
