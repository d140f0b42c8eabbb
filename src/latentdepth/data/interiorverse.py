"""InteriorVerse (SIGGRAPH Asia 2022): a reader of its EXR frames, as the archives unpack.

``{scenes,dataset}_{85,120}/SCENE/NNN_{im,depth,normal,mask}.exr``: linear radiance, millimetres (+inf where invalid),
normals with x right, y up, z towards the viewer, and a mask of usable pixels. The folder's number is the horizontal
field of view in degrees.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.types import Camera
from latentdepth.data.filelists import check_present, read_list
from latentdepth.data.pairs import in_range, read_bytes
from latentdepth.data.rasters import DepthCoding, decode_array, decode_depth, decode_mask, decode_normals
from latentdepth.data.sample import Sample

NEAR_M, FAR_M = 1e-5, 1000.0
MILLIMETRES = DepthCoding("depth", 1e-3)
_FOLDERS = ("scenes_85", "dataset_85", "scenes_120", "dataset_120")
_FOV_DEG = re.compile(r"_(85|120)$")
_IMAGE = "_im.exr"
_REMEDY = "unpack the InteriorVerse archive again"


class InteriorVerseFrames:
    """The frames of one split, of a list of your own, or of all scenes.

    ``folder`` is ``scenes_85``, ``dataset_120`` or the like, or holds exactly one of them. ``split`` (train, val, test)
    reads the names of scenes in ``SPLIT.txt`` beside them; None takes every scene. ``list_file`` overrides it; the
    first word of each line is the path of an ``_im.exr`` relative to ``folder``. Photos are clipped to [0, 1] and
    raised to 1 / 2.2, as published. Raises ValueError when frames or their files are missing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str | None = None,
        list_file: Path | None = None,
        name: str = "interiorverse",
    ) -> None:
        self._name = name
        inside = [folder / base for base in _FOLDERS if (folder / base).is_dir()]
        if len(inside) > 1:
            raise ValueError(f"{folder}: holds {', '.join(p.name for p in inside)}; name one of them")
        self.folder = inside[0] if inside else folder
        angle = _FOV_DEG.search(self.folder.name)
        if angle is None:
            raise ValueError(
                f"{self.folder}: the folder's name must end in _85 or _120, its field of view; allowed are "
                f"{', '.join(_FOLDERS)}"
            )
        self._fov_deg = float(angle.group(1))
        if list_file is not None:
            lines = read_list(list_file, columns=1, remedy="name a list whose lines start with SCENE/NNN_im.exr")
            # published lists start in the folder above
            self._images = [line[0].removeprefix(f"{self.folder.name}/") for line in lines]
        else:
            list_file = self.folder if split is None else self.folder / f"{split}.txt"
            self._images = self._found(split, list_file)
        check_present(self.folder, self._images, list_file, remedy=_REMEDY)
        check_present(self.folder, [_beside(path, "depth") for path in self._images], list_file, remedy=_REMEDY)

    def _found(self, split: str | None, list_file: Path) -> list[str]:
        if split is None:
            scenes = sorted(path.name for path in self.folder.glob("*") if path.is_dir())
        else:
            remedy = "give split=None for all scenes"
            scenes = [line[0] for line in read_list(list_file, columns=1, remedy=remedy)]
        images = [f"{scene}/{p.name}" for scene in scenes for p in sorted((self.folder / scene).glob(f"*{_IMAGE}"))]
        if not images:
            raise ValueError(f"{self.folder}: holds no SCENE/NNN_im.exr; {_REMEDY}, or name the folder of the scenes")
        return images

    @property
    def name(self) -> str:
        """Short name for mixing weights and reports."""
        return self._name

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        """Decode one frame; its group is the scene. ValueError names the file and what is wrong with it.

        Pixels are valid where the mask says so (if there is one), depth is finite and the photo holds no NaN.
        """
        relative = self._images[index]
        image = self._decode_image(relative)
        height, width = image.shape[-2:]
        camera = Camera.from_focal(_focal_px(self._fov_deg, width), width, height)
        place = self.folder / _beside(relative, "depth")
        content = read_bytes(place, remedy=_REMEDY)
        depth_m, valid = decode_depth(content, ".exr", MILLIMETRES, camera, str(place))
        self._check_size(place, depth_m, image)
        # +inf is a hole here, not sky
        valid = valid & depth_m.isfinite() & image.isfinite().all(0, keepdim=True)
        place = self.folder / _beside(relative, "mask")
        if place.is_file():
            mask = decode_mask(read_bytes(place, remedy=_REMEDY), ".exr", str(place))
            self._check_size(place, mask, image)
            valid = valid & mask
        normals = None
        place = self.folder / _beside(relative, "normal")
        if place.is_file():
            normals = decode_normals(read_bytes(place, remedy=_REMEDY), ".exr", str(place))
            self._check_size(place, normals, image)
        sample = Sample(image.nan_to_num(0.0), depth_m, valid, relative.split("/")[0], camera, normals)
        return in_range(sample, str(self.folder / relative), near_m=NEAR_M, far_m=FAR_M, keep_sky=False)

    def _decode_image(self, relative: str) -> Float[Tensor, "3 h w"]:
        path = self.folder / relative
        radiance = decode_array(read_bytes(path, remedy=_REMEDY), ".exr", str(path))
        if radiance.ndim != 3 or radiance.shape[-1] != 3:
            raise ValueError(f"{path}: shape {radiance.shape}; a photo has channels R, G and B; {_REMEDY}")
        return torch.from_numpy(radiance).permute(2, 0, 1).clamp(0, 1).pow(1 / 2.2).contiguous()

    @staticmethod
    def _check_size(path: Path, plane: Tensor, image: Float[Tensor, "3 h w"]) -> None:
        if plane.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f"{path}: {plane.shape[-1]} x {plane.shape[-2]} pixels, but the photo has "
                f"{image.shape[-1]} x {image.shape[-2]}; {_REMEDY}"
            )


def _beside(image: str, kind: str) -> str:
    return f"{image.removesuffix(_IMAGE)}_{kind}.exr"


def _focal_px(fov_deg: float, width_px: int) -> float:
    # across the width, whichever side is longer
    return width_px / 2 / math.tan(math.radians(fov_deg) / 2)
