"""DORA's figures as cards: value, what it is made of, definition and formula; undefined with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from board_frontend import view
from board_frontend.schema import Figures


@dataclass(frozen=True)
class Card:
    """One figure; `value` is `undefined` when there is none, and `detail` then says why."""

    title: str
    value: str
    detail: str
    definition: str
    formula: str


def cards(figures: Figures) -> list[Card]:
    """The five, in the order in which DORA names them: throughput first, then stability."""
    return [
        _frequency(figures),
        _lead_time(figures),
        _recovery(figures),
        _failure_rate(figures),
        _rework(figures),
    ]


def _frequency(figures: Figures) -> Card:
    frequency = figures.frequency
    if not frequency.count:
        value, detail = view.UNDEFINED, "No deployment went live in this time."
    elif frequency.per_week is None:
        value = _daily(frequency.per_day)
        detail = f"{_counted(frequency.count, 'deployment')}; the time is shorter than a week."
    else:
        value = f"{view.number(frequency.per_week, 1)} a week"
        detail = f"{_counted(frequency.count, 'deployment')}, {_daily(frequency.per_day)}"
    back = f"{_counted(figures.rollbacks, 'rollback')} among them"
    config = f"{_counted(figures.config_deployments, 'change')} of configuration alone not counted"
    return Card(
        "Deployment frequency",
        value,
        f"{detail}; {back}; {config}." if frequency.count else detail,
        "How often a new set of images reaches the environment and is healthy there. A rollback is a deployment too; "
        "a sync that changes no image is none.",
        "Median of the deployments per whole week, counted back from the end of the time, weeks without one included; "
        "per day: deployments ÷ days.",
    )


def _lead_time(figures: Figures) -> Card:
    lead = figures.lead_time
    notes = [_counted(lead.commits, "commit")]
    if lead.skewed:
        notes.append(f"{view.number(lead.skewed)} with clocks that disagree")
    if lead.unknown:
        notes.append(f"{_counted(lead.unknown, 'image')} of a commit that is not known")
    if lead.median is None:
        detail = "No source commit went live for the first time in this time."
    else:
        detail = f"p90 {view.span(lead.p90)}; {', '.join(notes)}."
    return Card(
        "Lead time for changes",
        view.span(lead.median),
        detail,
        "How long a source commit takes until it runs in the environment and is healthy, the first time.",
        "Time of first healthy − time of the commit, for each commit that a deployment brought; median, and p90 by "
        "nearest rank. Merge commits are left out. Where clocks disagree a stage counts as 0 s.",
    )


def _recovery(figures: Figures) -> Card:
    recovery = figures.recovery
    still = f"{view.number(recovery.open)} still open" if recovery.open else ""
    if recovery.median is None:
        detail = f"No failure is over yet, {still}." if still else "No deployment failed in this time."
    else:
        detail = f"p90 {view.span(recovery.p90)}; {view.number(recovery.count)} recovered{f', {still}' if still else ''}."
    return Card(
        "Failed deployment recovery time",
        view.span(recovery.median),
        detail,
        "How long a deployment that failed leaves the environment without a healthy one.",
        "Time of first healthy of what repaired it − time of the failure; median, and p90 by nearest rank, of the "
        "failures that are over.",
    )


def _failure_rate(figures: Figures) -> Card:
    share = figures.change_failure
    return Card(
        "Change failure rate",
        view.percent(share.rate),
        _share(share.part, share.of, "failed"),
        "The part of the deployments that needed repair at once.",
        "Failed ÷ all decided deployments of images. Failed: its sync failed; or it was degraded, reverted, rolled back "
        f"or named by a Fixes-Deploy line within {figures.window_hours:g} h after it went live.",
    )


def _rework(figures: Figures) -> Card:
    share = figures.rework
    return Card(
        "Deployment rework rate",
        view.percent(share.rate),
        _share(share.part, share.of, "repaired another"),
        "The part of the deployments that nobody planned: they were made to repair an earlier one.",
        "(Rollbacks + deployments with a Fixes-Deploy line) ÷ all decided deployments of images.",
    )


def _daily(count: float | None) -> str:
    return (
        "less than 0.01 a day" if count is not None and 0 < count < 0.01 else f"{view.number(count, 2)} a day"
    )


def _share(part: int, of: int, what: str) -> str:
    if not of:
        return "No deployment was decided in this time, and nothing can be divided by none."
    return f"{view.number(part)} of {_counted(of, 'deployment')} {what}."


def _counted(count: int, word: str) -> str:
    return f"{view.number(count)} {view.plural(count, word)}"
