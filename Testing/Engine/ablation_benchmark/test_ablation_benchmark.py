"""The ablation: what its arms change, a table by hand, and the whole chain at its smallest."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from SpineFractureSegLib.engine.ablation_benchmark import cases as cases_module
from SpineFractureSegLib.engine.ablation_benchmark import presets, run
from SpineFractureSegLib.engine.ablation_benchmark.arms import ARMS, WHOLE, chosen_arms
from SpineFractureSegLib.engine.ablation_benchmark.cases import ArmCases, ablation_cases
from SpineFractureSegLib.engine.ablation_benchmark.run import ArmResult, run_arm
from SpineFractureSegLib.engine.ablation_benchmark.table import HEADER, csv_text, markdown, table_rows, verdict
from SpineFractureSegLib.engine.array_metrics import dice
from SpineFractureSegLib.engine.case import Case, load_case, save_case
from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.simulator.shapes import load_library, shape_library
from SpineFractureSegLib.engine.training.presets import bundled_cpu
from SpineFractureSegLib.engine.training.settings import changed


def made_case(name, *, fractured=True, **about):
    """A bright body in soft tissue."""
    rng = np.random.default_rng(len(name))
    hu = rng.normal(40, 10, (64, 40, 24)).astype(np.int16)
    bodies = np.zeros(hu.shape, np.uint8)
    bodies[20:40, 10:30, 6:18] = 20
    hu[bodies > 0] += 900 if fractured else 200
    return Case(name, name, hu, bodies, fractured=(20,) if fractured else (), spacing_mm=2.0, truth=about)


@pytest.fixture
def tiny():
    """A preset of one step per epoch."""
    fields = {
        "training": {"max_minutes": None, "max_epochs": 1, "slices_per_epoch": 4, "batch_size": 4, "workers": 0},
        "preprocessing": {"spacing_mm": 2.0, "window_size": [32, 32]},
        "network": {"width": 4},
    }
    return presets.Preset("cpu", changed(bundled_cpu(), fields, "tiny"), (2, 2, 2))


@pytest.fixture
def cases(tmp_path):
    """Case files of all arms: two to train on, two to validate and two to test with, and a real CT."""
    made = [made_case("a"), made_case("bb", fractured=False), made_case("ccc"), made_case("dddd", fractured=False)]
    made += [made_case("eeeee"), made_case("ffffff", fractured=False)]
    made += [made_case("real", fractured=False, as_scanned=True)]
    for case in made:
        save_case(tmp_path / f"{case.name}.npz", case)
    a, b, c, d, e, f, real = (tmp_path / f"{case.name}.npz" for case in made)
    own = ArmCases((a, b), (real,), (c, d), (e, f), (real,), (), ())
    return {arm.name: own for arm in ARMS}


def changed_fields(arm):
    """Names of the settings in which an arm differs from the whole, with dots."""

    def flat(value, name=""):
        if not isinstance(value, dict):
            return {name: value}
        return {key: v for part, inner in value.items() for key, v in flat(inner, f"{name}.{part}").items()}

    whole = presets.preset("cpu").settings
    before, after = flat(to_fields(whole)), flat(to_fields(arm.settings(whole)))
    return {name.rsplit(".", 1)[-1] for name in before if before[name] != after[name]}


def test_every_arm_changes_what_it_is_named_after_and_nothing_else():
    expected = {
        "whole": set(),
        "without-label-maps": set(),
        "without-own-labels": set(),
        "without-mimics": {
            "mimics",
            "physiological_wedge",
            "transitional",
            "scheuermann",
            "implants",
            "cement",
        },
        "without-other-bodies": {"log_aspect_sd", "shear_sd", "bend_sd_pixels", "bone_density_chance"},
        "without-vertebra-channel": {"outputs"},
        "without-real-negatives": {"real_negative"},
        "without-neighbors": {"input_channels", "context_mm"},
        "axial": {"planes"},
        "both-planes": {"planes", "plane_weights"},
    }
    found = {arm.name: changed_fields(arm) for arm in ARMS}
    scan = found.pop("without-scan-effects")
    assert found == expected
    assert scan >= {"noise_hu", "noise_chance", "thick_slices", "as_scanned", "gain"}
    assert not scan & {"mimics", "bone_density_chance", "shear_sd"}
    assert [arm.name for arm in ARMS if arm.own_cases] == [
        "without-mimics",
        "without-label-maps",
        "without-own-labels",
        "without-scan-effects",
    ]


def test_the_spines_that_an_arm_leaves_out_are_in_the_library():
    library = {spine.name: spine for spine in load_library(shape_library(), "train")}
    arms = {arm.name: arm for arm in ARMS}
    left_out = {
        name: {spine for spine in library if not arms[name].takes_fractures(library[spine])}
        for name in ("without-label-maps", "without-own-labels", WHOLE)
    }
    assert left_out["without-label-maps"] == {"gl003", "healthyref", "verse004", "verse010"}
    assert left_out["without-own-labels"] == {"acrinflt_lumbar", "acrinnsclc", "lidc0314"}
    assert not left_out[WHOLE]


def test_the_whole_is_always_there_and_an_unknown_arm_is_named():
    assert [arm.name for arm in chosen_arms(["axial", "without-mimics"])] == [WHOLE, "without-mimics", "axial"]
    assert chosen_arms(None) == list(ARMS)
    with pytest.raises(UserError, match=r"no arm 'without-luck'.*both-planes"):
        chosen_arms(["axial", "without-luck"])


@pytest.mark.parametrize("name", ["gpu", "cpu"])
def test_a_number_of_slices_ends_every_arm(name):
    training = presets.preset(name).settings.training
    assert (training.max_minutes, training.early_stopping_epochs) == (None, 0)
    assert training.max_epochs * training.slices_per_epoch >= 15_000


def test_only_arms_with_another_simulator_or_other_spines_get_cases_of_their_own(tiny, tmp_path, monkeypatch):
    asked = []

    def generate(library, part, count, folder, *, seed, config, takes_fractures, **options):
        asked.append((folder.name, part, seed, config.mimics, config.types[-1], takes_fractures.__name__))
        return type("Made", (), {"simulated": [folder / "s.npz"], "real_negatives": [folder / "r.npz"]})

    monkeypatch.setattr(cases_module, "generate_cases", generate)
    monkeypatch.setattr(cases_module, "load_library", lambda library, part: [])
    monkeypatch.setattr(cases_module, "case_without_fracture", lambda ct: made_case(ct, fractured=False))
    arms = chosen_arms(["without-mimics", "without-label-maps", "axial"])
    found = ablation_cases("library", tmp_path, tiny, arms, ["x/chest.nii.gz"], 1, lambda *_: None)
    assert {(place, part, taken) for place, part, *_, taken in asked} == {
        ("validation", "validation", "every_spine"),
        ("test", "test", "every_spine"),
        ("train", "train", "every_spine"),
        ("train-without-mimics", "train", "every_spine"),
        ("train-without-label-maps", "train", "with_ct"),
    }
    mimics = {place: share for place, _, _, share, *_ in asked}
    assert mimics["train-without-mimics"] == 0 < mimics["train"] == mimics["test"]
    assert [place for place, *_, last, _ in asked if last == "pincer"] == ["test"]  # types that training never draws
    assert len({seed for _, _, seed, *_ in asked}) == 3
    assert found["axial"].train == found[WHOLE].train != found["without-mimics"].train
    assert len({own.test for own in found.values()}) == len({own.validation for own in found.values()}) == 1
    given = found["axial"].test_real[-1]
    assert given.name == "0-chest.npz"
    assert load_case(given).spacing_mm == 2.0
    other = dataclasses.replace(tiny, cases=(9, 9, 9))
    with pytest.raises(UserError, match="made with other settings"):
        ablation_cases("library", tmp_path, other, arms, [], 1, lambda *_: None)


@pytest.mark.parametrize("name", [WHOLE, "without-vertebra-channel", "both-planes"])
def test_an_arm_is_trained_calibrated_scored_and_not_made_again(name, tiny, cases, tmp_path, monkeypatch):
    arm = next(arm for arm in ARMS if arm.name == name)
    result = run_arm(arm, 0, tiny, cases, tmp_path / "runs", "cpu", lambda *_: None)
    assert [volume[0] for volume in result.volumes] == ["eeeee", "ffffff"]
    assert [volume[3] for volume in result.volumes] == [20 * 20 * 12 * 8, 0]
    assert [name for name, _ in result.real] == ["real"]
    assert result.calibration["cases"] == 2
    assert result.settings["network"]["outputs"] == list(arm.settings(tiny.settings).network.outputs)
    monkeypatch.setattr(run, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run_arm(arm, 0, tiny, cases, tmp_path / "runs", "cpu", lambda *_: None) == result
    other = dataclasses.replace(tiny, cases=(3, 2, 2))
    with pytest.raises(UserError, match="other settings"):
        run_arm(arm, 0, other, cases, tmp_path / "runs", "cpu", lambda *_: None)


def made_result(name, overlaps, *, seed=0, findings=1):
    """A result of one arm on five cases of 100 mm3 of fracture, with as much predicted."""
    volumes = [[f"case{number}", overlap, 100.0, 100.0] for number, overlap in enumerate(overlaps)]
    figures = {"vertebra_auc_clear": 0.9, "lesion_sensitivity_clear": None, "false_positives_per_scan": 0.5}
    shapes = {"genant_2_3": {"vertebrae": 2, "found_in_most_cases": 1}}
    calibration = {"after": {"dice_pooled": 0.4}}
    return ArmResult(name, seed, {}, 6, 5, 10.0, calibration, figures, volumes, [["ct", findings], ["ct2", 0]], shapes)


def test_a_change_is_told_with_the_spread_of_the_same_cases():
    results = [
        made_result("axial", [10, 30, 50, 70, 90][::-1]),
        made_result(WHOLE, [10, 30, 50, 70, 90]),
        made_result("without-mimics", [5, 25, 45, 65, 85], findings=4),
    ]
    rows = table_rows([results[0], results[1], dataclasses.replace(results[2], volumes=results[2].volumes[::-1])])
    assert [row.arm.name for row in rows] == [WHOLE, "without-mimics", "axial"]
    whole, mimics, axial = rows
    mask, truth = np.zeros(1000, bool), np.zeros(1000, bool)
    mask[:500], truth[250:750] = True, True
    assert whole.dice == pytest.approx(dice(mask, truth))
    assert whole.change is None
    # the same loss in every case is certain however much the cases differ
    assert mimics.change == pytest.approx(-0.05)
    assert mimics.change_interval == pytest.approx((-0.05, -0.05))
    assert mimics.interval[1] - mimics.interval[0] > 0.2
    assert axial.change == pytest.approx(0)
    assert axial.change_interval[0] < -0.1 < 0.1 < axial.change_interval[1]
    told = verdict(rows)
    assert "1 of 2" in told
    assert "natural wedges, implants and cement: -0.05" in told
    assert "axial" not in told
    assert verdict([whole, axial]).startswith("None of the 1")
    assert "another arm are needed" in verdict([whole])
    lines = markdown(rows).splitlines()
    assert {line.count("|") for line in lines} == {len(HEADER) + 1}
    read = list(csv.DictReader(csv_text(rows).splitlines()))
    assert [row["false findings in real CTs"] for row in read] == ["1 in 2", "4 in 2", "1 in 2"]
    assert read[1]["clear lesions found"] == "-"
    assert read[0]["real fractured shapes found"] == "1 of 2"


def test_seeds_are_averaged_and_compared_with_the_same_seeds():
    whole = [made_result(WHOLE, [40] * 5), made_result(WHOLE, [60] * 5, seed=1)]
    both = table_rows([*whole, made_result("axial", [50] * 5), made_result("axial", [50] * 5, seed=1)])
    assert [row.dice for row in both] == pytest.approx([0.5, 0.5])
    one = table_rows([*whole, made_result("axial", [50] * 5, seed=1)])[1]
    assert one.change == pytest.approx(-0.1)
    alone = table_rows([whole[0], made_result("axial", [50] * 5, seed=1)])[1]
    assert alone.change is None


def test_the_command_writes_a_table_and_goes_on_after_a_stop(tiny, cases, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(presets, "preset", lambda name: tiny)
    monkeypatch.setattr(cases_module, "ablation_cases", lambda *_: cases)
    output = tmp_path / "ablation"
    words = ["benchmark", "ablation", "--output", str(output), "--device", "cpu", "--only", "without-neighbors"]
    real, trained = run.train, []

    def killed_at_the_second(*arguments, **options):
        trained.append(arguments[5].name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(run, "train", killed_at_the_second)
    assert main(words) == 130
    assert "neighboring" not in (output / "ablation.md").read_text(encoding="utf-8")
    assert main(words) == 0
    assert trained == ["whole-0", "without-neighbors-0", "without-neighbors-0"]
    text = (output / "ablation.md").read_text(encoding="utf-8")
    assert "| without neighboring slices |" in text
    assert "1 epochs of 4 slices" in text
    told = json.loads((output / "ablation.json").read_text(encoding="utf-8"))
    assert [one["settings"]["preprocessing"]["context_mm"] for one in told] == [[-6.0, -3.0, 0.0, 3.0, 6.0], [0.0]]
    assert "all together" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "luck"], "no arm 'luck'"),
        (["--seeds", "0"], "--seeds, --processes and --jobs"),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_made(tmp_path, capsys, words, said):
    assert main(["benchmark", "ablation", "--output", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
