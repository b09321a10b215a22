"""Views of images: SimpleITK's view reads the image's memory, which goes with an image that no variable holds."""

import ast
from pathlib import Path

import SpineFractureSegLib

SOURCES = sorted(Path(SpineFractureSegLib.__file__).parent.rglob("*.py"))


def views_of_nothing(source: str) -> list[int]:
    """Lines that ask for a view of an image made in the same expression."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "GetArrayViewFromImage"
        and not isinstance(node.args[0], ast.Name | ast.Attribute)
    ]


def test_no_view_outlives_its_image():
    found = {path.name: views_of_nothing(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert found["case_check.py"] == []  # it is among them
    assert not any(found.values()), found


def test_the_check_sees_a_view_of_nothing():
    assert views_of_nothing("a = sitk.GetArrayViewFromImage(sitk.Resample(b, c))\nsitk.GetArrayViewFromImage(a)") == [1]
