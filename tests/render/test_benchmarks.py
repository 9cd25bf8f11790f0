"""What the benchmarks write, from made-up figures."""

from xml.etree import ElementTree

from report import (
    DARK,
    LIGHT,
    UNAVAILABLE,
    Figures,
    Row,
    figures_table,
    parts_table,
    ratio,
    ratios_table,
    svg,
)

BASELINE = "alpine:latest, two stages"
PACKAGES = "opt/venv/lib/python3.13/site-packages"
OURS = {
    "usr/lib/python313.zip": 4_000_000,
    "usr/lib/libpython3.13.so.1.0": 20_000_000,
    f"{PACKAGES}/falcon/app.py": 600_000,
    f"{PACKAGES}/falcon-4.4.0.dist-info/RECORD": 100_000,
    "bin/busybox": 300_000,
}
THEIRS = OURS | {"usr/lib/python3.13/ast.py": 25_000_000}
ROWS = (
    Row("<base> & co, one stage", False, None),
    Row(BASELINE, False, Figures("3.13.1", THEIRS, 20, 10, 1, 9, 0.8)),
    Row("this template", True, Figures("3.13.1", OURS, 15, 12, 1, 8, 1.2)),
)


def test_picture() -> None:
    for palette in (LIGHT, DARK):
        root = ElementTree.fromstring(svg(ROWS, palette))  # noqa: S314
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        texts = ["".join(node.itertext()) for node in root.findall(".//{*}text")]
        for expected in (*(row.name for row in ROWS), UNAVAILABLE, "50.0", "20.0", "25.0", "15.0"):
            assert texts.count(expected) == 1, expected
        bars = {
            float(node.get("width", 0))
            for node in root.findall(".//{*}rect")
            if node.get("height") == "14"
        }
        assert len(bars) == 4
        assert max(bars) == 2 * sorted(bars)[-2], "bars are not to scale"
        for node in root.findall(".//{*}rect") + root.findall(".//{*}text"):
            right = float(node.get("x", 0)) + float(node.get("width", 0))
            bottom = float(node.get("y", 0)) + float(node.get("height", 0))
            assert right <= width, ElementTree.tostring(node)
            assert bottom <= height, ElementTree.tostring(node)


def test_figures() -> None:
    lines = figures_table(ROWS).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert UNAVAILABLE in lines[2]
    assert not any(letter.isdigit() for letter in lines[2])
    assert lines[3:] == [
        f"| {BASELINE} | 3.13.1 | 50.0 | 20.0 | 6 | 10.0 | 1.0 | 9.0 | 0.80 |",
        "| **this template** | 3.13.1 | 25.0 | 15.0 | 5 | 12.0 | 1.0 | 8.0 | 1.20 |",
    ]


def test_ratio_of_rounds() -> None:
    assert ratio([1, 5, 9], [2, 2, 6]) == "1.50 (0.50 to 2.50)"


def test_ratios() -> None:
    assert ratios_table(ROWS, BASELINE).splitlines()[2:] == [
        "| this template | 0.50 | 0.75 | 1.50 |"
    ]
    assert UNAVAILABLE in ratios_table(ROWS, ROWS[0].name)


def test_parts() -> None:
    assert parts_table(ROWS).splitlines() == [
        f"| part | {BASELINE} | this template |",
        "| --- | ---: | ---: |",
        "| standard library | 29.00 | 4.00 |",
        "| libpython3.13 | 20.00 | 20.00 |",
        "| falcon | 0.70 | 0.70 |",
        "| all else | 0.30 | 0.30 |",
    ]
