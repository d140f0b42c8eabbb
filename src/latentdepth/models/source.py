"""A model's name to a folder on this disk: ``builtin:NAME``, ``dir:PATH`` or ``hub:ORG/REPO[@REV]``.

The only file that knows of the hub. Does not know what is inside a model folder beyond "JSON and safetensors".
"""

from __future__ import annotations

import difflib
import errno
import json
import re
from dataclasses import dataclass
from pathlib import Path

BUILTIN = Path(__file__).parent / "builtin"
SCHEMES = ("builtin:", "dir:", "hub:")
SPELLINGS = "builtin:NAME (ships with latentdepth), dir:PATH (a folder) or hub:ORG/REPO[@REV] (downloaded)"

_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
# The networks of a pipeline lie in subfolders; a single network is model.safetensors, whole or in numbered parts, or
# diffusion_pytorch_model.safetensors (a tiny autoencoder). Other weights at the root of a repository are all-in-one
# files for other programs.
# Pickles (*.bin, *.ckpt) can run code when they are read and are never fetched.
_ROOT_WEIGHTS = ("model.safetensors", "model-*.safetensors", "diffusion_pytorch_model.safetensors")
_WANTED = ["*.json", "*.txt", "*/*.safetensors", "empty_prompt.safetensors", *_ROOT_WEIGHTS]
_SAYS_DEPTH = ("architecture", "architectures")  # of our own students ("latentdepth student") and of transformers
_SECOND_COPIES = ["*.fp16.safetensors", "*.non_ema.safetensors"]


@dataclass(frozen=True)
class Installed:
    """A model that loads without network."""

    name: str
    """What ``--model`` takes."""
    size_bytes: int
    summary: str
    """First sentence of its card; empty where there is none."""


def resolve(name: str) -> Path:
    """The folder that ``name`` stands for, downloaded first if need be.

    Raises ValueError saying what to type instead.
    """
    scheme, colon, rest = name.partition(":")
    if colon and scheme == "builtin":
        return _builtin(rest)
    if colon and scheme == "dir":
        folder = Path(rest).expanduser()
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise ValueError(f"model {name!r}: {folder} {what}; give dir: and the path of a model folder")
        return folder
    if colon and scheme == "hub":
        return _hub(rest)
    raise ValueError(f"model {name!r} is not spelt in full: {_suggestion(name)}a model is one of {SPELLINGS}")


def builtin_names() -> list[str]:
    """Names of the embedded models, without ``builtin:``."""
    return sorted(folder.name for folder in BUILTIN.iterdir() if _is_model(folder))


def builtin_models() -> list[Installed]:
    """The embedded models with size and card."""
    return [
        Installed(f"builtin:{name}", _size_bytes(BUILTIN / name), card_summary(BUILTIN / name))
        for name in builtin_names()
    ]


def cached_models() -> list[Installed]:
    """Depth-like models already in the hub's cache on this disk; looks at files only, never at the network."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        # where downloads go now; left out, it is where they went when that module was first imported
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    found = []
    for repository in repositories:
        folders = [revision.snapshot_path for revision in repository.revisions]
        folder = next((f for f in folders if _is_model(f) and _has_weights(f)), None)
        if folder is not None:
            found.append(Installed(f"hub:{repository.repo_id}", repository.size_on_disk, card_summary(folder)))
    return sorted(found, key=lambda model: model.name)


def card_summary(folder: Path) -> str:
    """First sentence of running text in the folder's README.md."""
    card = folder / "README.md"
    if not card.exists():
        return ""
    text = re.sub(r"\A---\n.*?\n---\n", "", card.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(paragraph.split())
        if line and not line.startswith(("#", "<", "|", "!", "[", "-", "```")):
            return re.split(r"(?<=[.!?])\s", line)[0]
    return ""


def _builtin(name: str) -> Path:
    names = builtin_names()
    if name in names:
        return BUILTIN / name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean builtin:{near[0]}? " if near else ""
    raise ValueError(
        f"there is no embedded model {name!r}: {hint}there are {', '.join(names) or 'none in this install'}"
    )


def _suggestion(name: str) -> str:
    """A guess at what a bare name was meant to be, as the start of a sentence."""
    near = difflib.get_close_matches(name.rpartition(":")[2], builtin_names(), n=1)
    guesses = [f"dir:{name}"] if Path(name).expanduser().is_dir() else []
    guesses += [f"builtin:{one}" for one in near]
    if not guesses and _HUB_NAME.fullmatch(name):
        guesses = [f"hub:{name}"]
    return f"did you mean {' or '.join(guesses)}? " if guesses else ""


def _hub(name: str) -> Path:
    match = _HUB_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"model 'hub:{name}': wanted is hub:ORG/REPO or hub:ORG/REPO@REV, REV a branch, tag or commit")
    repo, revision = match["repo"], match["revision"]
    # half-precision and training copies double the download; they are fetched only where there is nothing else
    folder = _download(repo, revision, skip=_SECOND_COPIES)
    if not _has_weights(folder):
        folder = _download(repo, revision, skip=[])
    if not _has_weights(folder):
        raise ValueError(
            f"hub:{name} has no safetensors weights, in subfolders or as model.safetensors (looked in {folder}); "
            "pickled weights are never loaded: convert them on a machine that trusts them, then use dir:PATH"
        )
    return folder


def _download(repo: str, revision: str | None, *, skip: list[str]) -> Path:
    """Through the hub's own cache: resumes what was cut off, and works from the cache without network."""
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=_WANTED, ignore_patterns=skip))
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"hub:{repo} has no revision {revision!r}; leave @{revision} out for the newest") from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"hub:{repo} does not exist or is not open to you; check the spelling, "
            "and for a private or gated repository run: hf auth login"
        ) from error
    except errors.HFValidationError as error:
        raise ValueError(f"hub:{repo} is no name of a hub repository: {error}") from error
    except (OSError, errors.HTTPError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ValueError(
                f"hub:{repo}: no space left for the download; free some, or point HF_HOME to another disk. "
                "What has arrived is kept and the same command goes on from there"
            ) from error
        raise ValueError(_without_network(repo, revision, error)) from error


def _without_network(repo: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub import constants, errors

    partly = isinstance(error, errors.IncompleteSnapshotError)
    state = "is only partly in this machine's cache" if partly else "is not in this machine's cache"
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub can't be reached"
    folder = repo.rpartition("/")[2]
    at = f" --revision {revision}" if revision else ""
    embedded = ", ".join(f"builtin:{name}" for name in builtin_names())
    return (
        f"hub:{repo} {state} ({constants.HF_HUB_CACHE}) and {why}. On a machine with network run:\n"
        f"    hf download {repo}{at} --exclude '*.bin' --exclude '*.ckpt' --local-dir {folder}\n"
        f"copy the folder {folder} here and use dir:PATH/{folder}."
        + (f" Without any download there is: {embedded}" if embedded else "")
    )


def _has_weights(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ("*/*.safetensors", *_ROOT_WEIGHTS))


def _is_model(folder: Path) -> bool:
    """Whether it looks like a model: the index of a pipeline, or the settings of one depth network."""
    if (folder / "model_index.json").is_file():
        return True
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return False
    return isinstance(config, dict) and any("depth" in str(config.get(k, "")).lower() for k in _SAYS_DEPTH)


def _size_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
