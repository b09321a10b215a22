"""One file per subcommand of ``spine-fracture-seg``: ``add_arguments(parser)`` and ``run(arguments) -> exit code``.

A module's docstring is its help. The engine is imported inside the functions: ``--help`` answers at once, and a machine
without SimpleITK can still simulate and train.
"""
