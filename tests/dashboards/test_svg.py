"""SVG as text: everything is escaped, lines break where there is nothing, every picture is well-formed XML."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from dashboards.report.lanes import Lane, draw_lanes, sparkline
from dashboards.report.scales import linear_from_zero
from dashboards.report.series import Grid
from dashboards.report.svg import Band, Line, Plot, Rule, draw, path_data, tag, y_range

GRID = Grid(origin_ns=0, start_s=-3, step_s=1, buckets=8)
printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")))
NASTY = "</svg><script>alert('x\")</script>&"


def plot(*, values: list[float | None], bands: tuple[Band, ...] = ()) -> Plot:
    base, top = y_range(100)
    return Plot(
        key="p", title=NASTY, description=NASTY, unit="ms", grid=GRID, height=100, bands=bands,
        lines=[Line(name=NASTY, style="a", values=values)], y=linear_from_zero(5, start=base, stop=top),
        rules=[Rule(value=3, label=NASTY)],
    )  # fmt: skip


@given(printable, printable)
def test_text_and_attributes_come_back_as_they_were(text: str, attribute: str) -> None:
    element = ElementTree.fromstring(tag("text", text, class_=attribute, stroke_width=1.25))
    assert (element.text or "") == text
    assert element.attrib == {"class": attribute, "stroke-width": "1.2"}


def test_markup_is_nested_as_it_is() -> None:
    assert tag("g", tag("line"), "<") == Markup("<g><line></line>&lt;</g>")


def test_a_line_breaks_where_there_is_nothing_and_a_lone_point_is_a_dot() -> None:
    assert path_data([(0, 1), (1, 2), (2, None), (3, 4), (4, None), (5, 6)]) == "M0 1L1 2M3 4h.1M5 6h.1"
    assert path_data([(0, None)]) == ""


def test_every_picture_is_well_formed_whatever_it_is_called() -> None:
    bands = tuple(Band(start_s=s, stop_s=s + 0.01, kind="fault", label=f"f{s}", detail=NASTY) for s in range(3))
    lane = Lane(
        label="f1", name=NASTY, start_s=0, stop_s=4, recovered_s=4.5, effective=False, healed=False
    )  # fmt: skip
    pictures = [
        draw(plot(values=[1, None, 2.5, 9, 0, None, None, 4], bands=bands)),
        draw_lanes([lane], GRID),
        sparkline([(0, 1.0), (1, None)], grid=GRID, highest=0, bands=bands, title=NASTY),
    ]
    for picture in pictures:
        assert "<script" not in picture
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        assert root.findtext("title")


def test_labels_that_would_touch_go_to_different_rows() -> None:
    bands = (
        Band(start_s=0, stop_s=1, kind="fault", label="f1"),
        Band(start_s=0.05, stop_s=1, kind="fault", label="f2"),
        Band(start_s=3, stop_s=4, kind="fault", label="f3"),
    )
    root = ElementTree.fromstring(draw(plot(values=[None] * 8, bands=bands)))
    rows = {text.text: text.get("y") for text in root.iter("text") if text.get("class") == "band-label"}
    assert rows["f1"] == rows["f3"] != rows["f2"]
