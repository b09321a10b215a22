from dataclasses import replace

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.simulator.config import HELD_OUT, SimulationConfig
from SpineFractureSegLib.engine.simulator.generate import generate_cases, real_negative
from SpineFractureSegLib.engine.simulator.shapes import save_spine

SMALL = SimulationConfig(shape=(96, 80, 48))


@pytest.fixture
def library(made_spine, label_spine, tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    save_spine(folder / "made.npz", made_spine)
    save_spine(folder / "labels.npz", label_spine)
    return folder


def test_cases_and_real_negatives_are_written_and_kept_by_a_second_call(library, tmp_path):
    made = generate_cases(library, "train", 3, tmp_path / "cases", config=SMALL)
    times = [path.stat().st_mtime_ns for path in made.simulated]
    assert len(made.simulated) == 3
    assert [path.name for path in made.real_negatives] == ["real-made.npz"]
    again = generate_cases(library, "train", 4, tmp_path / "cases", config=SMALL)
    assert again.simulated[:3] == made.simulated
    assert [path.stat().st_mtime_ns for path in again.simulated[:3]] == times
    assert again.simulated[3].exists()
    assert made.cpu_seconds > 0
    assert generate_cases(library, "train", 4, tmp_path / "cases", config=SMALL).cpu_seconds is None


def test_every_real_ct_comes_with_fractures_and_with_its_twin(library, tmp_path):
    config = SimulationConfig(shape=(160, 112, 64), fracture_count=(0.5, 0.5), twins=1.0)
    made = generate_cases(library, "train", 2, tmp_path / "cases", config=config)
    assert [path.name for path in made.simulated] == ["simulated-000000-made.npz", "simulated-000000-made-intact.npz"]
    case, twin = map(load_case, made.simulated)
    assert "fractured" not in twin.name
    assert twin.fractured == ()
    assert any(about["type"] != "intact" for about in case.truth["vertebrae"].values())
    assert all(about["type"] == "intact" for about in twin.truth["vertebrae"].values())


@pytest.mark.parametrize(("weight", "name"), [(1e-6, "labels"), (1e6, "made")])
def test_the_weight_of_real_cts_rules_which_spines_are_drawn_after_each_ct_once(library, tmp_path, weight, name):
    config = replace(SMALL, real_ct_weight=weight, twins=0.0)
    made = generate_cases(library, "train", 4, tmp_path / "cases", config=config).simulated
    assert [path.stem.split("-")[2] for path in made] == ["made", name, name, name]


@pytest.fixture
def library_with_arches(made_spine, tmp_path):
    """One CT whose labels are of whole vertebrae."""
    arches = made_spine.vertebrae.copy()
    arches[:, 70:95, 25:65] = made_spine.vertebrae.max(axis=(1, 2))[:, None, None]
    (tmp_path / "arched").mkdir()
    save_spine(tmp_path / "arched" / "made.npz", replace(made_spine, vertebrae=arches))
    return tmp_path / "arched"


def test_a_ct_s_anatomy_alone_comes_with_other_hounsfield_units_and_no_twin(library_with_arches, tmp_path):
    """All soft tissue of the made CT is 40 HU: synthesized tissue is not."""
    library = library_with_arches
    config = replace(SMALL, resynthesized=1.0, twins=1.0, noise_hu=(0.01, 0.02), as_scanned=1.0)
    made = generate_cases(library, "train", 1, tmp_path / "cases", config=config)
    assert [path.name for path in made.simulated] == ["simulated-000000-made-synthesized.npz"]
    case = load_case(made.simulated[0])
    assert not case.truth["real_ct"]
    assert (case.hu == 40).mean() < 0.1
    as_it_is = generate_cases(
        library, "train", 1, tmp_path / "real", config=replace(config, resynthesized=0.0, twins=0.0)
    )
    case = load_case(as_it_is.simulated[0])
    assert case.truth["real_ct"]
    assert (case.hu == 40).mean() > 0.3


def test_a_label_map_of_bodies_alone_is_never_synthesized_from(made_spine, tmp_path):
    """It would be a spine without arches."""
    (tmp_path / "library").mkdir()
    bodies = np.where(made_spine.bodies, made_spine.vertebrae, 0)
    save_spine(tmp_path / "library" / "bodies.npz", replace(made_spine, vertebrae=bodies))
    config = replace(SMALL, resynthesized=1.0)
    made = generate_cases(tmp_path / "library", "train", 2, tmp_path / "cases", config=config)
    assert not any("synthesized" in path.name for path in made.simulated)


def test_held_out_cases_are_never_synthesized_from_a_ct(library_with_arches, tmp_path):
    config = replace(HELD_OUT, shape=SMALL.shape)
    made = generate_cases(library_with_arches, "train", 4, tmp_path / "cases", config=config)
    assert not any("synthesized" in path.name for path in made.simulated)


def test_cases_are_stored_at_the_spacing_asked_for(library, tmp_path):
    fine = generate_cases(library, "train", 1, tmp_path / "fine", config=SMALL)
    coarse = generate_cases(library, "train", 1, tmp_path / "coarse", config=SMALL, spacing_mm=1.5)
    fine, coarse = load_case(fine.simulated[0]), load_case(coarse.simulated[0])
    assert (fine.spacing_mm, coarse.spacing_mm) == (1.0, 1.5)
    assert coarse.hu.shape == (64, 53, 32)
    assert coarse.fractured == fine.fractured
    volumes = [np.count_nonzero(case.bodies) * case.spacing_mm**3 for case in (fine, coarse)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.1)
    real = load_case(tmp_path / "coarse" / "real-made.npz")
    assert real.spacing_mm == 1.5


def test_a_real_negative_is_the_ct_as_it_is(made_spine):
    case = real_negative(made_spine)
    np.testing.assert_array_equal(case.hu, made_spine.hu)
    assert case.fractured == ()
    assert case.has_bodies


def test_a_cancelled_call_leaves_whole_cases_only(library, tmp_path):
    with pytest.raises(Cancelled):
        generate_cases(library, "train", 3, tmp_path / "cases", config=SMALL, should_stop=lambda: True)
    for path in (tmp_path / "cases").glob("*.npz"):
        load_case(path)
    assert not list((tmp_path / "cases").glob(".*"))


def test_spines_can_be_kept_free_of_fractures_and_stay_negatives(library, tmp_path):
    # of four, this seed draws the spine without CT once or more
    every = generate_cases(library, "train", 4, tmp_path / "all", config=SMALL, seed=11)
    assert {name for name in ("made", "labels") if any(name in path.name for path in every.simulated)} == {
        "made",
        "labels",
    }
    for wanted in ("made", "labels"):
        some = generate_cases(
            library,
            "train",
            2,
            tmp_path / wanted,
            config=SMALL,
            seed=11,
            takes_fractures=lambda spine, wanted=wanted: spine.name == wanted,
        )
        assert all(wanted in path.name for path in some.simulated)
        assert [path.name for path in some.real_negatives] == ["real-made.npz"]
