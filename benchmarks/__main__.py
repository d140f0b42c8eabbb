"""``python -m benchmarks``: one prediction beside diffusers (``speed``), or any other benchmark here by its name."""

from __future__ import annotations

import argparse
import ast
import runpy
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_CACHE = Path.home() / ".cache" / "latentdepth" / "full-size-random"


def scripts() -> dict[str, str]:
    """Names of the benchmarks that can be run, with the first line of what they say of themselves."""
    found = {}
    for path in sorted(_HERE.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not path.name.startswith("_") and ("__main__" in text or path.stem == "speed"):
            found[path.stem] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


def main() -> None:
    known = scripts()
    if len(sys.argv) > 1 and sys.argv[1] in known and sys.argv[1] != "speed":
        name, sys.argv = sys.argv[1], [str(_HERE / f"{sys.argv[1]}.py"), *sys.argv[2:]]
        sys.path.insert(0, str(_HERE))  # scripts import their siblings by bare names
        runpy.run_path(str(_HERE / f"{name}.py"), run_name="__main__")
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", default="speed", choices=list(known), help="which; its own --help says more")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument("--full", action="store_true", help="ensembles and 4 steps of every size too; hours on a CPU")
    parser.add_argument("--quick", action="store_true", help="the embedded model only")
    parser.add_argument("--weights", type=Path, default=_CACHE, help="folder for random full-size weights, 1.9 GB")
    parser.add_argument("--runs", type=int, default=3, help="warm runs of each side; their median is shown")
    parser.add_argument("--threads", type=int, help="processor threads; by default torch's choice")
    parser.add_argument("--size", nargs="+", metavar="WxHxSTEPSxMEMBERS", help="these only, such as 768x576x1x1")
    parser.add_argument("--no-fp32", action="store_true", help="leave out diffusers in float32")
    arguments = parser.parse_args()
    if arguments.list:
        for name, words in known.items():
            print(f"{name:<16} {words}")
        return
    from benchmarks.speed import Work
    from benchmarks.speed import main as run

    arguments.works = [_work(words, Work) for words in arguments.size or ()]
    run(arguments)


def _work(words: str, kind: type) -> object:
    try:
        width, height, steps, members = (int(part) for part in words.split("x"))
    except ValueError:
        raise SystemExit(f"--size {words}: give WIDTHxHEIGHTxSTEPSxMEMBERS, such as 768x576x1x1") from None
    return kind(height, width, steps, members)


if __name__ == "__main__":
    main()
