"""Plots are drawn right, in a process of their own, or say in one sentence why not."""

import os
import re
import subprocess
import sys
from array import array
from math import sin
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from motehub.errors import OwnerError
from motehub.reports.figure import Curve, Figure, decode, encode
from motehub.reports.plot import draw, plot_in_child

SECOND = 1_000_000
START = 1_746_119_310 * SECOND
BERLIN = ZoneInfo("Europe/Berlin")
BLUE = "#0072b2"


def curve(
    seconds: list[int],
    label: str = "kitchen",
    metric: str = "temperature",
    unit: str = "°C",
    level: float = 20.0,
) -> Curve:
    times = array("q", [START + second * SECOND for second in seconds])
    values = array("d", [level + sin(second / 300) for second in seconds])
    return Curve(label, metric, unit, times, values)


def svg_of(figure: Figure, folder: Path, zone: ZoneInfo = BERLIN) -> str:
    draw(figure, folder / "plot.svg", zone)
    return (folder / "plot.svg").read_text()


def lines_in(svg: str, colour: str) -> list[str]:
    """Return the path data of the curves (not of the short legend samples) in a colour."""
    paths = re.findall(r'<path d="([^"]*)" clip-path="[^"]*" style="([^"]*)"', svg)
    return [data for data, style in paths if f"stroke: {colour}" in style]


STEADY = list(range(0, 3600, 30))


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("pdf", b"%PDF-")]
)
def test_the_suffix_decides_the_format(tmp_path: Path, suffix: str, magic: bytes) -> None:
    """PNG, SVG and PDF are written, whatever the case of the suffix, and nothing beside them."""
    output = tmp_path / f"plot.{suffix.upper()}"
    draw(Figure("Kitchen", (curve(STEADY),)), output, BERLIN)
    assert output.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("name", ["plot.gif", "plot", "plot.png.txt"])
def test_another_suffix_names_the_three(tmp_path: Path, name: str) -> None:
    """Parent and child refuse it, and no file appears."""
    for plot in (draw, plot_in_child):
        with pytest.raises(OwnerError, match=r"\.png, \.svg or \.pdf") as refused:
            plot(Figure("", (curve(STEADY),)), tmp_path / name, None)
        assert repr(name) in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_readings_make_the_same_file(tmp_path: Path, suffix: str) -> None:
    """No date or random name is in a picture."""
    for name in ("a", "b"):
        draw(Figure("Kitchen", (curve(STEADY),)), tmp_path / f"{name}.{suffix}", BERLIN)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_gap_is_a_break_in_the_line(tmp_path: Path) -> None:
    """A steady curve is one stroke, and one with an hour's silence two."""
    whole = lines_in(svg_of(Figure("", (curve(STEADY),)), tmp_path), BLUE)
    assert [data.count("M ") for data in whole] == [1]
    gapped = STEADY + [second + 7200 for second in STEADY]
    broken = lines_in(svg_of(Figure("", (curve(gapped),)), tmp_path), BLUE)
    assert [data.count("M ") for data in broken] == [2]


def test_a_lone_reading_is_a_visible_dot(tmp_path: Path) -> None:
    """One reading alone, and one between two gaps, have a marker; joined readings have none."""
    marker = re.compile(rf'<use [^>]*style="fill: {BLUE}')
    assert len(marker.findall(svg_of(Figure("", (curve([0]),)), tmp_path))) == 1
    lone = [*STEADY, 5400, *(second + 7200 for second in STEADY)]
    assert len(marker.findall(svg_of(Figure("", (curve(lone),)), tmp_path))) == 1
    assert marker.findall(svg_of(Figure("", (curve(STEADY),)), tmp_path)) == []


def test_every_unit_has_a_panel_with_its_words(tmp_path: Path) -> None:
    """Three series of two units are two panels, whose axes name metric and unit in words."""
    svg = svg_of(
        Figure(
            "Two rooms",
            (
                curve(STEADY),
                curve(STEADY, label="cellar", level=12),
                curve(STEADY, metric="relative_humidity", unit="%", level=50),
            ),
        ),
        tmp_path,
    )
    assert re.findall(r'<g id="(axes_\d+)">', svg) == ["axes_1", "axes_2"]
    for text in ("Temperature (°C)", "Relative humidity (%)", "Two rooms"):
        assert f"<!-- {text} -->" in svg
    # The kitchen has one colour in both panels, and the cellar another one.
    assert len(lines_in(svg, BLUE)) == 2
    assert len(lines_in(svg, "#d55e00")) == 1


def test_metrics_of_one_device_and_unit_are_told_apart(tmp_path: Path) -> None:
    """Where a panel would name a device twice, the legend adds the metric."""
    svg = svg_of(Figure("", (curve(STEADY), curve(STEADY, metric="dew_point"))), tmp_path)
    assert "kitchen, temperature -->" in svg
    assert "kitchen, dew point -->" in svg


def test_metrics_without_a_unit_share_no_panel(tmp_path: Path) -> None:
    """A count and a state have no scale in common."""
    curves = (curve(STEADY, metric="count", unit=""), curve(STEADY, metric="door", unit=""))
    assert svg_of(Figure("", curves), tmp_path).count('<g id="axes_') == 2


@pytest.mark.parametrize("name", ["$x^2$", "$\\frac$", "_attic", "<b>&", "x" * 29])
def test_any_device_name_stands_in_the_legend(tmp_path: Path, name: str) -> None:
    """Names are plain text: no formula, no hidden curve, no mark-up."""
    svg = svg_of(Figure("", (curve(STEADY, label=name),)), tmp_path)
    written = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"{written} -->" in svg


def test_no_readings_are_said_in_the_panel(tmp_path: Path) -> None:
    """With and without a time axis, and without any curve; a panel with readings doesn't say it."""
    said = "<!-- no readings in this time -->"
    empty = curve([])
    assert said in svg_of(Figure("", (empty,)), tmp_path)
    assert said in svg_of(Figure("", ()), tmp_path)
    assert said in svg_of(Figure("", (empty,), START, START + 3600 * SECOND), tmp_path)
    both = svg_of(Figure("", (empty, curve(STEADY, label="cellar"))), tmp_path)
    assert said not in both
    assert "kitchen (no readings) -->" in both


def test_the_axis_names_the_zone_and_its_offset(tmp_path: Path) -> None:
    """Summer has its offset, a year has both, UTC has none, and ticks are in that zone."""
    hour = Figure("", (curve(STEADY),))
    svg = svg_of(hour, tmp_path)
    assert "<!-- Time (Europe/Berlin, UTC+02:00) -->" in svg
    assert "<!-- 19:30 -->" in svg  # 17:30 UTC
    year = Figure("", (curve(list(range(0, 365 * 86_400, 86_400))),))
    assert "(Europe/Berlin, UTC+02:00 and UTC+01:00)" in svg_of(year, tmp_path)
    assert "<!-- Time (UTC) -->" in svg_of(hour, tmp_path, ZoneInfo("UTC"))


def test_too_many_panels_are_refused(tmp_path: Path) -> None:
    """A picture that nobody could look at is an error that says how to mend it."""
    curves = tuple(curve(STEADY, unit=f"u{number}") for number in range(25))
    with pytest.raises(OwnerError, match=r"25 panels.*name fewer metrics"):
        draw(Figure("", curves), tmp_path / "plot.png", BERLIN)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_through_a_link(tmp_path: Path) -> None:
    """The link stays a link, and the file has the owner's usual permissions."""
    target, link = tmp_path / "plot.png", tmp_path / "latest.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    draw(Figure("", (curve(STEADY),)), link, BERLIN)
    assert link.is_symlink()
    assert target.read_bytes().startswith(b"\x89PNG")
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_path_that_cant_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A missing folder, a folder in place of the file: said by the child, and nothing is left."""
    folder = tmp_path / "folder.png"
    folder.mkdir()
    for output, reason in ((tmp_path / "no" / "a.png", "No such file"), (folder, "directory")):
        with pytest.raises(OwnerError, match=reason) as refused:
            plot_in_child(Figure("", (curve(STEADY),)), output, "UTC")
        assert str(refused.value).startswith(f"Can't write {output}: ")
        assert "Traceback" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_figure_survives_the_way_to_the_child() -> None:
    """Every field and both columns arrive as they were sent."""
    figure = Figure("Kitchen", (curve(STEADY), curve([], unit="%")), START, None)
    assert decode(encode(figure)) == figure


def test_the_child_draws_the_file(tmp_path: Path) -> None:
    """The child's picture is the one that this process would draw."""
    figure = Figure("Küche", (curve(STEADY),))
    plot_in_child(figure, tmp_path / "child.svg", "Europe/Berlin")
    draw(figure, tmp_path / "here.svg", BERLIN)
    assert (tmp_path / "child.svg").read_text() == (tmp_path / "here.svg").read_text()


def test_an_unknown_zone_is_a_sentence(tmp_path: Path) -> None:
    """A zone's name may be wrong in several ways, and all are told alike."""
    for zone in ("Europe/Berlim", "Europe", "../etc"):
        with pytest.raises(OwnerError, match=f"no time zone called '{zone}'"):
            plot_in_child(Figure("", ()), tmp_path / "plot.png", zone)


def test_no_window_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no window can open, the message names the option that writes a file."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for backend in ("", "agg", "tkagg"):
        monkeypatch.setenv("MPLBACKEND", backend)
        with pytest.raises(OwnerError, match=r"No window.*-o"):
            plot_in_child(Figure("", (curve(STEADY),)), None, "UTC")


def test_missing_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra, the message is the command that installs it."""
    missing = "raise ModuleNotFoundError('No module', name='matplotlib')\n"
    (tmp_path / "matplotlib.py").write_text(missing)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    with pytest.raises(OwnerError, match=r"pip install 'motehub\[reports\]'"):
        plot_in_child(Figure("", (curve(STEADY),)), tmp_path / "plot.png", "UTC")


def test_rubbish_on_standard_input_is_one_line(tmp_path: Path) -> None:
    """The child never shows a stack trace."""
    child = subprocess.run(
        [sys.executable, "-m", "motehub.reports.plot", f"--output={tmp_path / 'a.png'}"],
        input=b"rubbish",
        capture_output=True,
        check=False,
    )
    assert child.returncode == 1
    assert re.fullmatch(rb"The plot could not be drawn: [^\n]+\n", child.stderr)


def test_the_parent_side_imports_no_drawing_library() -> None:
    """Commands start fast, and work without the extra until something is drawn."""
    code = "import sys, motehub.reports.plot; print({'matplotlib', 'numpy'} & set(sys.modules))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert child.stdout.strip() == "set()"


def test_columns_of_different_length_are_refused() -> None:
    """A curve that lost a value would draw every reading at a wrong time."""
    with pytest.raises(ValueError, match="2 times can't go with 1 values"):
        Curve("k", "temperature", "°C", array("q", [1, 2]), array("d", [1.0]))
