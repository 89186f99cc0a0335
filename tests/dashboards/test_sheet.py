"""A page of tables and plots: complete, offline, and with everything escaped."""

from pathlib import Path

from chaos.screen.sheets import Graph, Section, Table
from dashboards import sheet


def test_a_page_holds_its_tables_and_plots_and_escapes_their_texts(tmp_path: Path) -> None:
    graph = Graph(key="g", title="Waits <s>", unit="s", lines={"all & more": [0.0, 2.0, 8.0], "few": [1.0, 1.0, 1.0]})
    sections = [
        Section(
            key="one",
            title="One",
            lead="A lead.",
            tables=[Table(columns=["name", "value"], rows=[["<b>", "5"]], caption="A caption")],
            graphs=[graph, graph._replace(key="h", log=True, fault_s=(1.0, 2.0))],
        )
    ]
    path = sheet.render(tmp_path / "page.html", title="T", lead="L", sections=sections)
    text = path.read_text(encoding="utf-8")
    assert text.count("<svg viewBox") + text.count('role="img"') >= 2
    assert "&lt;b&gt;" in text
    assert "<b>" not in text.split("<tbody>")[1].split("</tbody>")[0]
    assert "all &amp; more" in text
    assert 'class="band fault"' in text
    assert "<script" not in text


def test_a_logarithmic_plot_leaves_out_what_is_zero() -> None:
    (picture,) = sheet.drawn(Graph(key="g", title="T", unit="s", lines={"a": [0.0, 10.0]}, log=True)).plots
    assert picture.scale == "log"
    assert "up to 10" in picture.svg
