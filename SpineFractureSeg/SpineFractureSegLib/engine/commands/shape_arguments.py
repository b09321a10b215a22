"""The arguments by which several commands take meshes of single real vertebrae."""

import argparse

from SpineFractureSegLib.engine.errors import UserError


def add_mesh_arguments(parser: argparse.ArgumentParser, condition: str = "") -> None:
    """Adds ``--shapes`` and ``--shapes-table``; ``condition`` says when they count, "with --gallery: "."""
    parser.add_argument("--shapes", metavar="FOLDER", help=f"{condition}of meshes (.ply) of single real vertebrae")
    parser.add_argument(
        "--shapes-table", metavar="CSV", help="columns file, vertebra and genant (default: shapes.csv in that folder)"
    )


def check_mesh_arguments(arguments: argparse.Namespace) -> None:
    """Raises: UserError, when there is a table and no folder of meshes that it could tell of."""
    if arguments.shapes_table and not arguments.shapes:
        raise UserError(
            f"--shapes-table {arguments.shapes_table} tells of the meshes of a folder; name that with --shapes as well."
        )
