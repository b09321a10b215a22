"""The paper's two tables: thirteen networks on the same cases, with the same protocol, scored alike.

Read in this order: ``entries`` (which networks, and the paper's figures), ``presets`` (how large), ``cases`` (on what),
``slice_scores`` and ``cost`` (what is measured), ``run`` (one network), ``tables``, ``figures`` and ``report``.
"""
