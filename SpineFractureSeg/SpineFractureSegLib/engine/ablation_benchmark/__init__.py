"""What each thing that we added to the paper's method is worth: the bundled model's training without it.

``arms`` has the rows, ``presets`` their size, ``cases`` makes what they are trained and scored on, ``run`` trains and
scores one, ``table`` and ``report`` tell it.
"""
