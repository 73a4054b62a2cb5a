"""How figures are written, and where they stand in plots."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.evaluation.harness.scenario import Published
from retriever.evaluation.report import numbers, plots, wording
from retriever.evaluation.report.costs import Cost, Part, Step
from retriever.evaluation.report.figures import DatasetFigures, Line
from retriever.evaluation.report.markdown import plain

POSITIVE = st.floats(1e-6, 1e6)


def line(number, value, *, group="a", is_peer=False, reasons=None):
    return Line(
        number=number,
        configuration=f"c{number}",
        label=f"configuration {number}",
        is_peer=is_peer,
        beats_us=False,
        measures={"nDCG@10": value},
        low=value - 0.1,
        high=value + 0.1,
        group=group,
        against=None,
        reasons=reasons or {"found": 10},
        chunks=1,
        notes=(),
        published=(Published(name="x", measure="nDCG@10", value=0.1, source="y"),),
    )


def dataset(lines, reasons=("found",)):
    return DatasetFigures(
        name="set",
        documents=10,
        queries=10,
        language="english",
        notes=(),
        measures=("nDCG@10",),
        lines=tuple(lines),
        reasons=reasons,
        published=(),
        by_query=None,
    )


def cost(number, p99, *, steps=2, memory=1_000_000):
    made = tuple(
        Step(share=0.1 * n, offered=10.0 * n, p50=0.001, p90=0.002, p99=p99, errors=0.0, late=0.0)
        for n in range(1, steps + 1)
    )
    return Cost(
        dataset="set",
        configuration=f"c{number}",
        repetitions=1,
        passages=10,
        acknowledged=1.0,
        searchable=1.0,
        capacity=100.0,
        steps=made,
        shown=made[-1],
        ann_recall=1.0,
        memory=memory,
        disk=None,
        cold=None,
        ingest=None,
        query=None,
        filters=(),
        million_queries=None,
        million_passages=None,
    )


@given(st.lists(st.tuples(POSITIVE, st.floats(0, 1)), min_size=1, max_size=12))
def test_nothing_beats_the_front_and_it_beats_all_else(points):
    front = plots._front(points)

    def beats(one, other):
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    assert front
    for n, point in enumerate(points):
        assert (n in front) == (not any(beats(other, point) for other in points))


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 5_000), min_size=1).filter(lambda d: any(d.values()))
)
def test_a_bar_is_whole(values):
    pieces = plots._stacked(values, dict.fromkeys(values, 0), str)
    assert [piece.name for piece in pieces] == [name for name, value in values.items() if value]
    ends = [0.0, *(piece.start + piece.width for piece in pieces)]
    assert [piece.start for piece in pieces] == pytest.approx(ends[:-1], abs=1e-9)
    assert ends[-1] == pytest.approx(100, abs=1e-9)


@given(POSITIVE, POSITIVE, st.booleans())
def test_ticks_are_on_the_axis(one, other, log):
    low, high = min(one, other), max(one, other)
    axis = plots.Axis(low, high, 64, 600, log=log)
    ticks = axis.ticks(numbers.rate)
    assert 1 <= len(ticks) <= 14
    assert all(64 <= tick.at <= 600 for tick in ticks)
    assert axis.at(math.inf) == axis.at(high)


def test_places_that_coincide_share_one_name():
    lines = [line(1, 0.5), line(2, 0.5), line(3, 0.9)]
    found = plots.paretos(dataset(lines), {"c1": cost(1, 0.01), "c2": cost(2, 0.01), "c3": cost(3, 0.5)}, None)
    assert [point.name for point in found[0].points] == ["1, 2", "", "3"]
    assert found[0].title == "nDCG@10 against p99 latency at half of the capacity"
    assert len(found) == 2  # and memory; there are no prices


def test_a_percentile_that_one_lacks_is_not_compared():
    lines = [line(1, 0.5), line(2, 0.6)]
    found = plots.paretos(dataset(lines), {"c1": cost(1, 0.01), "c2": cost(2, None)}, None)
    assert "p90" in found[0].title


def test_requests_that_failed_stand_at_the_top():
    found = plots.latency_plots(dataset([line(1, 0.5)]), {"c1": cost(1, math.inf)})
    slowest = found[0].curves[-1]
    assert {y for _, y, _ in slowest.dots} == {plots.TOP}
    assert all("failed" in title for *_, title in slowest.dots)


def test_a_stage_has_the_same_colour_in_every_bar():
    names = ["load", "embed", "store"]
    one = plots.stages(Part(wall=2.0, seconds={"load": 0.5, "store": 1.0}, residual=0.25), names)
    other = plots.stages(Part(wall=1.0, seconds={"store": 1.0}, residual=0.0), names)
    assert {piece.name: piece.kind for piece in one} == {"load": 0, "store": 2, plots.REST: 3}
    assert [(piece.name, piece.kind, piece.width) for piece in other] == [("store", 2, 100.0)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.duration(0.0000123), "12.3 µs"),
        (numbers.duration(0.00234), "2.34 ms"),
        (numbers.duration(12.0), "12.0 s"),
        (numbers.duration(math.inf), "failed"),
        (numbers.duration(None), "–"),
        (numbers.size(1_234_567), "1.23 MB"),
        (numbers.size(0), "0 B"),
        (numbers.rate(12_345.6), "12,346"),
        (numbers.percent(0.1), "10 %"),
        (numbers.percent(0.0123), "1.2 %"),
        (numbers.signed(-0.0123), "−0.012"),
        (numbers.chance(0.0001), "< 0.001"),
        (numbers.score(None), "–"),
        (numbers.money(1.5, "$"), "1.50 $"),
    ],
)
def test_figures_are_written_for_people(written, expected):
    assert written == expected


def test_configurations_that_share_a_letter_are_not_called_different():
    assert not wording.apart(line(1, 0.5, group="ab"), line(2, 0.4, group="bc"))
    assert wording.apart(line(1, 0.5, group="a"), line(2, 0.4, group="b"))


@given(st.text(max_size=60))
def test_foreign_text_is_no_markdown(text):
    shown = plain(text)
    assert "\n" not in shown
    assert shown.count("|") == shown.count("\\|")
    assert shown.count("<") == shown.count("\\<")
