"""A report as PDF, with fpdf2. Only the process of a report imports this.

Letters are those of DejaVu, which comes with matplotlib: the fonts of PDF itself have few.
"""

from __future__ import annotations

import io
import logging
import struct
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from motehub.model import MICROSECONDS
from motehub.reports.contents import AlertPart, Chart, Contents, DevicePart
from motehub.reports.words import Phrases

_FAMILY: Final = "dejavu"
_INK: Final = (31, 35, 40)
_QUIET: Final = (89, 99, 110)
_BAND: Final = (16, 70, 60)
_LINE: Final = (209, 217, 224)
_MARGIN: Final = 15.0
_BAND_HEIGHT: Final = 27.0
_SPACES: Final = "\n\N{NARROW NO-BREAK SPACE}\N{NO-BREAK SPACE}"
_WIDTHS: Final = (38, 12, 12, 12, 12, 14)


def pages(contents: Contents, pictures: list[bytes], say: Phrases) -> bytes:
    """Return a report as the bytes of a PDF file, on A4; ``pictures`` are its charts."""
    # What fpdf says about a font's tables is nothing that the owner could mend.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    logging.getLogger("fpdf").setLevel(logging.ERROR)
    sheet = _Sheet(say.words("report.made_by", hub=contents.hub))
    sheet.set_title(contents.name)
    sheet.set_creator("motehub")
    sheet.set_creation_date(datetime.fromtimestamp(contents.until // MICROSECONDS, UTC))
    sheet.set_lang(say.words.language)
    sheet.add_page()
    _head(sheet, contents, say)
    for remark in contents.remarks:
        _words(sheet, say.remark(remark), 9, _QUIET)
    if contents.alert_count:
        _title(sheet, say.words("report.alerts"))
        for alert in contents.alerts:
            _alert(sheet, alert, say)
        if more := say.more_alerts(contents):
            _words(sheet, more, 9, _QUIET)
    for chart, picture in zip(contents.charts, pictures, strict=False):
        _chart(sheet, chart, picture, say)
    for device in contents.devices:
        _device(sheet, device, say)
    if not contents.devices:
        _words(sheet, say.words("report.no_device"), 10, _QUIET)
    return bytes(sheet.output())


class _Sheet(FPDF):
    """Pages with ``foot`` and their number at the foot."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot
        with as_file(files("matplotlib").joinpath("mpl-data", "fonts", "ttf")) as folder:
            self.add_font(_FAMILY, "", folder / "DejaVuSans.ttf")
            self.add_font(_FAMILY, "B", folder / "DejaVuSans-Bold.ttf")
        self.set_margin(_MARGIN)
        self.set_auto_page_break(auto=True, margin=18)
        self.alias_nb_pages()

    def footer(self) -> None:
        """Write the foot of a page."""
        self.set_y(-13)
        self.set_font(_FAMILY, size=8)
        self.set_text_color(*_QUIET)
        self.cell(0, 5, _seen(self._foot), align="L")
        self.set_x(_MARGIN)
        self.cell(0, 5, f"{self.page_no()}/{{nb}}", align="R")

    def room(self, height: float) -> None:
        """Begin a new page unless so much (mm) fits on this one."""
        if self.get_y() + height > self.page_break_trigger:
            self.add_page()


def _head(sheet: _Sheet, contents: Contents, say: Phrases) -> None:
    sheet.set_fill_color(*_BAND)
    sheet.rect(0, 0, sheet.w, _BAND_HEIGHT, style="F")
    sheet.set_y(5)
    _words(sheet, contents.hub, 9, (207, 230, 223))
    _words(sheet, contents.name, 15, (255, 255, 255), bold=True)
    _words(sheet, say.span(contents), 9, (207, 230, 223))
    sheet.set_y(max(sheet.get_y(), _BAND_HEIGHT) + 3)
    _words(sheet, say.counts(contents), 10, _INK)


def _title(sheet: _Sheet, text: str) -> None:
    sheet.ln(3)
    _words(sheet, text, 12, _INK, bold=True)


def _words(
    sheet: _Sheet, text: str, size: float, colour: tuple[int, int, int], *, bold: bool = False
) -> None:
    sheet.set_font(_FAMILY, "B" if bold else "", size)
    sheet.set_text_color(*colour)
    sheet.multi_cell(0, size * 0.5, _seen(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")


def _alert(sheet: _Sheet, one: AlertPart, say: Phrases) -> None:
    sheet.room(12)
    severity, text, when = say.alert(one)
    _words(sheet, text, 10, _INK)
    _words(sheet, f"{severity} · {when}", 8, _QUIET)
    sheet.ln(1)


def _chart(sheet: _Sheet, chart: Chart, picture: bytes, say: Phrases) -> None:
    image = io.BytesIO(picture)
    # Title and picture stay together.
    sheet.room(_image_height(sheet, picture) + 12)
    _title(sheet, say.title(chart.metric, chart.unit))
    sheet.image(image, w=sheet.epw)
    if more := say.not_shown(chart):
        _words(sheet, more, 8, _QUIET)


def _image_height(sheet: _Sheet, picture: bytes) -> float:
    """Return how high (mm) a PNG is on the page; its size stands at a fixed place in it."""
    wide, high = struct.unpack(">II", picture[16:24])
    return float(sheet.epw * high / wide)


def _device(sheet: _Sheet, device: DevicePart, say: Phrases) -> None:
    sheet.room(28)
    _title(sheet, device.name)
    if came := say.expected(device):
        _words(sheet, came, 8, _QUIET)
    if days := say.days(device):
        _words(sheet, days, 8, _QUIET)
    if not device.series:
        _words(sheet, say.words("report.no_metric"), 9, _QUIET)
        return
    sheet.set_font(_FAMILY, "", 9)
    sheet.set_text_color(*_INK)
    sheet.set_draw_color(*_LINE)
    sheet.set_fill_color(255, 255, 255)
    quiet = FontFace(color=_QUIET, emphasis="", size_pt=8)
    with sheet.table(
        col_widths=_WIDTHS,
        text_align=("LEFT", *["RIGHT"] * (len(_WIDTHS) - 1)),
        borders_layout="HORIZONTAL_LINES",
        line_height=4.6,
        headings_style=quiet,
        padding=0.6,
    ) as table:
        heading = table.row()
        for text in say.columns():
            heading.cell(text)
        for one in device.series:
            row = table.row()
            row.cell(_seen(say.title(one.metric) + (f" {one.unit}" if one.unit else "")))
            for text in say.cells(one):
                row.cell(_seen(text))
            if said := say.notes(one):
                more = table.row()
                more.cell(_seen("\n".join(said)), colspan=6, style=quiet, align="LEFT")


def _seen(text: str) -> str:
    """Return what the font has letters for; others would be boxes or end the page's text."""
    return "".join(
        one if one in _SPACES or (one.isprintable() and ord(one) < 0x10000) else "?" for one in text
    )
