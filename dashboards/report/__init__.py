"""The report of one run: one HTML file that opens from disk, with its plots, its styles and its script inside.

`render` is the only entry point for a run; dashboards/comparison.py uses `write` for two. The numbers come from the
verdict and, second by second, from the history (series.py). The plots are SVG made here (figures.py on svg.py); page.py
collects the values for the template. The page fetches nothing, and everything that comes from a run is escaped.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chaos.verdict.history.history import History
from chaos.verdict.model import Verdict
from dashboards.report.hops import measure
from dashboards.report.page import build
from dashboards.report.wording import thousands

__all__ = ["render", "write"]


def render(verdict: Verdict, history: History, run_dir: Path, *, shipped: bool = True) -> Path:
    """Write RUN_DIR/report.html, whole or not at all, and return its path. Raises OSError.

    `shipped`: True if `petrel run` finds the run's experiment by its name. The latency budget, which only the report
    measures, is also written to RUN_DIR/metrics/hops.json for other programs.
    """
    budget = measure(history, run_dir)
    if budget is not None:
        (run_dir / "metrics" / "hops.json").write_bytes(msgspec.json.format(msgspec.json.encode(budget)) + b"\n")
    return write(run_dir / "report.html", "report.html.j2", build(verdict, history, run_dir, budget, shipped=shipped))


def write(path: Path, template: str, page: object) -> Path:
    """Write a page from a template of this package, whole or not at all, and return its path. Raises OSError."""
    environment = Environment(
        loader=PackageLoader(__name__), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thousands"] = thousands
    text = environment.get_template(template).render(page=page, css=_own("report.css"), js=_own("report.js"))
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    return partial.replace(path)


def _own(name: str) -> Markup:
    """Return a file that ships beside the template, unescaped."""
    text = files(__name__).joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - a file of ours, without data of a run
