"""Numbers and names of vertebrae. Everywhere in this package an id is VerSe's; other tables say what becomes of them.

TotalSegmentator counts from the sacrum upwards, VerSe from the atlas downwards, and both have exceptions: tables, never
an offset.
"""

import re

NAMES = {
    **{1: "C1", 2: "C2", 3: "C3", 4: "C4", 5: "C5", 6: "C6", 7: "C7"},
    **{8: "T1", 9: "T2", 10: "T3", 11: "T4", 12: "T5", 13: "T6", 14: "T7", 15: "T8", 16: "T9", 17: "T10", 18: "T11"},
    **{19: "T12", 20: "L1", 21: "L2", 22: "L3", 23: "L4", 24: "L5", 25: "L6", 26: "sacrum", 27: "coccyx", 28: "T13"},
}
ID_OF_NAME = {name: vertebra for vertebra, name in NAMES.items()}
NOT_MOBILE = (26, 27)  # sacrum and coccyx: no body of their own, never graded

VERSE = {vertebra: vertebra for vertebra in NAMES}
TOTALSEGMENTATOR = {
    **{25: 26, 26: 26},  # sacrum, S1
    **{27: 24, 28: 23, 29: 22, 30: 21, 31: 20},  # L5 to L1
    **{32: 19, 33: 18, 34: 17, 35: 16, 36: 15, 37: 14, 38: 13, 39: 12, 40: 11, 41: 10, 42: 9, 43: 8},  # T12 to T1
    **{44: 7, 45: 6, 46: 5, 47: 4, 48: 3, 49: 2, 50: 1},  # C7 to C1
}
TABLES = {"verse": VERSE, "totalsegmentator": TOTALSEGMENTATOR}

_LEVEL = re.compile(r"(?<![A-Za-z0-9])([CTL]\d{1,2})(?![A-Za-z0-9])", re.IGNORECASE)


def vertebra_in(text: str) -> int | None:
    """The id of the one vertebra that a name speaks of; None where there is none, or more than one.

    >>> vertebra_in("vertebrae_L1"), vertebra_in("T12 body"), vertebra_in("L1-L2 disc"), vertebra_in("T14")
    (20, 19, None, None)
    """
    levels = [level.upper() for level in _LEVEL.findall(text)]
    if not levels and text.strip().lower() in ("sacrum", "coccyx"):
        levels = [text.strip().lower()]
    return ID_OF_NAME.get(levels[0]) if len(levels) == 1 else None


def shown(vertebrae: object) -> str:
    """Names of ids, in order.

    >>> shown({20, 8})
    'T1, L1'
    """
    return ", ".join(NAMES.get(vertebra, str(vertebra)) for vertebra in sorted(vertebrae))
