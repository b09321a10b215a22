"""Contact sheets of simulated fractures, one per type, to be looked at: does a fracture look like one? Needs pillow."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from SpineFractureSegLib.engine.case import MAP_FRACTURE, Case
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, never_stop, no_progress, raise_if_stopped
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.fractures import KINDS
from SpineFractureSegLib.engine.simulator.part_fractures import LEVELS, PART_KINDS, WING
from SpineFractureSegLib.engine.simulator.sacrum import SACRUM
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.simulate import lay_out, simulate_case

INTACT = "intact"  # the sheet of mimics: vertebrae that look suspicious and are not fractured
WORN_DISC = "worn disc"  # above an intact vertebra
_TILE_MM, _ZOOM, _CAPTION = 96, 2, 16
_WINDOW_HU = (-250.0, 850.0)
_COLUMNS = 2  # cases side by side, each in three planes
_ATTEMPTS = 12  # per case


def write_gallery(
    spines: Sequence[Spine],
    folder: str | Path,
    *,
    kinds: Sequence[str] = (*KINDS, *PART_KINDS, INTACT, WORN_DISC),
    count: int = 8,
    seed: int = 0,
    config: SimulationConfig = SimulationConfig(),  # noqa: B008
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> list[Path]:
    """Writes ``<kind>.png`` for each type: ``count`` vertebrae in a sagittal, coronal and axial slice through them.

    Args:
        spines: with labels, drawn from in turn; those with a CT alone, where they have what is to be broken.
        kinds: of ``fractures.KINDS``, ``part_fractures.PART_KINDS``, ``INTACT`` or ``WORN_DISC``.

    Raises: Cancelled.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for done, kind in enumerate(kinds):
        on_progress(done, len(kinds), "contact sheets")
        raise_if_stopped(should_stop)
        paths.append(folder / f"{kind.replace(' ', '_')}.png")
        _sheet(_tiles(_with_levels(spines, kind), kind, count, seed, config)).save(paths[-1])
    on_progress(len(kinds), len(kinds), "contact sheets")
    return paths


def _with_levels(spines: Sequence[Spine], kind: str) -> Sequence[Spine]:
    """Spines that may show the kind, those with a CT first."""
    if kind == WING:  # no label map of a CT holds the wings; below one without CT they are made
        return [spine for spine in spines if spine.hu is None] or spines
    able = [spine for spine in spines if kind not in LEVELS or set(LEVELS[kind]) & set(spine.ids)] or spines
    return [spine for spine in able if spine.hu is not None] or able


def _tiles(
    spines: Sequence[Spine], kind: str, count: int, seed: int, config: SimulationConfig
) -> list[tuple[str, list[np.ndarray]]]:
    config = replace(config, shape=(144, 120, 104), off_centre_mm=(12.0, 8.0, 4.0))
    if kind == INTACT:
        config = replace(config, fracture_count=(1.0,), mimics=1.0)
    elif kind == WORN_DISC:
        config = replace(config, fracture_count=(1.0,), worn_discs=0.6, cement=0.0, implants=0.0)
    elif kind in PART_KINDS:
        config = replace(config, fracture_count=(0.0, 1.0), part_fractures=1.0, part_types=(kind,), part_weights=(1.0,))
    else:
        config = replace(config, fracture_count=(0.0, 1.0), types=(kind,), type_weights=(1.0,), part_fractures=0.0)
    tiles = []
    for attempt in range(count * _ATTEMPTS):
        spine = spines[attempt % len(spines)]
        if not _planned(spine, seed + attempt, config, kind):
            continue
        case = simulate_case(spine, seed + attempt, config)
        vertebra = _shown(case, kind, config)
        if vertebra is not None:
            tiles.append((_caption(case, vertebra), _planes(case, vertebra)))
        if len(tiles) == count:
            break
    return tiles


def _planned(spine: Spine, seed: int, config: SimulationConfig, kind: str) -> bool:
    """Whether the case will have the kind: known before its image is made."""
    if kind == INTACT:
        return True
    layout = lay_out(spine, seed, config)
    return bool(layout.worn) if kind == WORN_DISC else any(d.kind == kind for d in layout.plan.values())


def _shown(case: Case, kind: str, config: SimulationConfig) -> int | None:
    """The whole vertebra of the wanted type nearest to the middle of the case, if there is one."""
    about, found = case.truth["vertebrae"], {}
    for vertebra in np.unique(case.bodies[case.bodies > 0]).tolist():
        here = about.get(str(vertebra), {"type": INTACT, "part": "none"})
        is_kind = str(vertebra) in case.truth["worn_discs"] if kind == WORN_DISC else here["type"] == kind
        if not is_kind or vertebra in case.uncertain or (kind == INTACT and vertebra >= SACRUM):
            continue
        shown = _voxels_shown(case, vertebra, here["part"])
        if shown.any():
            found[vertebra] = abs(np.nonzero(shown)[0].mean() - config.shape[0] / 2)
    return min(found, key=found.get) if found else None


def _voxels_shown(case: Case, vertebra: int, part: str) -> np.ndarray:
    """The body, or what is labelled of a broken part."""
    if part in ("body", "none"):
        return case.bodies == vertebra
    return np.zeros(0, bool) if case.fracture_map is None else case.fracture_map == MAP_FRACTURE


def _planes(case: Case, vertebra: int) -> list[np.ndarray]:
    """Sagittal, coronal and axial tile uint8 through the middle of what is shown."""
    part = case.truth["vertebrae"].get(str(vertebra), {"part": "none"})["part"]
    z, y, x = (round(float(np.median(at))) for at in np.nonzero(_voxels_shown(case, vertebra, part)))
    half = _TILE_MM // 2
    padded = np.pad(case.hu, half, constant_values=-1024)
    box = padded[z : z + _TILE_MM, y : y + _TILE_MM, x : x + _TILE_MM]
    low, high = _WINDOW_HU
    grey = np.clip((box.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return [grey[::-1, :, half], grey[::-1, half, :], grey[half]]


def _caption(case: Case, vertebra: int) -> str:
    about = case.truth["vertebrae"].get(str(vertebra), {})
    loss = ", ".join(f"{100 * share:.0f}" for share in about.get("height_loss", {}).values())
    age = about.get("age", "none")
    lost = f"  loss {loss} %" if any(about.get("height_loss", {}).values()) else ""
    worn = case.truth["worn_discs"].get(str(vertebra))
    disc = f"  disc {worn:.1f} mm lower" if worn else ""
    return f"{case.name}  {vertebra}{f'  {age}' if age != 'none' else ''}{lost}{disc}"


def _sheet(tiles: list[tuple[str, list[np.ndarray]]]) -> Image.Image:
    side = _TILE_MM * _ZOOM
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("L", (_COLUMNS * (3 * side + 8), max(1, rows) * (side + _CAPTION)))
    draw = ImageDraw.Draw(sheet)
    for number, (caption, planes) in enumerate(tiles):
        left, top = number % _COLUMNS * (3 * side + 8), number // _COLUMNS * (side + _CAPTION)
        draw.text((left + 2, top + 2), caption, fill=255)
        for column, plane in enumerate(planes):
            picture = Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC)
            sheet.paste(picture, (left + column * side, top + _CAPTION))
    return sheet
