"""The entry for the Extensions Index keeps to its schema (v1.0.1) and says what the extension's CMakeLists.txt says."""

import json
import re
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
REQUIRED = {"$schema": str, "category": str, "scm_url": str}
OPTIONAL = {
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


@pytest.fixture(scope="module")
def entry() -> dict:
    return json.loads((ROOT / "Resources" / "SpineFractureSeg.json").read_text(encoding="utf-8"))


def cmake_value(name: str) -> str:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(rf'^set\({name} "([^"]*)"\)', text, re.MULTILINE)[1]


def test_the_fields_are_those_of_the_schema(entry):
    known = REQUIRED | OPTIONAL
    assert REQUIRED.keys() <= entry.keys() <= known.keys()
    assert {name: type(value) for name, value in entry.items()} == {name: known[name] for name in entry}
    assert entry["$schema"] == SCHEMA
    assert all(isinstance(name, str) for name in entry["build_dependencies"])
    assert entry["scm_type"] in ("git", "local")
    assert 1 <= entry["tier"] <= 5


def test_the_entry_and_cmake_name_the_same_repository_and_dependencies(entry):
    assert entry["scm_url"] == f"https://github.com/{cmake_value('REPOSITORY')}"
    assert entry["scm_url"].rsplit("/", 1)[1] == "SlicerSpineFractureSeg"
    assert entry["build_dependencies"] == cmake_value("EXTENSION_DEPENDS").split()


def test_the_icon_has_the_size_of_the_catalog_and_is_the_modules():
    icon = (ROOT / "SpineFractureSeg.png").read_bytes()
    width, height = struct.unpack(">II", icon[16:24])  # of the PNG's IHDR
    assert (width, height) == (128, 128)
    assert icon == (ROOT / "SpineFractureSeg" / "Resources" / "Icons" / "SpineFractureSeg.png").read_bytes()
