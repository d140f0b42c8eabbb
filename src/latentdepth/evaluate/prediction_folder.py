"""Predictions made elsewhere: a folder of files, found by the frames' names, behind the contender's signature.

Where ``latentdepth predict`` made the folder, the sidecars say what the values mean; else the user does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.modality import resize
from latentdepth.core.types import Invariance, Kind, Prediction, Quantity
from latentdepth.data.rasters import decode_array
from latentdepth.evaluate.contender import MissingError
from latentdepth.evaluate.table import Setting
from latentdepth.export import SIDECAR_SUFFIX, read_prediction, sidecar

SUFFIXES = (".npy", ".npz", ".png", ".exr", ".tiff", ".tif")
PATTERNS = ("{frame}", "{frame}_pred", "{flat}", "{flat}_pred")
"""Names by rule: ``flat`` is the frame with ``_`` in place of ``/``. Suffixes follow."""


@dataclass(frozen=True)
class PredictionFolder:
    """A folder as a contender, called ``predictions:DIR``."""

    folder: Path
    kind: Kind
    unit: float | None = None
    """Factor on stored values; None: 1, and for PNG counts 1/65535."""
    patterns: tuple[str, ...] = PATTERNS
    resized: bool = False
    """Predictions of another size are brought to the photo's."""

    @classmethod
    def open(
        cls, folder: Path, kind: Kind | None, *, names: str | None = None, unit: float | None = None, resized: bool
    ) -> PredictionFolder:
        """Check what can be checked at once. ``names`` is one pattern with {frame} or {flat} in place of the rule's.

        Raises ValueError when the folder isn't there, nothing says what it holds, or a choice makes no sense.
        """
        if not folder.is_dir():
            raise ValueError(f"{folder}: there is no such folder of predictions")
        first = next(folder.rglob("*" + SIDECAR_SUFFIX), None)
        if kind is None and first is not None:
            kind = read_prediction(first).kind
        if kind is None:
            raise ValueError(
                f"{folder}: nothing says what the values are; type --predicts affine-disparity (or affine-depth, "
                "metric-depth, normals, ...)"
            )
        if names is not None and "{frame}" not in names and "{flat}" not in names:
            raise ValueError(f"--names is {names!r}; it holds {{frame}}, or {{flat}} for _ in place of /")
        if unit is not None and not 0 < unit < float("inf"):
            raise ValueError(f"--unit is {unit}; allowed is a finite number above 0")
        return cls(folder, kind, unit, PATTERNS if names is None else (names,), resized)

    @property
    def name(self) -> str:
        return f"predictions:{self.folder}"

    @property
    def settings(self) -> Mapping[str, Setting]:
        patterns = " ".join(self.patterns)
        return {"kind": str(self.kind), "unit": self.unit, "names": patterns, "resized": self.resized}

    def find(self, frame: str) -> Path:
        """The file of a frame: its sidecar, or the one file whose name fits.

        Raises MissingError when there is none, ValueError when there are several.
        """
        stems = [pattern.format(frame=frame, flat=frame.replace("/", "_")) for pattern in self.patterns]
        described = [path for stem in dict.fromkeys(stems) if (path := sidecar(self.folder / stem)).is_file()]
        if described:
            return described[0]
        given = [self.folder / stem for stem in stems if Path(stem).suffix.lower() in SUFFIXES]
        plain = [self.folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
        found = [path for path in dict.fromkeys((*given, *plain)) if path.is_file()]
        if not found:
            raise MissingError(f"no prediction; looked for {self.folder / stems[0]} with {', '.join(SUFFIXES)}")
        if len(found) > 1:
            names = ", ".join(str(path.relative_to(self.folder)) for path in found)
            raise ValueError(f"{self.folder}: several files for frame {frame}: {names}; leave one of them")
        return found[0]

    def holes(self, frames: Sequence[str]) -> list[str]:
        """Frames without a file. Raises ValueError for a frame with several files, or a folder that has none at all."""
        missing = []
        for frame in frames:
            try:
                self.find(frame)
            except MissingError:
                missing.append(frame)
        if frames and len(missing) == len(frames):
            some = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:3]
            holds = ", ".join(str(path.relative_to(self.folder)) for path in some) or "no file of such a kind"
            raise ValueError(
                f"{self.folder}: none of {len(frames)} frames has a prediction; the first is looked for as "
                f"{frames[0]} with {', '.join(SUFFIXES)} (or _pred before that), the folder holds {holds}; "
                "name the files so, or give --names"
            )
        return missing

    def predict(self, frame: str, image: Float[Tensor, "1 3 h w"]) -> Prediction:
        path = self.find(frame)
        prediction = read_prediction(path) if path.name.endswith(SIDECAR_SUFFIX) else self._read(path)
        if prediction.kind != self.kind:
            raise ValueError(f"{path}: holds {prediction.kind}, the folder {self.kind}; keep them in two folders")
        size = (image.shape[-2], image.shape[-1])
        if not self.resized or tuple(prediction.value.shape[-2:]) == size:
            return prediction
        value = resize(prediction.value, size, antialias=False)
        if self.kind.quantity is Quantity.NORMALS:
            value = value / value.norm(dim=1, keepdim=True).clamp_min(1e-6)
        return Prediction(value, self.kind, made_with=prediction.made_with)

    def _read(self, path: Path) -> Prediction:
        suffix = path.suffix.lower()
        array = _from_npz(path) if suffix == ".npz" else decode_array(path.read_bytes(), suffix, str(path))
        normals = self.kind.quantity is Quantity.NORMALS
        array = _one_picture(array, path, channels=3 if normals else 1)
        if suffix == ".png" and not normals:
            if array.dtype == np.uint8:
                raise ValueError(f"{path}: 8 bits hold 256 depths, too few to measure; save 16-bit PNG, EXR or npy")
            if self.unit is None and self.kind.invariance is Invariance.METRIC:
                raise ValueError(f"{path}: counts of a PNG are no metres; type --unit 0.001 if they are millimetres")
        counts = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
        unit = self.unit if self.unit is not None else 1 / counts
        value = torch.from_numpy(np.ascontiguousarray(array).astype(np.float64) * unit).float()
        if normals and array.dtype.kind == "u":
            value = value * 2 - 1
        return Prediction(value[None], self.kind)


def _from_npz(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as archive:
        keys = list(archive.keys())
        key = "value" if "value" in keys else keys[0] if len(keys) == 1 else None
        if key is None:
            raise ValueError(f"{path}: holds {', '.join(keys)}; name the prediction `value`")
        return archive[key]


def _one_picture(array: np.ndarray, path: Path, *, channels: int) -> np.ndarray:
    """(h, w), (h, w, c), (c, h, w), with ones in front or not -> (c, h, w)."""
    squeezed: np.ndarray = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if squeezed.ndim == 2:
        squeezed = squeezed[None]
    elif squeezed.ndim == 3 and squeezed.shape[-1] == channels:  # of 3 x w x 3 the last, as pictures are stored
        squeezed = squeezed.transpose(2, 0, 1)
    if squeezed.ndim != 3 or squeezed.shape[0] != channels or squeezed.dtype.kind not in "uif" or squeezed.size == 0:
        raise ValueError(
            f"{path}: shape {array.shape} of {array.dtype}; allowed is {'(h, w)' if channels == 1 else '(h, w, 3)'} "
            "of numbers"
        )
    return squeezed
