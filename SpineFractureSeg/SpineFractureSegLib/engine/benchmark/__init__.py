"""Measures a model: how right it is (``accuracy.py``) and how fast (``speed.py``)."""
