from SpineFractureSegLib.engine.data.vertebra_ids import NAMES, TABLES, TOTALSEGMENTATOR, vertebra_in


def test_ids_are_those_of_verse():
    wanted = {1: "C1", 7: "C7", 8: "T1", 19: "T12", 20: "L1", 24: "L5", 25: "L6", 26: "sacrum", 28: "T13"}
    assert {vertebra: NAMES[vertebra] for vertebra in wanted} == wanted
    assert len(set(NAMES.values())) == len(NAMES) == 28


def test_totalsegmentator_counts_upwards_from_the_sacrum():
    """As in its list of classes, written out: sacrum, S1, L5 ... L1, T12 ... T1, C7 ... C1."""
    levels = (
        [f"L{i}" for i in range(5, 0, -1)] + [f"T{i}" for i in range(12, 0, -1)] + [f"C{i}" for i in range(7, 0, -1)]
    )
    names = ["sacrum", "sacrum", *levels]
    assert {value: NAMES[vertebra] for value, vertebra in TOTALSEGMENTATOR.items()} == dict(
        zip(range(25, 51), names, strict=True)
    )
    assert set(TABLES) == {"verse", "totalsegmentator"}


def test_a_name_is_a_vertebra_when_it_speaks_of_one():
    for name, vertebra in (("L1", 20), ("vertebrae_C7", 7), ("T12 vertebral body", 19), ("Sacrum", 26), ("t13", 28)):
        assert vertebra_in(name) == vertebra
    for name in ("L1-L2 disc", "T14", "C8", "Fracture", "CT1", "L1a", ""):
        assert vertebra_in(name) is None
