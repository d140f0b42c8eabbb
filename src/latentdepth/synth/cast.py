"""Exact first hits of rays with a scene's triangles: Embree finds the triangle, double precision finds the distance.

Needs neither Mitsuba nor LLVM nor a display. Knows no cameras.

Embree computes in single precision, whose error grows with the distance from the origin of the coordinates and is
millimetres at a kilometre. So it only says *which* triangle is hit; the distance to that triangle's plane is then
computed in float64, in coordinates that start at the ray's origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from latentdepth.synth.scene import Scene

_CHUNK = 1 << 18  # rays at once; bounds the memory of the float64 part


@dataclass(frozen=True, eq=False)
class Hits:
    """What each ray meets first. A ray that meets nothing has distance +inf, face and mesh -1 and normal 0."""

    distance: Float[np.ndarray, " r"]
    """In units of the ray's direction, which need not be of unit length."""
    face: Int[np.ndarray, " r"]
    """Index into ``RayScene.faces``."""
    mesh: Int[np.ndarray, " r"]
    """Index into ``Scene.meshes``."""
    normal: Float[np.ndarray, "r 3"]
    """Unit normal of the flat triangle, turned towards the ray's origin."""


class RayScene:
    """The triangles of a scene, ready to be hit. Holds Embree's tree."""

    def __init__(self, scene: Scene) -> None:
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as missing:
            raise ImportError('embreex is needed for exact depth: pip install "latentdepth[synth]"') from missing
        counts = [len(mesh.vertices) for mesh in scene.meshes]
        starts = np.cumsum([0, *counts[:-1]]) if counts else np.zeros(0, int)
        self.vertices = np.concatenate([np.zeros((0, 3)), *(np.asarray(m.vertices, np.float64) for m in scene.meshes)])
        shifted = [np.asarray(m.faces, np.int64) + s for m, s in zip(scene.meshes, starts, strict=True)]
        self.faces = np.concatenate([np.zeros((0, 3), np.int64), *shifted])
        self.mesh_of_face = np.repeat(np.arange(len(counts)), [len(m.faces) for m in scene.meshes]).astype(np.int64)
        _check(self.vertices, scene, starts)
        self._centre = (self.low + self.high) / 2
        self._tree = None
        if len(self.faces):
            self._tree = EmbreeScene()
            # the tree keeps no reference to what it is built from
            self._kept = (
                np.ascontiguousarray(self.vertices - self._centre, dtype=np.float32),
                np.ascontiguousarray(self.faces, dtype=np.int32),
            )
            TriangleMesh(self._tree, *self._kept)

    @property
    def low(self) -> Float[np.ndarray, " 3"]:
        """Least coordinates of any vertex; 0 in an empty scene."""
        return self.vertices.min(0) if len(self.vertices) else np.zeros(3)

    @property
    def high(self) -> Float[np.ndarray, " 3"]:
        """Greatest coordinates of any vertex; 0 in an empty scene."""
        return self.vertices.max(0) if len(self.vertices) else np.zeros(3)

    def hit(self, origins: Float[np.ndarray, "r 3"], directions: Float[np.ndarray, "r 3"]) -> Hits:
        """The first triangle that each ray meets, seen from either side. World coordinates, metres."""
        parts = [
            self._hit(origins[k : k + _CHUNK].astype(np.float64), directions[k : k + _CHUNK].astype(np.float64))
            for k in range(0, max(len(origins), 1), _CHUNK)
        ]
        return Hits(
            np.concatenate([part.distance for part in parts]),
            np.concatenate([part.face for part in parts]),
            np.concatenate([part.mesh for part in parts]),
            np.concatenate([part.normal for part in parts]),
        )

    def _hit(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        distance = np.full(len(origins), np.inf)
        face = np.full(len(origins), -1, np.int64)
        mesh = np.full(len(origins), -1, np.int64)
        normal = np.zeros((len(origins), 3))
        if self._tree is None or not len(origins):
            return Hits(distance, face, mesh, normal)
        found = self._tree.run(
            np.ascontiguousarray(origins - self._centre, dtype=np.float32),
            np.ascontiguousarray(directions, dtype=np.float32),
            output=True,
        )
        met = found["primID"] >= 0
        face[met] = found["primID"][met]
        mesh[met] = self.mesh_of_face[face[met]]
        corners = self.vertices[self.faces[face[met]]] - origins[met, None]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        along = (across * directions[met]).sum(1)
        length = np.linalg.norm(across, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            exact = (across * corners[:, 0]).sum(1) / along
        rough = found["tfar"][met].astype(np.float64)
        # a triangle seen edge-on has no well-conditioned plane distance; single precision is the better answer there
        trusted = np.abs(along) > 1e-6 * length * np.linalg.norm(directions[met], axis=1)
        trusted &= np.abs(exact - rough) <= 1e-3 * np.abs(rough) + 1e-3
        distance[met] = np.where(trusted, exact, rough)
        normal[met] = across * (-np.sign(along) / np.maximum(length, 1e-300))[:, None]
        return Hits(distance, face, mesh, normal)


def _check(vertices: np.ndarray, scene: Scene, starts: np.ndarray) -> None:
    """Embree never ends, or crashes, on what isn't finite or points outside the vertices."""
    if not np.isfinite(vertices).all():
        bad = int(np.flatnonzero(~np.isfinite(vertices).all(1))[0])
        mesh = int(np.searchsorted(starts, bad, side="right")) - 1
        raise ValueError(
            f"mesh {mesh} of this {scene.kind} holds a vertex that is not finite; vertices must be numbers"
        )
    for number, mesh in enumerate(scene.meshes):
        if len(mesh.faces) and not (mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)):
            raise ValueError(
                f"mesh {number} of this {scene.kind} has {len(mesh.vertices)} vertices, but its faces name "
                f"{int(mesh.faces.min())} to {int(mesh.faces.max())}"
            )
