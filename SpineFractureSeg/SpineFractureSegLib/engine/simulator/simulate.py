"""One simulated case: a spine is placed, some vertebrae are compressed, the image is made, a scanner looks at it.

Intact vertebrae are deformed mildly by the same map, and every case is resampled the same way, so that neither the
interpolation nor the place in the volume tells which vertebra is fractured.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.simulator.acquisition import acquire
from SpineFractureSegLib.engine.simulator.body_coordinates import body_coordinates
from SpineFractureSegLib.engine.simulator.compression import Squeeze, draw_squeezes
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.fracture_lines import displace_walls, fracture_hu
from SpineFractureSegLib.engine.simulator.hounsfield import synthesize_hu
from SpineFractureSegLib.engine.simulator.mimics import degenerate_hu
from SpineFractureSegLib.engine.simulator.noise import smooth_noise
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame, frames_of

_SMALLEST_VISIBLE = 0.4  # a body with less of its intact volume inside the case is left out of loss and score
_SMALLEST_PAINTED = 500  # mm3


@dataclass(frozen=True)
class Deformation:
    """What happens to one vertebra."""

    squeezes: list[Squeeze]
    height_loss: dict[str, float]  # anterior, middle, posterior
    kind: str  # "wedge", "biconcave", "crush", or "intact"

    @property
    def fractured(self) -> bool:
        return self.kind != "intact"


def simulate_case(spine: Spine, seed: int, config: SimulationConfig = SimulationConfig()) -> Case:  # noqa: B008
    """Simulates one case; the same spine, seed and config give the same case.

    Raises: ValueError, when the spine has no vertebra that could be fractured.
    """
    rng = np.random.default_rng(seed)
    frames = frames_of(spine)
    candidates = [i for i in frames if i >= 3 and i not in spine.genant and i not in spine.uncertain]
    if not candidates and not spine.genant:
        raise ValueError(f"spine {spine.name} has no complete vertebra with a body")
    focus = int(rng.choice(list(set(spine.genant) & set(frames)) or candidates))
    if rng.random() > 0.75 and candidates:
        focus = int(rng.choice(candidates))
    centre = frames[focus].centre + (
        rng.uniform(-1, 1) * config.off_centre_mm[0],
        rng.uniform(-1, 1) * config.off_centre_mm[1],
        rng.normal(0, config.off_centre_mm[2]),
    )
    deformations = _draw_deformations(rng, frames, candidates, centre, bool(spine.genant), config)

    points = _pose(rng, centre.astype(np.float32), config)
    origin, compression = deform(points, frames, deformations, config, rng)
    hu, vertebrae, bodies = sample_spine(spine, origin, config.shape, rng)
    body_ids = np.where(bodies, vertebrae, 0)
    voxels = paint_bodies(hu, body_ids, spine, frames, deformations, origin, compression, config, rng)

    case = Case(
        name=f"{spine.name}-{seed}",
        patient=spine.patient,
        hu=acquire(hu, spine.hu is not None, config, rng),
        bodies=body_ids.astype(np.uint8),
        **truth_of(spine, deformations, voxels),
    )
    return _mirrored(case) if rng.random() < 0.5 else case


def paint_bodies(
    hu: np.ndarray,
    body_ids: np.ndarray,
    spine: Spine,
    frames: dict[int, VertebraFrame],
    deformations: dict[int, Deformation],
    origin: np.ndarray,
    compression: np.ndarray,
    config: SimulationConfig,
    rng: np.random.Generator,
) -> dict[int, np.ndarray]:
    """Draws fracture lines into fractured bodies and degenerative changes into some intact ones, in place.

    Returns: the flat indices of each body's voxels, by id.
    """
    voxels = _voxels_of(body_ids)
    for vertebra, frame in frames.items():
        if vertebra not in voxels or len(voxels[vertebra]) < _SMALLEST_PAINTED:
            continue
        body = body_coordinates(frame, voxels[vertebra], origin, compression)
        deformation = deformations.get(vertebra)
        if deformation is not None and deformation.fractured:
            hu.ravel()[body.voxels] = fracture_hu(hu.ravel()[body.voxels], body, config, rng)
        elif vertebra not in spine.genant and rng.random() < config.mimics:
            hu.ravel()[body.voxels] = degenerate_hu(hu.ravel()[body.voxels], body, rng)
    return voxels


def _draw_deformations(
    rng: np.random.Generator,
    frames: dict[int, VertebraFrame],
    candidates: list[int],
    centre: np.ndarray,
    has_real_fracture: bool,
    config: SimulationConfig,
) -> dict[int, Deformation]:
    """Fractures near the centre of the case, mild natural deformations elsewhere; from the top down."""
    near = [i for i in candidates if abs(frames[i].centre[0] - centre[0]) < 0.42 * config.shape[0]]
    count = int(rng.choice(len(config.fracture_count), p=config.fracture_count))
    if has_real_fracture:
        count = min(count, 1) if rng.random() < 0.4 else 0
    weight = np.array([np.exp(-(((frames[i].centre[0] - centre[0]) / 50) ** 2)) for i in near])
    count = min(count, len(near))
    chosen = set(rng.choice(near, count, replace=False, p=weight / weight.sum()).tolist()) if count else set()
    drawn = {}
    for vertebra in near:
        if vertebra in chosen:
            kind = str(rng.choice(config.types, p=np.array(config.type_weights) / sum(config.type_weights)))
            result = draw_squeezes(rng, frames[vertebra], kind, config.height_loss, config.lateral_tilt, False)
        elif rng.random() < config.intact_deformed:
            kind, shape = "intact", str(rng.choice(("wedge", "biconcave"), p=(0.7, 0.3)))
            result = draw_squeezes(rng, frames[vertebra], shape, config.intact_height_loss, config.lateral_tilt, True)
        else:
            continue
        if result is not None:
            drawn[vertebra] = Deformation(*result, kind)
    return drawn


def _pose(rng: np.random.Generator, centre: np.ndarray, config: SimulationConfig) -> np.ndarray:
    """Points (3, Z*Y*X) of the spine's grid that the case's voxels look at: turned, scaled, smoothly bent."""
    shape = config.shape
    grid = np.indices(shape, dtype=np.float32).reshape(3, -1)
    grid -= (np.array(shape, np.float32) / 2)[:, None]
    grid[1] -= rng.uniform(-30, 15)  # the spine lies behind the middle more often than before it
    about_x, about_y, about_z = np.deg2rad(rng.normal(0, config.tilt_deg))
    rotation = _rotation(1, 0, about_x) @ _rotation(2, 0, about_y) @ _rotation(2, 1, about_z)
    scale = rng.uniform(*config.scale) * np.diag(rng.uniform(*config.stretch, 3))
    points = (rotation @ scale).astype(np.float32) @ grid
    amplitude = np.float32(rng.uniform(*config.elastic_mm))
    for axis in range(3):
        points[axis] += amplitude * smooth_noise(rng, shape, 20).ravel() + centre[axis]
    return points


def _rotation(first: int, second: int, angle: float) -> np.ndarray:
    """Rotation by ``angle`` in the plane of two of the axes z, y, x (0, 1, 2)."""
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = np.sin(angle), -np.sin(angle)
    return matrix


def deform(
    points: np.ndarray,
    frames: dict[int, VertebraFrame],
    deformations: dict[int, Deformation],
    config: SimulationConfig,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Runs the points backwards through all deformations, the lowest vertebra first: it carries all above it."""
    compression = np.ones(points.shape[1], np.float32)
    for vertebra in sorted(deformations, reverse=True):
        deformation = deformations[vertebra]
        if deformation.fractured and rng.random() < config.cortical_step:
            near = np.abs(points - frames[vertebra].centre[:, None]).max(axis=0) < 50
            points[:, near] = displace_walls(points[:, near], frames[vertebra], config, rng)
        for squeeze in deformation.squeezes:
            points, local = squeeze.backward(points)
            compression *= local
    return points, compression


def sample_spine(
    spine: Spine, origin: np.ndarray, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hounsfield units, vertebra ids and bodies at the points; units are synthesized where there is no CT."""
    low = np.floor(origin.min(axis=1)).astype(int) - 2
    high = np.ceil(origin.max(axis=1)).astype(int) + 3
    points = origin - low.astype(np.float32)[:, None]
    vertebrae, bodies = _box(spine.vertebrae, low, high), _box(spine.bodies, low, high)
    if spine.hu is None:
        hu = ndimage.map_coordinates(synthesize_hu(vertebrae, bodies, rng), points, order=1, mode="nearest")
    else:
        hu = ndimage.map_coordinates(_box(spine.hu, low, high, -1000).astype(np.float32), points, order=1, cval=-1000)
    ids = ndimage.map_coordinates(vertebrae, points, order=0)
    inside = ndimage.map_coordinates(bodies.astype(np.float32), points, order=1) > 0.5
    return hu.reshape(shape), ids.reshape(shape), (inside & (ids > 0)).reshape(shape)


def _box(volume: np.ndarray, low: np.ndarray, high: np.ndarray, outside: int = 0) -> np.ndarray:
    """The box [low, high) of a volume, which may reach beyond it."""
    inner_low, inner_high = np.clip(low, 0, volume.shape), np.clip(high, 0, volume.shape)
    inner = volume[tuple(slice(a, b) for a, b in zip(inner_low, inner_high, strict=True))]
    return np.pad(inner, list(zip(inner_low - low, high - inner_high, strict=True)), constant_values=outside)


def _voxels_of(body_ids: np.ndarray) -> dict[int, np.ndarray]:
    """Flat indices of each body's voxels."""
    flat = np.flatnonzero(body_ids)
    values = body_ids.ravel()[flat]
    return {int(i): flat[values == i] for i in np.unique(values)}


def truth_of(spine: Spine, deformations: dict[int, Deformation], voxels: dict[int, np.ndarray]) -> dict:
    """Which bodies are fractured, which are not to be judged, and the numbers behind it."""
    full = np.bincount(spine.vertebrae[spine.bodies], minlength=256)
    cut = {i for i, at in voxels.items() if len(at) < _SMALLEST_VISIBLE * full[i]}
    new = {i for i, deformation in deformations.items() if deformation.fractured and i in voxels}
    real = set(spine.genant) & set(voxels)
    uncertain = (set(spine.uncertain) & set(voxels)) | (cut - new - real)
    about = {
        str(i): {"type": d.kind, "height_loss": {k: round(v, 3) for k, v in d.height_loss.items()}}
        for i, d in deformations.items()
        if i in voxels
    }
    about |= {str(i): {"type": "real fracture", "genant": spine.genant[i]} for i in real}
    return {
        "fractured": tuple(sorted((new | real) - uncertain)),
        "uncertain": tuple(sorted(uncertain)),
        "truth": {"vertebrae": about, "spine": spine.name, "real_ct": spine.hu is not None},
    }


def _mirrored(case: Case) -> Case:
    return replace(
        case, hu=np.ascontiguousarray(case.hu[:, :, ::-1]), bodies=np.ascontiguousarray(case.bodies[:, :, ::-1])
    )
