"""What lives in 3D Slicer: nodes in, nodes out, the panel. Names are camelCase, as Slicer's own.

Words: a *node* is an object of Slicer's scene. *World* is the patient's space, RAS, in mm, after all transforms. A
*job* is one run of the engine in a process of its own. A *kept result* is the probability of the last run, from which
another threshold gives another mask without running again.
"""
