"""Recipes' words: what contradicts is refused with the words to type, and what fixes a run is told apart."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from latentdepth.config import from_dict, read_toml, write_toml
from latentdepth.data.options import Augmentation
from latentdepth.train.config import DataConfig, TrainConfig, fixed_keys, flat
from latentdepth.train.loop_config import EmaConfig, FitConfig, LoopConfig, OptimConfig
from latentdepth.train.options import LoraOptions, LotusOptions

NOTHING = {"kind": "nothing", "model": ""}


def test_reading_recipes_needs_no_torch():
    code = (
        "import sys; from latentdepth.train.recipes import read_recipe, recipe_names; "
        "[read_recipe(n) for n in recipe_names()]; "
        "import latentdepth.verbs.train, latentdepth.verbs.export_checkpoint; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_recipe_reads_back_as_written(tmp_path: Path):
    config = TrainConfig(
        task="lotus",
        data=(DataConfig("a", Path("x"), augment=Augmentation(flip=0.0)), DataConfig("b", Path("y"), hold_out=3)),
        lotus=LotusOptions(reconstruct_share=0.5),
        lora=LoraOptions(rank=4),
        loop=LoopConfig(minutes=3.0),
    )
    write_toml(config, tmp_path / "r.toml")
    assert read_toml(TrainConfig, tmp_path / "r.toml") == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"loop": {"btach": 3}}, r"unknown key loop\.btach: did you mean loop\.batch"),
        ({"data": [{"path": "x"}]}, r"key data\[0\]\.name is missing"),
        ({"data": [{"name": "a", "path": "x", "height": 100}]}, "data a: height is 100; allowed are multiples of 8"),
        (
            {"loop": {"batch": 33}},
            r"loop\.batch is 33, which loop\.micro_batch = 2 does not divide.*--loop\.batch 32 or 34",
        ),
        ({"optim": {"lr": 0.0}}, r"optim\.lr is 0\.0; allowed is a number above 0"),
        ({"optim": {"warmup": 100, "decay_steps": 50}}, r"decay_steps is 50; allowed is more than warmup, 100"),
        ({"optim": {"name": "adamw8"}}, r"optim\.name is 'adamw8'.*did you mean 'adamw'"),
        ({"ema": {"widths": [0.05]}}, r"ema\.widths is \[0\.05\]; allowed are none, or two or more"),
        ({"ema": {"decay": 1.0}}, r"ema\.decay is 1\.0"),
        ({"lotus": {"reconstruct_share": 0.5}}, "lotus has settings, but task is denoise, which does not read them"),
        (
            {"task": "consistency", "loop": {"shard": True}},
            r"loop\.shard spreads the student, but not the moving average",
        ),
        ({"loop": {"minutes": -1.0}}, r"loop\.minutes is -1\.0"),
        ({"task": "autoencode"}, r'base\.kind is model; autoencode starts from nothing: write kind = "nothing"'),
        ({"base": {"kind": "nothing", "model": ""}}, r"base\.kind is nothing, from which .* start; denoise needs"),
        ({"base": {"kind": "nothing"}}, r"base\.kind is nothing and base\.model is 'builtin.*an empty model is for"),
        ({"base": {"steps": 0}}, r"base\.steps is 0; allowed is 1 or more"),
        ({"task": "regress", "base": NOTHING, "target": {"kind": "depth"}}, "kind is depth; regress learns disparity"),
        ({"task": "autoencode", "base": NOTHING, "lora": {}}, r"lora adapts a U-Net.*remove \[lora\]"),
        ({"target": {"kind": "photo"}}, r'base\.kind is model; an image prior starts from kind = "autoencoder"'),
        ({"task": "lotus", "target": {"kind": "photo"}}, r"target\.kind is photo, which denoise and autoencode can"),
        ({"task": "lotus", "align": {"teacher": "x"}}, r"align draws a denoiser of depth.*remove \[align\]"),
        ({"align": {"teacher": "x"}, "loop": {"recompute": True}}, r"loop\.recompute take apart; leave"),
        ({"data": [{"name": "a", "path": "x", "target": "photo"}]}, "data a: target is given, which only autoencode"),
        (
            {"data": [{"name": "a", "path": "x", "views": 2}, {"name": "b", "path": "x"}]},
            "views are encoded once for all sets or for none",
        ),
        ({"task": "end_to_end", "data": [{"name": "a", "path": "x", "views": 2}]}, "for tasks that train on latents"),
        (
            {"data": [{"name": "a", "path": "x", "manifest": {"sources": ["one"]}}]},
            "data a: manifest has settings, but format is shards; remove them",
        ),
        ({"loop": {"keep": 0}}, r"loop\.keep is 0; allowed is 1 or more"),
    ],
)
def test_what_contradicts_is_refused(table: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        from_dict(TrainConfig, table)


def test_portions_are_shared_out_evenly_or_refused():
    loop = LoopConfig(batch=32, micro_batch=2)
    assert [loop.portions(n) for n in (1, 2, 4, 8, 16)] == [16, 8, 4, 2, 1]
    with pytest.raises(ValueError, match=r"batch is 32: with micro_batch 2.*3 processes.*--loop\.batch 30 or 36"):
        loop.portions(3)


def test_8_bit_moments_can_not_be_spread():
    with pytest.raises(ValueError, match="adamw8bit, whose moments can't be spread"):
        FitConfig(LoopConfig(shard=True), OptimConfig(name="adamw8bit"))


def test_only_what_changes_the_result_is_fixed():
    config = TrainConfig(data=(DataConfig("a", Path("x")),))
    same = replace(
        config,
        loop=replace(config.loop, steps=7, minutes=1.0, workers=5, save_every=3),
        data=(replace(config.data[0], path=Path("elsewhere")),),
        data_root=Path("/data"),
    )
    assert fixed_keys(same) == fixed_keys(config)
    for other in (
        replace(config, task="end_to_end"),
        replace(config, loop=replace(config.loop, seed=1)),
        replace(config, optim=replace(config.optim, lr=1.0)),
        replace(config, data=(replace(config.data[0], weight=0.5),)),
        replace(config, lora=LoraOptions()),
        replace(config, ema=EmaConfig(decay=0.5)),
    ):
        assert fixed_keys(other) != fixed_keys(config)


def test_tables_are_flattened_by_dots():
    assert flat({"a": {"b": 1}, "c": [{"d": 2}, {"d": 3}], "e": (1, 2), "f": []}) == {
        "a.b": 1, "c.0.d": 2, "c.1.d": 3, "e": [1, 2], "f": [],
    }  # fmt: skip
