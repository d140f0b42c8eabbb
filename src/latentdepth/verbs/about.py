"""``latentdepth models`` and ``latentdepth info``: what is here, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Models:
    """List the models that load without network."""


@dataclass(frozen=True)
class Info:
    """Say what a photo or a model holds."""

    subject: Annotated[Positional[str], arg(metavar="IMAGE|MODEL")]
    """A photo, or a model as --model takes it."""


def run_models(_verb: Models) -> int:
    from latentdepth.models.source import builtin_models, cached_models

    models = [*builtin_models(), *cached_models()]
    for model in models:
        print(f"{model.name}  {model.size_bytes / 1e6:.1f} MB" + (f"  {model.summary}" if model.summary else ""))
    print("dir:PATH loads any folder in the diffusers layout, hub:ORG/REPO[@REV] downloads one.")
    return 0


def run_info(verb: Info) -> int:
    facts: Mapping[str, Any]
    if verb.subject.startswith(("builtin:", "dir:", "hub:")):
        from latentdepth.loading import load

        facts = load(verb.subject, device="cpu").describe()
    else:
        from latentdepth.images import read
        from latentdepth.models.source import resolve

        if not Path(verb.subject).suffix and not Path(verb.subject).is_file():
            resolve(verb.subject)  # says how models are spelt
        photo = read(verb.subject)
        height, width = photo.pixels.shape[-2:]
        camera = photo.camera
        seen = f"{camera.fx_px:.0f} px, {camera.fov_deg:.1f} degrees across" if camera else "not stated in the file"
        facts = {"photo": verb.subject, "size": f"{width} x {height}", "focal length": seen}
        facts = {**facts, **({"notes": "; ".join(photo.notes)} if photo.notes else {})}
    for name, value in facts.items():
        print(f"{name}: {value}")
    return 0
