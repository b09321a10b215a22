"""The lists of the CMakeLists.txt name the files that there are: what is not listed is silently not packaged."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "SpineFractureSeg"


def cmake_list(path: Path, name: str) -> list[str]:
    """The words of ``set(name ...)`` in a CMake file."""
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    words = re.search(rf"set\({name}\s([^)]*)\)", text)[1]
    return words.replace("${MODULE_NAME}", "SpineFractureSeg").split()


def assert_same(listed: list[str], there: list[str], where: Path) -> None:
    assert len(listed) == len(set(listed)), f"{where} names a file twice"
    missing, gone = sorted(set(there) - set(listed)), sorted(set(listed) - set(there))
    assert not missing, f"{where} must name these files, too: {missing}"
    assert not gone, f"{where} names files that do not exist: {gone}"


def test_every_python_file_of_the_module_is_packaged():
    path = MODULE / "CMakeLists.txt"
    there = [file.relative_to(MODULE).as_posix() for file in MODULE.rglob("*.py")]
    assert_same(cmake_list(path, "MODULE_PYTHON_SCRIPTS"), there, path)


def test_every_resource_of_the_module_is_packaged():
    path = MODULE / "CMakeLists.txt"
    files = [file for file in (MODULE / "Resources").rglob("*") if file.is_file() and not file.name.startswith(".")]
    there = [file.relative_to(MODULE).as_posix() for file in files]
    assert_same(cmake_list(path, "MODULE_PYTHON_RESOURCES"), there, path)


@pytest.mark.parametrize("folder", ["Logic", "Panel"])
def test_every_scene_test_is_registered_for_the_application(folder):
    """Tests of the stand-in itself are not: the application has the real thing."""
    path = ROOT / "Testing" / folder / "CMakeLists.txt"
    there = [file.stem for file in path.parent.glob("test_*.py") if not file.stem.startswith("test_stand_in")]
    assert_same(cmake_list(path, "TESTS"), there, path)
