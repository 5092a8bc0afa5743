"""A run as one HTML page that opens offline: the verdicts, the roofline, the ratios, and each case with its reason."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import xconv
from xconv.bench.plots import ratios, roofline
from xconv.bench.reasons import ms, parts, why
from xconv.bench.results import Group, Result, Run
from xconv.bench.statistics import paired
from xconv.bench.text import article_answer, counts, credibility, geometric_means, of_catalogue, own_answer, summary


def to_html(run: Run) -> str:
    """The page. What frameworks said is escaped; plotly's script is in the page, nothing is fetched from anywhere."""
    from jinja2 import Environment
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    comparisons = of_catalogue(run)
    keys = list(dict.fromkeys(c.key for c in comparisons))
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        files("xconv.bench").joinpath("page.html.jinja").read_text("utf-8")
    )
    verdicts = [
        (
            ", ".join(key),
            counts(c.own_verdict for c in comparisons if c.key == key),
            counts(c.best_verdict for c in comparisons if c.key == key),
        )
        for key in keys
    ]
    plots = [("How far from what the machine can do", roofline(run))]
    plots += [(f"xconv on {backend}, {direction}", ratios(run, backend, direction)) for backend, direction in keys]
    return template.render(
        run=run,
        version=xconv.__version__,
        plotly=Markup(get_plotlyjs()),
        plots=[
            (title, Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=_CONFIG)))
            for title, figure in plots
            if figure is not None
        ],
        verdicts=verdicts,
        answers=[said for said in (*own_answer(run).split("\n"), article_answer(run)) if said],
        credibility=credibility(run),
        losses=[found for found in summary(run) if found[0].endswith(": losses")],
        means=geometric_means(comparisons) if comparisons else None,
        groups=[(group, _cases(group, run)) for group in run.groups],
        machine=[(name, value) for name, value in run.machine.items() if value not in (None, [], "")],
        workers=run.workers,
    )


_CONFIG = {"responsive": True, "displayModeBar": False}


def _cases(group: Group, run: Run) -> list[dict[str, Any]]:
    """For each direction: the bars of the contenders, the reason for their order, and who has no number."""
    found = []
    for direction in group.directions:
        timed = group.timed(direction)
        slowest = timed[-1].seconds if timed else 1.0
        rows = [_row(result, timed[0], slowest, group, run) for result in timed]
        none = [r for r in group.contenders if not r.has_number and r.contender.direction == direction]
        reason = ""
        if len(timed) > 1:
            runner_up, last = timed[1], timed[-1]
            reason = f"{timed[0].how} against {runner_up.how}: {why(timed[0], runner_up, run.limits)}."
            if last is not runner_up:
                reason += f" Against {last.how}: {why(timed[0], last, run.limits)}."
        found.append({"direction": direction, "rows": rows, "none": none, "reason": reason})
    return found


def _row(result: Result, fastest: Result, slowest: float, group: Group, run: Run) -> dict[str, Any]:
    of, cost = parts(result, run.limits), result.contender.cost()
    fraction, binds = run.limits.fraction(cost, result.seconds)
    ratio = None if result is fastest else paired(fastest.times, result.times)
    verdict = "" if ratio is None else ratio.verdict(run.floor_of(group))
    return {
        "how": result.label,
        "ours": not result.contender.way,
        "seconds": ms(result.seconds),
        "bar": [
            (name, 100 * seconds / slowest)
            for name, seconds in (("dispatch", of.dispatch), ("pages", of.pages), ("rest", of.rest))
        ],
        "parts": f"the call {ms(of.dispatch)}, page faults {ms(of.pages)}, the rest {ms(of.rest)}",
        "ratio": "" if ratio is None else str(ratio),
        "mark": {"tie": "=", "undecided": "?"}.get(verdict, ""),
        "limit": f"{100 * fraction:.0f} % {binds}" if binds else "",
        "first": "" if result.first_call is None else ms(result.first_call),
        "memory": "" if result.peak_bytes is None else f"{result.peak_bytes / 2**20:.1f}",
        "rejected": sum(result.rejected.values()),
    }
