"""Changes inside intact bodies that look like fractures and are none: degeneration, normal variants, benign lesions."""

import numpy as np

from SpineFractureSegLib.engine.simulator.body_coordinates import BodyCoordinates


def degenerate_hu(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """Hounsfield units (N,) of an intact body with one or two changes, drawn at random."""
    for kind in rng.choice(list(MIMICS), rng.integers(1, 3), replace=False):
        hu = MIMICS[kind](hu, body, rng)
    return hu


def schmorl_node(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """Disc that entered the endplate, with a dense rim."""
    endplate = float(rng.integers(2))
    flat = rng.uniform(0.6, 1.0)  # wider than deep
    along = (body.share - endplate) * body.frame.height_mm / flat
    distance = np.sqrt(along**2 + (body.depth - rng.normal(-2, 6)) ** 2 + (body.width - rng.normal(0, 6)) ** 2)
    distance = distance + body.wavy(rng, 0.5)
    radius = rng.uniform(2.5, 6)
    node = 1 / (1 + np.exp(np.clip((distance - radius) / 0.5, -30, 30)))
    rim = np.exp(-(((distance - radius - 1.2) / 1.1) ** 2))
    return hu * (1 - node) + _disc_hu(hu) * node + rng.uniform(0, 300) * rim


def _disc_hu(hu: np.ndarray) -> float:
    """Disc in a scan whose bone looks like this: thick slices mix the two."""
    return float(np.clip(0.55 * np.median(hu), 60, 120))


def endplate_sclerosis(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """A dense endplate, in front more often than behind."""
    endplate, thickness_mm = float(rng.integers(2)), rng.uniform(2, 6)
    return dense_endplate(hu, body, endplate, thickness_mm, rng)


def dense_endplate(
    hu: np.ndarray, body: BodyCoordinates, endplate: float, thickness_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Sclerosis of this thickness under an endplate, 0 the lower and 1 the upper one."""
    band = np.exp(-(((body.share - endplate) * body.frame.height_mm / thickness_mm) ** 2))
    back, front = body.frame.depth_range
    reach = 1 / (1 + np.exp(-np.clip((body.depth - rng.uniform(back, 0.5 * front)) / 3, -30, 30)))
    return hu + rng.uniform(50, 350) * band * reach * np.clip(0.9 + body.wavy(rng, 0.2), 0.2, 1.5)


def density(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """One body denser or less dense than its neighbours."""
    return hu + rng.uniform(-60, 120)


def bone_island(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """A compact dense spot."""
    spot = _ball(body, rng, rng.uniform(1.5, 4.5))
    return hu * (1 - spot) + rng.uniform(500, 1000) * spot


def hemangioma(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """Fat between few, thick, upright trabeculae."""
    lesion = _ball(body, rng, rng.uniform(5, 13))
    bend = body.wavy(rng, 2.0)  # else the struts would stand in rows
    struts = np.cos(body.depth * rng.uniform(1.1, 1.8) + bend) * np.cos(
        body.width * rng.uniform(1.1, 1.8) + body.wavy(rng, 2.0)
    )
    inside = rng.uniform(-40, 60) + rng.uniform(150, 420) * np.clip(struts, 0, 1) ** 2
    return hu * (1 - lesion) + inside * lesion


def limbus(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """A front corner cut off by disc along a smooth, dense-rimmed line since youth."""
    upper = rng.random() < 0.75
    height = (1 - body.share if upper else body.share) * body.frame.height_mm
    depth = body.frame.depth_range[1] - body.depth
    size = rng.uniform(4, 8)
    sideward = body.width - rng.normal(0, 5)
    distance = (height + depth - size + sideward**2 / rng.uniform(18, 40) + body.wavy(rng, 0.4)) / np.sqrt(2)
    central = np.clip(1.3 - np.abs(sideward) / 11, 0, 1)
    line = np.exp(-((distance / rng.uniform(0.7, 1.3)) ** 2)) * central
    rim = np.exp(-(((np.abs(distance) - 2) / 0.9) ** 2)) * central * (distance < 4)
    return hu * (1 - line) + _disc_hu(hu) * line + rng.uniform(0, 200) * rim


def nutrient_canal(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """The basivertebral vein's channel from the middle of the back wall, forked in front."""
    back = body.frame.depth_range[0]
    reach = rng.uniform(6, 0.9 * (body.frame.depth_range[1] - back))
    forward = np.clip((body.depth - back) / reach, 0, 1)
    fork = np.abs(np.abs(body.width) - rng.uniform(2, 8) * forward)
    height = body.height - rng.normal(0, 1.5) + body.wavy(rng, 0.3)
    canal = np.exp(-((np.hypot(fork, height) / rng.uniform(0.9, 1.8)) ** 2)) * (body.depth - back < reach)
    return hu * (1 - 0.85 * canal) + 40 * 0.85 * canal


def osteopenia(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """Thin bone: the inside fades, what is left stands out in upright strands."""
    inside = np.clip(1 - np.abs(2 * body.share - 1) ** 6, 0, 1)
    strands = body.wavy(rng, 0.6)
    return hu + inside * (rng.uniform(-90, -30) + 25 * strands)


def _ball(body: BodyCoordinates, rng: np.random.Generator, radius_mm: float) -> np.ndarray:
    frame = body.frame
    place = rng.normal(0, 0.2, 3) * (frame.height_mm, *(np.ptp(r) for r in (frame.depth_range, frame.width_range)))
    distance = np.sqrt(
        (body.height - place[0]) ** 2 + (body.depth - place[1]) ** 2 + (body.width - place[2]) ** 2
    ) + body.wavy(rng, 0.5)
    return 1 / (1 + np.exp(np.clip((distance - radius_mm) / 0.7, -30, 30)))


MIMICS = {
    "Schmorl node": schmorl_node,
    "endplate sclerosis": endplate_sclerosis,
    "density": density,
    "bone island": bone_island,
    "hemangioma": hemangioma,
    "limbus": limbus,
    "nutrient canal": nutrient_canal,
    "osteopenia": osteopenia,
}
