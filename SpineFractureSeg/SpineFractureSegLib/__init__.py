"""SpineFractureSeg: outlines fractures of the spine in CT. ``engine`` runs anywhere; ``scene`` needs 3D Slicer."""

__version__ = "0.1.0"
