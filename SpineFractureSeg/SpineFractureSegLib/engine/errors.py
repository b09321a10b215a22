"""The two exceptions that leave the engine on purpose."""


class UserError(Exception):
    """Something that the user can mend: one sentence with what was found, what was expected and what to do."""


class Cancelled(Exception):  # noqa: N818  (not an error: the user asked for it)
    """The caller's ``should_stop`` returned True; nothing was written."""
