"""Simulated fractures on real anatomy: from a CT with a vertebra label map, or a label map alone, to a ``Case``.

Read ``simulate.py`` first. Needs numpy and scipy; only ``shape_builder.py``, which makes the shape library from CT and
label files, needs SimpleITK as well.
"""
