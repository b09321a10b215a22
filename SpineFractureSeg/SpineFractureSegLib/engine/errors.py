"""The two exceptions that leave the engine on purpose, and how another's words become part of a sentence."""


class UserError(Exception):
    """Something that the user can mend: one sentence with what was found, what was expected and what to do."""


class Cancelled(Exception):  # noqa: N818  (not an error: the user asked for it)
    """The caller's ``should_stop`` returned True; nothing was written."""


def one_line(error: Exception) -> str:
    """The words of an exception in one line of at most 200 characters without a full stop, else its type's name.

    >>> one_line(ValueError("no\\nroom."))
    'no room'
    """
    text = " ".join(str(error).split())
    return (text if len(text) <= 200 else f"{text[:197]}...").rstrip(".") or type(error).__name__
