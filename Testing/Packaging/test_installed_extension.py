"""The extension as a user gets it: configured, built, installed, then used from the installed tree alone."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "SpineFractureSeg"


def scene_tests(folder: str) -> list[str]:
    """The test files that the application runs, too: all but those of the stand-in itself."""
    files = sorted((ROOT / "Testing" / folder).glob("test_*.py"))
    return [file.stem for file in files if not file.stem.startswith("test_stand_in")]


@pytest.fixture
def registered(extension, run_clean) -> dict[str, list[str]]:
    """The command of each test that CTest would run, by name."""
    listing = run_clean(extension.ctest, "--test-dir", extension.build, "--show-only=json-v1").stdout
    return {test["name"]: test["command"] for test in json.loads(listing)["tests"]}


def test_everything_the_module_needs_is_installed(extension):
    def files(folder: Path) -> set[str]:
        found = [*folder.rglob("*.py"), *folder.glob("Resources/**/*")]
        return {path.relative_to(folder).as_posix() for path in found if path.is_file() and path.name[0] != "."}

    assert files(extension.modules) == files(MODULE)


def test_the_catalog_gets_pictures_that_the_repository_has(extension):
    lines = (extension.build / "SpineFractureSeg.s4ext").read_text(encoding="utf-8").splitlines()
    description = dict(line.split(" ", 1) for line in lines)
    assert description["depends"] == "PyTorch"
    assert Path(description["readme_file"]) == ROOT / "README.md"
    raw = description["homepage"].replace("github.com", "raw.githubusercontent.com").removesuffix("#readme") + "/main/"
    for url in [description["iconurl"], *description["screenshoturls"].split()]:
        assert url.startswith(raw)
        assert (ROOT / url.removeprefix(raw)).is_file(), url


def test_the_application_is_told_of_every_scene_test(registered):
    expected = {f"py_SpineFractureSeg_{name}" for folder in ("Logic", "Panel") for name in scene_tests(folder)}
    assert expected | {"py_SpineFractureSeg"} == set(registered)


@pytest.mark.parametrize("folder", ["Logic", "Panel"])
def test_scene_tests_are_importable_with_the_paths_that_the_application_gives_them(
    folder, extension, registered, stand_in, run_clean
):
    paths = [str(extension.build / "Testing" / folder), str(ROOT / "Testing" / folder)]
    code = (
        f"import sys, unittest; sys.path.extend({paths})\n"
        "loader = unittest.TestLoader()\n"
        f"counts = {{name: loader.loadTestsFromName(name).countTestCases() for name in {scene_tests(folder)}}}\n"
        "assert not loader.errors, ''.join(loader.errors)\n"
        "assert all(counts.values()), counts"
    )
    command = registered["py_SpineFractureSeg"]
    run_clean(*command[: command.index("--python-code")], "--python-code", code)


@pytest.mark.parametrize(
    "name",
    [
        "py_SpineFractureSeg",
        "py_SpineFractureSeg_test_volume_reader",
        "py_SpineFractureSeg_test_logic",
        "py_SpineFractureSeg_test_engine_job",
        "py_SpineFractureSeg_test_panel",
    ],
)
def test_the_self_test_and_scene_tests_pass_when_ctest_runs_them(name, extension, stand_in, run_clean):
    chosen = f"^{name}$"
    run_clean(extension.ctest, "--test-dir", extension.build, "--output-on-failure", "--no-tests=error", "-R", chosen)


def test_the_source_tree_is_not_importable_where_the_installed_module_is_run(clean_python, run_clean):
    # an editable install leaves a folder of this name with the resources alone, which is no package
    code = "import importlib.util, SpineFractureSegLib; print(importlib.util.find_spec('SpineFractureSegLib.engine'))"
    code = f"try:\n    {code}\nexcept ModuleNotFoundError:\n    print(None)"
    assert run_clean(clean_python, "-c", code).stdout.strip() == "None"


def test_the_installed_command_line_runs_from_anywhere(extension, clean_python, run_clean):
    script = extension.modules / "SpineFractureSegLib" / "__main__.py"
    assert "spine-fracture-default" in run_clean(clean_python, script, "models", "list").stdout


def test_the_installed_module_segments_the_sample_ct(extension, stand_in, clean_python, run_clean):
    script = Path(__file__).with_name("run_installed_module.py")
    outcome = json.loads(run_clean(clean_python, script, extension.modules).stdout.splitlines()[-1])
    assert outcome["slot_errors"] == []
    assert outcome["fracture_voxels"] > 1000
    for part in ("module", "library", "logic"):
        assert Path(outcome[part]).is_relative_to(extension.modules), outcome
