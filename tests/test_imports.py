"""What importing costs: the package and its help need no torch, and start at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest

SOURCE = Path(__file__).parents[1] / "src"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", [[], ["predict"], ["models"], ["info"], ["view"], ["demo"]])
def test_help_needs_no_torch(verb: list[str]) -> None:
    finished = run_python(
        f"import latentdepth.cli\n"
        f"try: latentdepth.cli.main({[*verb, '--help']})\n"
        f"except SystemExit as end: assert end.code == 0\n"
        f"heavy = {{'torch', 'numpy', 'PIL', 'diffusers', 'transformers', 'huggingface_hub'}} & set(sys.modules)\n"
        f"assert not heavy, heavy"
    )
    assert finished.returncode == 0, finished.stderr
    assert "usage: latentdepth" in finished.stdout


def test_help_takes_under_a_second() -> None:
    """Best of three, so that a busy machine does not decide; it takes about 0.2 s."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run_python("import latentdepth.cli\nlatentdepth.cli.main(['--help'])")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


def test_the_public_names_are_there() -> None:
    import latentdepth

    for name in latentdepth.__all__:
        assert getattr(latentdepth, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'predikt'"):
        latentdepth.predikt  # noqa: B018


def test_the_command_line_offers_what_the_modules_know() -> None:
    """The choices are spelt out twice, so that help needs no torch; both lists are the same."""
    from latentdepth import loading, options
    from latentdepth.export import FORMATS

    assert get_args(options.FormatName) == tuple(FORMATS)
    assert get_args(options.Device) == get_args(loading.Device)
    assert get_args(options.Dtype) == get_args(loading.Dtype)
    assert options.DEFAULT_MODEL == loading.DEFAULT_MODEL
