"""Every benchmark by the word behind ``--on``: where it lies below a folder of data sets, and how it is opened.

Knows no formats: each reader has its own. ``docs/benchmarks.md`` ends with ``described``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from latentdepth.data.benchmarks import da2k, diode, eth3d, ibims, kitti, nyu, scannet, sintel, synthetic
from latentdepth.data.benchmarks import normals as normal_lists
from latentdepth.data.benchmarks.benchmark import Benchmark, Facts
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.folder import FOLDER, open_folders
from latentdepth.data.benchmarks.shard_frames import SHARDS, open_shards

_FOLDER, _SHARDS = "folder:", "shards:"


@dataclass(frozen=True)
class Listed:
    """A published benchmark: its facts, the places below the root where it may be, and its reader."""

    facts: Facts
    places: tuple[str, ...]
    """Folders or tars, the first that holds it counts."""
    opened: Callable[[Path], Benchmark]


def _depth_sets() -> list[Listed]:
    nyu_places, kitti_places = ("nyuv2", "nyu"), ("kitti", "kitti_eigen_split_test.tar")
    diode_places, sintel_places = ("diode", "diode_val.tar"), ("sintel", "Sintel", "MPI-Sintel")
    return [
        Listed(nyu.NYU, (*nyu_places, "nyu_labeled_extracted.tar"), nyu.open_nyu),
        Listed(kitti.KITTI, kitti_places, kitti.open_kitti),
        Listed(kitti.KITTI_GARG, kitti_places, kitti.open_kitti_garg),
        Listed(eth3d.ETH3D, ("eth3d", "eth3d.tar"), eth3d.open_eth3d),
        Listed(scannet.SCANNET, ("scannet", "scannet_val_sampled_800_1.tar"), scannet.open_scannet),
        Listed(diode.DIODE, diode_places, diode.open_diode),
        Listed(diode.DIODE_INDOOR, diode_places, diode.open_diode_indoor),
        Listed(diode.DIODE_OUTDOOR, diode_places, diode.open_diode_outdoor),
        Listed(ibims.IBIMS, ("ibims1", "ibims", "ibims1_core_raw"), ibims.open_ibims),
        Listed(sintel.SINTEL, sintel_places, sintel.open_sintel),
        Listed(sintel.SINTEL_CLEAN, sintel_places, sintel.open_sintel_clean),
        Listed(synthetic.HYPERSIM, ("hypersim", "hypersim_processed_val.tar"), synthetic.open_hypersim),
        Listed(synthetic.VKITTI, ("vkitti", "vkitti2", "vkitti.tar"), synthetic.open_vkitti),
        Listed(da2k.DA2K, ("DA-2K", "da2k", "da-2k"), da2k.open_da2k),
    ]


_NORMALS_PLACES = {
    "nyu-normals": "nyuv2/test",
    "scannet-normals": "scannet",
    "ibims-normals": "ibims/ibims",
    "diode-normals": "diode/val",
    "oasis-normals": "oasis/val",
    "sintel-normals": "sintel",
}


def _all() -> dict[str, Listed]:
    normals = [
        Listed(facts, (_NORMALS_PLACES[facts.key],), partial(normal_lists.open_normals, facts.key))
        for facts in normal_lists.FACTS
    ]
    return {one.facts.key: one for one in (*_depth_sets(), *normals)}


def listing() -> list[Facts]:
    """Facts of every benchmark there is a word for, ``shards:PATH`` and ``folder:PATH`` last."""
    return [*(one.facts for one in _all().values()), SHARDS, FOLDER]


def described() -> str:
    """All benchmarks in Markdown: a table of facts, then files, places and sources of each data set."""
    lines = ["| word | data set | frames | truth | range | scored in |", "|---|---|---|---|---|---|"]
    layouts: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for facts in listing():
        frames = f"{facts.frames:,}" if facts.frames else "as given"
        metres = f"{facts.near_m:g} m to {'any' if facts.far_m is None else f'{facts.far_m:g} m'}"
        region = facts.crop or "the whole picture"
        span = metres if facts.truth in ("depth", "scaled_depth") else "–"
        truth = facts.truth.replace("_", " ")
        lines.append(f"| `{facts.key}` | {facts.title} | {frames} | {truth} | {span} | {region} |")
        places = () if facts in (FOLDER, SHARDS) else _all()[facts.key].places
        layouts.setdefault((facts.layout, facts.source, places), []).append(facts.key)
    for (layout, source, places), keys in layouts.items():
        lines += ["", f"### {', '.join(f'`{key}`' for key in keys)}", ""]
        if places:
            lines += [f"Looked for as {', '.join(f'`{place}`' for place in places)} below the folder of data sets.", ""]
        lines += ["```text", layout, "```", "", f"Source: {source}."]
    return "\n".join([*lines, ""])


def open_benchmark(word: str, root: Path | None = None) -> Benchmark:
    """The benchmark that ``word`` names.

    ``nyu``: looked for below ``root``, under the published names. ``nyu=PATH``: at ``PATH``, a folder or tar.
    ``folder:PATH``: a folder of one's own; ``folder:PATH+PATH`` several as one, ``folder:PATH#SOURCE+SOURCE`` some of
    its sources. ``shards:PATH``: tar shards, as `latentdepth synth` writes them. Raises ``Missing`` when a data set
    isn't there, ValueError for an unknown word, for a word alone without ``root``, and for what the reader refuses.
    """
    if word.startswith(_FOLDER):
        return _folders(word.removeprefix(_FOLDER), word)
    if word.startswith(_SHARDS):
        if not (path := word.removeprefix(_SHARDS)):
            raise ValueError(f"{word!r} names no place; say {SHARDS.key}")
        return open_shards(Path(path))
    key, given, path = word.partition("=")
    known = _all()
    if key not in known:
        raise ValueError(f"there is no benchmark {key!r}; allowed are {', '.join(known)}, {SHARDS.key}, {FOLDER.key}")
    entry = known[key]
    if given:
        if not path:
            raise ValueError(f"{word!r} names no place; say {key}=PATH, a folder or a tar")
        return entry.opened(Path(path))
    if root is None:
        raise ValueError(f"{key!r} needs the folder that holds the data sets, or its own place: {key}=PATH")
    missing = Missing(entry.facts, root / entry.places[0], f"none of {', '.join(entry.places)} is in {root}")
    for place in (root / name for name in entry.places if (root / name).exists()):
        try:
            return entry.opened(place)
        except Missing as error:  # sintel may hold normals, and the depth lie in MPI-Sintel
            missing = error
    raise missing


def _folders(text: str, word: str) -> Benchmark:
    if text and Path(text).is_dir():  # whatever signs its name has
        return open_folders([Path(text)])
    before, _, after = text.partition("#")
    paths, sources = ([part for part in half.split("+") if part] for half in (before, after))
    if not paths:
        raise ValueError(f"{word!r} names no folder; say {FOLDER.key}")
    return open_folders([Path(path) for path in paths], sources=sources)
