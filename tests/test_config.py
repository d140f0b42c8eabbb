"""Round trips of typed dataclasses through TOML, and what a wrong file is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest

from latentdepth.config import from_dict, read_toml, to_dict, write_toml
from latentdepth.options import PredictOptions


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Optim:
    lr: float = 3e-5
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class Run:
    name: str
    optim: Optim = field(default_factory=Optim)
    sampler: Literal["ddim", "lcm"] = "ddim"
    colour: Colour = Colour.RED
    folder: Path | None = None
    sizes: tuple[int, ...] = ()
    stages: tuple[Optim, ...] = ()
    resume: bool = True
    limit: int | str | None = None


FULL = Run(
    name='with "quotes" and ü',
    optim=Optim(lr=1e-4, warmup_steps=0, betas=(0.5, 0.25)),
    sampler="lcm",
    colour=Colour.BLUE,
    folder=Path("some/where"),
    sizes=(3, 1, 2),
    stages=(Optim(), Optim(lr=1.0)),
    resume=False,
    limit="all",
)


@pytest.mark.parametrize("run", [FULL, Run(name="short"), Run(name="", limit=3, sizes=(0,))])
def test_what_is_written_reads_back_equal(run: Run, tmp_path: Path) -> None:
    write_toml(run, tmp_path / "run.toml")
    assert read_toml(Run, tmp_path / "run.toml") == run


def test_predict_options_round_trip(tmp_path: Path) -> None:
    options = PredictOptions(effort="best", steps=2, seed=7, match_input=False)
    write_toml(options, tmp_path / "options.toml")
    assert read_toml(PredictOptions, tmp_path / "options.toml") == options


def test_none_is_an_absent_key() -> None:
    assert "folder" not in to_dict(Run(name="x"))
    assert from_dict(Run, {"name": "x"}).folder is None


def test_none_that_would_not_read_back_is_refused() -> None:
    @dataclass(frozen=True)
    class Limit:
        members: int | None = 5

    with pytest.raises(ValueError, match=r"members is None.*default 5"):
        to_dict(Limit(members=None))


def test_exponents_are_numbers_and_whole_numbers_are_floats_where_floats_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('name = "x"\n[optim]\nlr = 1e-4\nbetas = [0, 1]\n')
    run = read_toml(Run, path)
    assert run.optim.lr == 1e-4
    assert run.optim.betas == (0.0, 1.0)
    assert isinstance(run.optim.betas[0], float)


def test_infinity_survives(tmp_path: Path) -> None:
    write_toml(Optim(lr=math.inf), tmp_path / "optim.toml")
    assert read_toml(Optim, tmp_path / "optim.toml").lr == math.inf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\n[optim]\nlearn = 1', r"unknown key optim\.learn: allowed are betas, lr, warmup_steps"),
        ('name = "x"\n[optim]\nwarmup_step = 1', r"unknown key optim\.warmup_step: did you mean optim\.warmup_steps\?"),
        ('name = "x"\n[optim]\nlr = "1e-4"', r"optim\.lr is '1e-4', str; wanted is a number"),
        ('name = "x"\n[optim]\nlr = true', r"optim\.lr is True, bool; wanted is a number"),
        ('name = "x"\n[optim]\nwarmup_steps = 1.5', r"optim\.warmup_steps is 1\.5, float; wanted is a whole number"),
        (
            'name = "x"\n[optim]\nbetas = [0.1]',
            r"optim\.betas is \[0\.1\], list; wanted is a list of 2: a number, a",
        ),
        ('name = "x"\nsizes = [1, "2"]', r"sizes\[1\] is '2', str; wanted is a whole number"),
        ('name = "x"\nstages = [{lr = 1}, {lrs = 1}]', r"unknown key stages\[1\]\.lrs: did you mean stages\[1\]\.lr"),
        (
            'name = "x"\nsampler = "dim"',
            r"sampler is 'dim', str; wanted is one of 'ddim', 'lcm'; did you mean 'ddim'",
        ),
        ('name = "x"\ncolour = "green"', r"colour is 'green', str; wanted is one of 'red', 'blue'"),
        ('name = "x"\noptim = 3', r"optim is 3, int; wanted is a table"),
        ('name = "x"\nresume = 1', r"resume is 1, int; wanted is true or false"),
        ('name = "x"\nlimit = 1.5', r"limit is 1\.5, float; wanted is a whole number or text"),
        ("resume = true", r"key name is missing: it has no default; wanted is text"),
        ("name = ", r"not TOML"),
    ],
)
def test_a_wrong_file_is_told_where_and_what(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"run\.toml: " + message):
        read_toml(Run, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.toml: there is no such file"):
        read_toml(Run, tmp_path / "nowhere.toml")
