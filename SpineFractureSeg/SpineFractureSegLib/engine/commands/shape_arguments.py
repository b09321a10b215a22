"""The arguments by which several commands take meshes of single real vertebrae."""

import argparse


def add_mesh_arguments(parser: argparse.ArgumentParser, condition: str = "") -> None:
    """Adds ``--shapes`` and ``--shapes-table``; ``condition`` says when they count, "with --gallery: "."""
    parser.add_argument("--shapes", metavar="FOLDER", help=f"{condition}of meshes (.ply) of single real vertebrae")
    parser.add_argument(
        "--shapes-table", metavar="CSV", help="columns file, vertebra and genant (default: shapes.csv in that folder)"
    )
