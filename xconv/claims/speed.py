"""Is Conv1D faster than Conv2D on 1-D data? Measured, or not said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xconv.claims.result import Asked, ClaimOutcome, Trial

if TYPE_CHECKING:
    from xconv.bench.results import Group, Result, Run
    from xconv.bench.suites import Question

ROUNDS = 12

WORDS = {"win": "faster", "loss": "slower", "tie": "as fast", "undecided": "undecided"}

NOT_MEASURED = "not measured here: run with --measure"


def faster(asked: Asked, run: Run | None = None) -> ClaimOutcome:
    """Measure both, and the image of width one, in both of the article's settings, three times.

    A win is only said where the interval of the ratio leaves out 1 and the effect is larger than what this run cannot
    tell from nothing: how far apart two processes of the same are (its A/A arm). A tie is no win, and is only said
    where the run could have told a difference of a fifth.
    """
    if run is None and not asked.measure:
        return ClaimOutcome((), NOT_MEASURED)
    found = measured(asked) if run is None else run
    trials = [trial for group in found.groups for trial in _trials(found, group)]
    held = [trial for trial in trials if trial.holds]
    decided = [trial for trial in trials if trial.holds is not None]
    if not decided:
        return ClaimOutcome(tuple(trials), f"not decided here: {trials[0].found if trials else 'nothing was measured'}")
    slower = sum(trial.found.startswith(WORDS["loss"]) for trial in decided)
    sentence = f"Conv1D is faster in {len(held)} of {len(decided)} comparisons that decide anything, slower in {slower}"
    undecided = len(trials) - len(decided)
    sentence += f", and {undecided} more were too noisy." if undecided else "."
    return ClaimOutcome(tuple(trials), sentence)


def questions(backends: Sequence[str]) -> list[Question]:
    """The article's, forward: Conv1D, Conv2D on an image of height one, and on one of width one."""
    from xconv.bench.suites import COMPARED, article

    asked = []
    for question in article("smoke", backends, ()):
        contenders = list(question.of("forward").contenders)
        for one in [c for c in contenders if c.layer.operation == COMPARED[0]]:
            (n, length, channels), [(k, _, filters)] = one.layer.x_shape, one.layer.weight_shapes
            image, kernel = (n, length, 1, channels), (k, 1, channels, filters)
            layer = replace(one.layer, operation="conv2d", x_shape=image, weight_shapes=(kernel,))
            label = one.label.replace(COMPARED[0], "conv2d of width one")
            contenders.append(replace(one, label=label, layer=layer, formulation="auto"))
        asked.append(replace(question, contenders=tuple(contenders)))
    return asked


def measured(asked: Asked) -> Run:
    """A run of the questions, forward, on one thread."""
    from xconv.bench import running

    def progress(number: int, count: int, text: str) -> None:
        del number, count
        if asked.progress:
            asked.progress(text)

    settings = running.Settings(tier="article", rounds=ROUNDS)
    return running.run(lambda _: questions(asked.backends), settings, asked.backends, progress)


def _trials(run: Run, group: Group) -> list[Trial]:
    from xconv.bench.suites import COMPARED

    trials = []
    for backend in dict.fromkeys(result.contender.backend for result in group.contenders):
        mine = [result for result in group.contenders if result.contender.backend == backend]
        [one] = [result for result in mine if result.contender.layer.operation == COMPARED[0]]
        trials += [_against(run, group, one, other) for other in mine if other is not one]
    return trials


def _against(run: Run, group: Group, one: Result, other: Result) -> Trial:
    from xconv.bench.statistics import paired

    setting = f"{group.name}: {one.contender.label} against {other.contender.label.partition(' ')[2]}"
    errors = [result.error for result in (one, other) if not result.has_number]
    ratio = None if errors else paired(one.times, other.times)
    if ratio is None:
        return Trial(setting, "faster", f"no number: {errors[0] if errors else 'no round in common'}", None)
    floor = run.floor_of(group)
    verdict = ratio.verdict(floor)
    found = f"{WORDS[verdict]}: Conv2D takes {ratio} of its time; {_percent(floor)} cannot be told from nothing"
    return Trial(setting, "faster", found, None if verdict == "undecided" else verdict == "win")


def _percent(floor: float) -> str:
    # of a log ratio
    return "any difference" if math.isinf(floor) else f"{math.expm1(floor):.1%}"
