"""The surface of a single real vertebra put into another patient's spine, in the place of the vertebra of its level.

The lower endplates are laid on each other, sizes matched by the body's cross-section. What is above is carried along
rigidly with the upper endplate, as after a real collapse: the discs keep their shape and the column bends. Only the
outline of the one vertebra is that of a fracture that has happened.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.benchmark.mesh import read_ply, voxelized
from SpineFractureSegLib.engine.benchmark.real_shapes import RealShape
from SpineFractureSegLib.engine.data.vertebra_ids import ID_OF_NAME, NAMES
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.simulator.bodies import vertebral_bodies
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame, frames_of

_COLUMNS = ("file", "vertebra", "genant")
_SCALE = (0.75, 1.33)  # of the shape; beyond it is no vertebra of this level
_ROOM = 12  # voxels added above, where the column may be carried to


@dataclass(frozen=True)
class MeshShape:
    """One row of the table."""

    path: Path
    vertebra: int  # VerSe id
    genant: int  # 0: intact, as a control


def read_shape_table(folder: str | Path, table: str | Path) -> list[MeshShape]:
    """The meshes of a CSV table with the columns file, vertebra ("L1") and genant (0 to 3); files are in the folder.

    Raises: UserError, when the table or a file of it cannot be used.
    """
    try:
        rows = list(csv.DictReader(Path(table).read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise UserError(f"There is no table of shapes '{table}': name one with --shapes-table.") from error
    shapes = []
    for row in rows:
        path = Path(folder) / (row.get("file") or "")
        vertebra, grade = ID_OF_NAME.get(row.get("vertebra")), row.get("genant")
        if vertebra is None or grade not in ("0", "1", "2", "3") or not path.is_file():
            raise UserError(
                f"'{table}' has the row {list(row.values())}: an existing file, a vertebra such as L1 and a Genant "
                f"grade of 0 to 3 are needed in the columns {', '.join(_COLUMNS)}."
            )
        shapes.append(MeshShape(path, vertebra, int(grade)))
    if not shapes:
        raise UserError(f"'{table}' has no rows: add one per mesh, with the columns {', '.join(_COLUMNS)}.")
    return shapes


def shapes_of_table(folder: str | Path, table: str | Path | None, spines: Sequence[Spine]) -> list[RealShape]:
    """Every shape of a table, ``shapes.csv`` in the folder unless named, in one of these spines.

    Raises: UserError, as ``read_shape_table`` and ``shape_in_spine``.
    """
    return [shape_in_spine(shape, spines) for shape in read_shape_table(folder, table or Path(folder) / "shapes.csv")]


def shape_in_spine(shape: MeshShape, spines: Sequence[Spine]) -> RealShape:
    """The shape in the first of these spines that has its vertebra and both neighbors, intact and with arches.

    Raises: UserError, when no spine has, or the mesh is no vertebra of this level.
    """
    host = _host(shape.vertebra, spines)
    label = np.where(voxelized(*read_ply(shape.path)), np.uint8(shape.vertebra), np.uint8(0))
    alone = replace(host, vertebrae=label, bodies=vertebral_bodies(label))
    own = frames_of(alone).get(shape.vertebra)
    theirs = frames_of(host)[shape.vertebra]
    scale = 0.0 if own is None else np.sqrt(_cross_section(theirs) / _cross_section(own))
    if not _SCALE[0] <= scale <= _SCALE[1]:
        raise UserError(f"'{shape.path}' does not look like {NAMES[shape.vertebra]}: a mesh in mm, in LPS, is needed.")
    name = shape.path.stem
    genant = {shape.vertebra: shape.genant} if shape.genant else {}
    spine = replace(_exchanged(host, theirs, alone, own, float(scale)), name=name, patient=name, genant=genant)
    return RealShape(spine, {shape.vertebra: shape.genant}, "mesh")


def _host(vertebra: int, spines: Sequence[Spine]) -> Spine:
    around = {vertebra - 1, vertebra, vertebra + 1}
    for spine in sorted(spines, key=lambda spine: (spine.split != "test", spine.name)):
        if spine.has_arches and spine.hu is None and not around & set(spine.genant):
            room = np.pad(spine.vertebrae, ((0, _ROOM), (0, 0), (0, 0)))
            host = replace(spine, vertebrae=room, bodies=np.pad(spine.bodies, ((0, _ROOM), (0, 0), (0, 0))))
            if around <= set(frames_of(host)):
                return replace(host, uncertain=tuple(set(host.uncertain) - {vertebra}))
    raise UserError(f"No spine of the library can take a mesh of {NAMES[vertebra]}: one with its neighbors is needed.")


def _exchanged(host: Spine, theirs: VertebraFrame, alone: Spine, own: VertebraFrame, scale: float) -> Spine:
    """The host with the shape, and what is above moved."""
    points = np.indices(host.vertebrae.shape, np.float32).reshape(3, -1)
    lower_theirs, lower_own = _plate(theirs, theirs.lower_plane), _plate(own, own.lower_plane)
    turn = lower_theirs[1] @ lower_own[1].T  # from the shape's axes to the host's
    in_shape = lower_own[0] + turn.T @ (points - lower_theirs[0]) / scale

    place, axes = _plate(own, own.upper_plane)
    upper_new = lower_theirs[0] + scale * turn @ (place - lower_own[0]), turn @ axes
    upper_old = _plate(theirs, theirs.upper_plane)
    in_host = upper_old[0] + upper_old[1] @ upper_new[1].T @ (points - upper_new[0])

    number = theirs.vertebra
    above = host.vertebrae * (host.vertebrae < number)
    vertebrae, bodies = (
        ndimage.map_coordinates(volume, in_host, order=0).reshape(host.vertebrae.shape)
        for volume in (above, host.bodies & (above > 0))
    )
    inside = _sampled(alone.vertebrae > 0, in_shape, vertebrae.shape)
    body = inside & _sampled(alone.bodies, in_shape, vertebrae.shape)
    below = host.vertebrae > number
    vertebrae[inside], bodies[inside] = number, body[inside]
    vertebrae[below], bodies[below] = host.vertebrae[below], host.bodies[below]
    return replace(host, vertebrae=vertebrae, bodies=bodies)


def _cross_section(frame: VertebraFrame) -> float:
    return float(np.ptp(frame.depth_range) * np.ptp(frame.width_range))


def _plate(frame: VertebraFrame, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle (3, 1) of an endplate and its axes (3, 3): up, front and side as columns, in z, y, x."""
    depth, width = np.mean(frame.depth_range), np.mean(frame.width_range)
    height = plane[0] + plane[1] * depth + plane[2] * width
    middle = frame.centre + height * frame.up + depth * frame.front + width * frame.side
    up = frame.up - plane[1] * frame.front - plane[2] * frame.side
    up = up / np.linalg.norm(up)
    front = frame.front - (frame.front @ up) * up
    front = front / np.linalg.norm(front)
    return middle[:, None], np.stack([up, front, np.cross(up, front)], axis=1)


def _sampled(mask: np.ndarray, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return ndimage.map_coordinates(mask.astype(np.float32), points, order=1).reshape(shape) >= 0.5
