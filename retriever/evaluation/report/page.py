"""The report as one HTML file that needs no network, and no JavaScript to be read.

Queries, documents and labels are foreign text: the template escapes all it is given, and a policy in the page lets no
script run but its own, which is named by its checksum.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from retriever.evaluation.report import numbers, plots
from retriever.evaluation.report.costs import Cost, by_configuration
from retriever.evaluation.report.figures import DatasetFigures, Line, Report
from retriever.evaluation.report.wording import answers, meaning, price
from retriever.registry import raise_missing

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_TEMPLATE = "report.html"


@dataclass(frozen=True, slots=True)
class Section:
    """A dataset, as the page shows it.

    :param figures: of the dataset.
    :param answers: in plain words.
    :param price: in plain words; differs from run to run.
    :param costs: by configuration.
    :param paretos: plots.
    :param latencies: plots.
    """

    figures: DatasetFigures
    answers: list[str]
    price: list[str]
    costs: Mapping[str, Cost]
    paretos: list[plots.Pareto]
    latencies: list[plots.Latencies]

    @property
    def timed(self) -> list[tuple[Line, Cost]]:
        """Configurations that were timed, in the order of the table."""
        return [(n, self.costs[n.configuration]) for n in self.figures.lines if n.configuration in self.costs]

    def stage_names(self, part: str) -> list[str]:
        """Of all configurations.

        :param part: ``ingest`` or ``query``.
        """
        parts = [found for _, cost in self.timed if (found := getattr(cost, part)) is not None]
        return list(dict.fromkeys(name for found in parts for name in found.seconds))


def as_html(report: Report) -> str:
    """The page.

    :param report: its figures.
    :raises MissingExtra: where jinja2 is not installed.
    """
    style, script = _part("report.css"), _part("report.js")
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            report=report,
            sections=[_section(report, dataset) for dataset in report.datasets],
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )
    return page if page.endswith("\n") else page + "\n"


def _section(report: Report, dataset: DatasetFigures) -> Section:
    found = by_configuration(report.times.costs, dataset.name)
    return Section(
        figures=dataset,
        answers=answers(report, dataset),
        price=price(report, dataset),
        costs=found,
        paretos=plots.paretos(dataset, found, report.currency),
        latencies=plots.latency_plots(dataset, found),
    )


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise_missing("the report as HTML", error)
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": numbers.score,
        "signed": numbers.signed,
        "chance": numbers.chance,
        "percent": numbers.percent,
        "duration": numbers.duration,
        "rate": numbers.rate,
        "size": numbers.size,
        "money": numbers.money,
        "meaning": meaning,
        "exact": _exact,
        "packed": _packed,
    }
    environment.globals |= {
        "waterfall": plots.waterfall,
        "kind_of": plots.kind_of,
        "stages": plots.stages,
        "width": plots.WIDTH,
        "height": plots.HEIGHT,
        "left": plots.LEFT,
        "right": plots.WIDTH - plots.RIGHT,
        "top": plots.TOP,
        "bottom": plots.HEIGHT - plots.BOTTOM,
    }
    return environment


def _exact(value: Any) -> str:  # noqa: ANN401 - a number or None
    """To sort by, and to check the page by: the number as it is in the JSON."""
    return "" if value is None else repr(value)


def _packed(content: Mapping[str, Any]) -> Markup:
    """JSON inside a script element: no character in it can end the element."""
    from jinja2.utils import htmlsafe_json_dumps
    from pydantic_core import to_jsonable_python

    return htmlsafe_json_dumps(
        to_jsonable_python(content, exclude_none=True), ensure_ascii=False, separators=(",", ":"), sort_keys=False
    )


def _part(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
