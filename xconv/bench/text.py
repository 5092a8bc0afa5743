"""A run as text: the geometric means, losses first, a table of each group, and how much it is to be believed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from xconv.bench.comparisons import LayerComparison, compare, means
from xconv.bench.reasons import ms, why
from xconv.bench.results import Group, Result, Run
from xconv.bench.statistics import VERDICTS, WORTH_LOG_RATIO, Ratio, Verdict, paired, spread
from xconv.bench.suites import ARTICLE, COMPARED, OWN

Table = tuple[str, list[str], list[list[str]]]
"""A title, the headers, the rows."""


def to_text(run: Run, groups: bool = True) -> str:
    """Everything, for a terminal; without ``groups`` the tables of single groups are left out."""
    parts = [table(group, run) for group in run.groups] if groups else []
    parts += [f"{title}\n{tabulate(rows, headers, disable_numparse=True)}" for title, headers, rows in summary(run)]
    parts += [own_answer(run), article_answer(run), credibility(run)]
    return "\n\n".join(part for part in parts if part)


def summary(run: Run) -> list[Table]:
    """Losses, wins and ties of xconv against peers, and their geometric means."""
    comparisons = of_catalogue(run)
    tables = []
    for key in dict.fromkeys(c.key for c in comparisons):
        mine = sorted((c for c in comparisons if c.key == key), key=_worst)
        for title, some in (
            ("losses", [c for c in mine if c.is_loss]),
            ("no losses", [c for c in mine if not c.is_loss]),
        ):
            if some:
                headers = ["layer", "formulation", "time", "over own", "", "over best", "", "best peer", "of limit"]
                tables.append((f"xconv on {key[0]}, {key[1]}: {title}", headers, [_row(c) for c in some]))
    if comparisons:
        tables.append(geometric_means(comparisons))
    return tables


def of_catalogue(run: Run) -> list[LayerComparison]:
    """The comparisons of the layers that everyone has; a layer of one's own is answered by its table."""
    return [found for found in compare(run) if found.ours.contender.layer.tier != OWN]


def geometric_means(comparisons: Sequence[LayerComparison]) -> Table:
    """Per backend, direction and domain."""
    rows = []
    for key in dict.fromkeys(c.key for c in comparisons):
        mine = [c for c in comparisons if c.key == key]
        own, best = means(mine, lambda c: c.own), means(mine, lambda c: c.best)
        for domain, (count, mean) in own.items():
            some = [c for c in mine if domain in ("all", c.ours.contender.layer.domain)]
            verdicts = [" ".join(map(str, counts(c.own_verdict for c in some)))] if domain == "all" else [""]
            verdicts += [" ".join(map(str, counts(c.best_verdict for c in some)))] if domain == "all" else [""]
            rows.append(
                [", ".join(key), domain, str(count), _number(mean), verdicts[0], _number(best[domain][1]), verdicts[1]]
            )
    headers = ["xconv on", "domain", "layers", "over own", "L U T W", "over best", "L U T W"]
    return "geometric means (L U T W: losses, undecided, ties, wins)", headers, rows


def counts(verdicts: Iterable[Verdict | None]) -> list[int]:
    """Losses, undecided, ties and wins.

    >>> counts(["win", None, "loss", "win"])
    [1, 0, 0, 2]
    """
    counted = Counter(verdicts)
    return [counted[verdict] for verdict in VERDICTS]


def table(group: Group, run: Run) -> str:
    """A group, the fastest of each direction first; below, why others have no number.

    GFLOP/s counts the operations of the direct method. "slower by" is over the fastest of the direction, with its 95 %
    interval; a contender that ties with the fastest is marked with "=".
    """
    rows = []
    for direction in group.directions:
        timed = group.timed(direction)
        for result in timed:
            cost = result.contender.cost()
            fraction, binds = run.limits.fraction(cost, result.seconds)
            rows.append(
                [
                    result.label,
                    ms(result.seconds),
                    f"+-{100 * spread(result.samples):.0f} %",
                    _slower(result, timed[0], run.floor_of(group)),
                    f"{cost.flops / result.seconds / 1e9:.1f}",
                    f"{100 * fraction:.0f} % {binds}" if binds else "",
                    "" if result.peak_bytes is None else f"{result.peak_bytes / 2**20:.1f}",
                ]
            )
    headers = ["contender", "time", "", "slower by", "GFLOP/s", "of limit", "MiB"]
    text = f"{group.name}\n{tabulate(rows, headers, disable_numparse=True)}"
    for result in group.results:
        if not result.has_number:
            text += f"\n{'A/A, ' * result.twin}{result.contender.label}: {_reason(result)}"
    if group.twins:
        text += f"\nA/A, {group.contenders[0].contender.label} in two processes: {group.twins}"
    for direction in group.directions:
        timed = group.timed(direction)
        if len(timed) > 1:
            reason = why(timed[0], timed[-1], run.limits)
            text += f"\nFastest, {direction}: {timed[0].how}. Slowest: {timed[-1].how}, {reason}."
    return text


def own_answer(run: Run) -> str:
    """Which form is fastest for each layer of one's own, and what is as fast."""
    said = []
    for group in run.groups:
        if group.suite != OWN:
            continue
        for direction in group.directions:
            timed = group.timed(direction)
            if not timed:
                continue
            first, *others = timed
            ratios = [(other, paired(first.times, other.times)) for other in others]
            ties = [o.label for o, ratio in ratios if ratio and ratio.verdict(run.floor_of(group)) != "win"]
            slower = [(o, ratio) for o, ratio in ratios if ratio and o.label not in ties]
            text = f"Fastest, {direction}: {first.label}, {ms(first.seconds)}"
            text += f"; as fast, as far as can be told: {' and '.join(ties)}" if ties else ""
            text += f"; next: {slower[0][0].label}, {slower[0][1]} times as slow" if slower else ""
            said.append(text + ".")
    return "\n".join(said)


def article_answer(run: Run) -> str:
    """Does Conv2D with a height-one kernel cost more than Conv1D? One sentence, with the numbers of this run."""
    said = []
    for backend, shape, ratio, verdict in article_ratios(run):
        words = {"win": "Conv1D is faster", "loss": "Conv2D is faster", "tie": "a tie", "undecided": "undecided"}
        said.append(f"{backend} at {shape} {ratio} ({words[verdict]})")
    if not said:
        return ""
    return (
        "Does a Conv2D of height one cost more than a Conv1D? Time of Conv2D over Conv1D, forward, each framework's "
        f"own op: {'; '.join(said)}."
    )


def article_ratios(run: Run) -> list[tuple[str, tuple[int, ...], Ratio, Verdict]]:
    """Backend, input shape, the ratio of Conv2D's time to Conv1D's over all trials, and the verdict."""
    found: dict[tuple[str, tuple[int, ...]], list[Group]] = {}
    for group in run.groups:
        if group.suite == ARTICLE:
            for result in group.timed("forward"):
                key = (result.contender.backend, result.contender.layer.x_shape)
                if group not in found.setdefault(key, []):
                    found[key].append(group)
    answers = []
    for (backend, shape), groups in sorted(found.items()):
        times: dict[str, list[float | None]] = {name: [] for name in COMPARED}
        for group in groups:
            both = {r.contender.layer.operation: r for r in group.timed("forward") if r.contender.backend == backend}
            if len(both) == 2:
                shared = min(len(r.times) for r in both.values()) // 2 * 2
                for name, result in both.items():
                    times[name] += result.times[:shared]
        one, two = COMPARED
        ratio = paired(times[one], times[two])
        if ratio is not None:
            answers.append((backend, shape, ratio, ratio.verdict(max(map(run.floor_of, groups)))))
    return answers


def credibility(run: Run) -> str:
    """The A/A floor, rejected blocks, the clock, the limits."""
    rejected, blocks = run.rejection
    causes = Counter[str]()
    for group in run.groups:
        for result in group.results:
            causes.update(result.rejected)
    because = f" ({', '.join(f'{cause} {count}' for cause, count in causes.most_common())})" if causes else ""
    threads, device = run.settings["threads"], run.settings["device"]
    clock = "CPU" if threads == 1 and device == "cpu" else "wall"
    floor = "no A/A arm has a number, so nothing is claimed"
    if math.isfinite(run.floor):
        percent = 100 * (math.exp(run.floor) - 1)
        words = "are ties" if run.floor <= WORTH_LOG_RATIO else "cannot be told from nothing"
        floor = f"differences under {percent:.1f} % {words}: so far apart are two processes of one and the same"
    limits = "not measured"
    if run.limits.flops and run.limits.bytes:
        limits = (
            f"{run.limits.flops / 1e9:.1f} GFLOP/s by a matrix product, {run.limits.bytes / 1e9:.1f} GB/s by a copy, "
            f"{run.limits.transposed / 1e9:.1f} GB/s by a transposition, {ms(run.limits.fault)} for a page fault"
        )
    ended = "Interrupted: what was measured until then. " if run.interrupted else ""
    return (
        f"{ended}{clock} time of one call, median of up to {run.settings['rounds']} interleaved blocks, {threads} "
        f"thread(s) on {device}; every result was verified first. A/A: {floor}. Rejected as disturbed: {rejected} of "
        f"{blocks} blocks{because}. The limits of this machine in this run: {limits}. Intervals are of 95 %."
    )


def _row(comparison: LayerComparison) -> list[str]:
    own, best = comparison.own, comparison.best
    return [
        comparison.ours.contender.layer.name,
        comparison.ours.chosen,
        ms(comparison.ours.seconds),
        str(own) if own else "",
        comparison.own_verdict or "",
        str(best) if best else "",
        comparison.best_verdict or "",
        best.against if best else "",
        f"{comparison.fraction:.2f} {comparison.binds}" if comparison.binds else "",
    ]


def _slower(result: Result, fastest: Result, floor: float) -> str:
    ratio = None if result is fastest else paired(fastest.times, result.times)
    if ratio is None:
        return ""
    return f"{ratio}{' =' if ratio.verdict(floor) == 'tie' else ' ?' if ratio.verdict(floor) == 'undecided' else ''}"


def _reason(result: Result) -> str:
    first = (result.error.splitlines() or ["no block was measured"])[0]
    return f"{'cannot' if result.cannot else 'no number'}: {first}"[:160]


def _number(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.2f}"


def _worst(comparison: LayerComparison) -> float:
    return min((ratio.value for ratio in (comparison.own, comparison.best) if ratio is not None), default=math.inf)
