"""Simulated fractures on real anatomy: from a CT with a vertebra label map, or a label map alone, to a ``Case``.

Read ``simulate.py`` first. Needs numpy and scipy. What makes spines of CT files, or CT files of cases, needs SimpleITK
as well (``shape_builder.py``, ``fracture_ct.py``, ``export.py``); ``gallery.py`` and ``height_figure.py`` need pillow.
"""
