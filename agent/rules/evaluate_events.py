"""Holding an event condition against a log: the rows that show it, who did it, and how often in which time.

Parents are those the log itself tells of (its "start" rows, or a parent column), by process instance where the log names instances.
Counts slide over half-open windows [t, t + within); overlapping windows that are full become one finding.
Masks are (N,) over the rows of the log in table order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.examine.rows import say_row
from agent.lookups.log_concepts import CONCEPTS, acts_of, addresses_in, is_outside, outside, rows_of, texts
from agent.rules.conditions import Column, EventCondition, Hours, Who
from agent.rules.evaluate_series import in_hours
from agent.rules.outcome import CannotTell, RuleFinding
from agent.rules.programs import pattern_of
from agent.rules.wording import condition_words, duration_words
from core.evidence import EventRows
from core.samples import EventLog
from tools.events.lineage import MAX_DEPTH, find_actors
from tools.events.wording import Deed, clean, reads_memory, short_name

Mask = NDArray[np.bool_]
ROWS_KEPT = 200
"""Rows a finding keeps; it counts them all."""
SHOWN = 3
"""Rows a finding tells in words."""
_MEMORY: frozenset[Deed] = frozenset({"access"})


def evaluate(
    condition: EventCondition, log: EventLog, *, hours: Hours | None = None
) -> tuple[list[RuleFinding], list[CannotTell], list[str]]:
    """Findings (one per actor and target, or per burst), what could not be told, and notes, of one condition on one log."""
    time_s = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()
    if (refused := _cannot(condition, log, time_s, hours)) is not None:
        return [], [refused], []
    mask, notes = _matching(condition, log)
    if hours is not None:
        mask = mask & in_hours(time_s + (log.epoch_s or 0.0), hours)
    rows = np.flatnonzero(mask)
    if condition.count == 1:
        return _grouped(condition, log, rows, time_s), [], notes
    found = []
    values = dict(zip(rows.tolist(), _values(condition.distinct, log, rows), strict=True)) if condition.distinct else None
    for key, members in _by(condition, log, rows):
        if condition.within_s is None:
            n = len(members) if values is None else len({values[r] for r in members.tolist()} - {""})
            bursts = [members] if n >= condition.count else []
        else:
            bursts = bursts_of(members, time_s, condition.within_s, condition.count, values)
        found += [_burst(condition, log, burst, time_s, key) for burst in bursts]
    return sorted(found, key=lambda f: f.facts["first_row"]), [], notes  # type: ignore[arg-type, return-value]


def _cannot(condition: EventCondition, log: EventLog, time_s: NDArray[np.float64], hours: Hours | None) -> CannotTell | None:
    if condition.within_s is not None and not np.isfinite(time_s).any():
        return CannotTell(reason=f"{log.name} has no times, so nothing can be counted per time.",
                          what_would_help="Say how often in the whole log, or give a log with time stamps.")  # fmt: skip
    if hours is not None and log.epoch_s is None:
        return CannotTell(
            reason=f"{log.name} does not say at what time of day things happened.",
            what_would_help="Give a log with dates and times.",
        )
    told = {"user": condition.user or condition.user_besides, "host": condition.host}
    told |= {c: c for c in (condition.by, condition.distinct) if c in ("user", "host")}
    for role, wanted in told.items():
        if wanted and role not in log.table.columns:
            return CannotTell(
                reason=f"{log.name} names no {role} per event.",
                what_would_help=f"Name the column with --role {role}=COLUMN, if there is one.",
            )
    return None


def _matching(condition: EventCondition, log: EventLog) -> tuple[Mask, list[str]]:
    table = log.table
    mask = np.ones(table.height, np.bool_)
    notes: list[str] = []
    acts = _acts(condition, log) if condition.deeds else mask
    if condition.concept is not None:
        mask = mask & rows_of(condition.concept, log)
        if CONCEPTS[condition.concept].limit:
            notes.append(CONCEPTS[condition.concept].limit)
    subject = _named(log, "subject", condition.subject)
    if condition.deeds == ("start",) and "parent" in table.columns:
        # logs whose rows are the started process itself, with a column for what started it
        has_parent = (texts(table, "parent") != "").to_numpy()
        by_column = _named(log, "parent", condition.subject) & _named(log, "subject", condition.object) & has_parent
        pairs = (subject & _named(log, "object", condition.object)) | (by_column if condition.subject is not None else subject)
        mask = mask & acts & pairs
    else:
        mask = mask & acts & subject & _named(log, "object", condition.object)
    if condition.parent is not None:
        mask = mask & _started_by(condition, log)
    for role, wanted in (("user", condition.user), ("host", condition.host)):
        if wanted:
            mask = mask & _account(log, role, wanted)
    if condition.user_besides:
        mask = mask & ~_account(log, "user", condition.user_besides) & (texts(table, "user") != "").to_numpy()
    if condition.text:
        said = texts(table, "detail").str.to_lowercase().str.contains(condition.text.lower(), literal=True)
        said |= texts(table, "operation").str.to_lowercase().str.contains(condition.text.lower(), literal=True)
        mask = mask & said.to_numpy()
    if condition.outside:
        mask = mask & outside(table) & ~_inside_with_port(log)
    return mask, notes


def _inside_with_port(log: EventLog) -> Mask:
    """Rows whose object is an inside address of the colon kind with a port behind it, which reads as one group too many."""
    thing = texts(log.table, "object")
    near = [o for o in thing.unique().to_list() if o.count(":") > 1 and _is_inside(o.strip("[]").rpartition(":")[0].strip("[]"))]
    return np.asarray(thing.is_in(near).to_numpy(), np.bool_)


def _is_inside(address: str) -> bool:
    try:
        return not is_outside(address)
    except ValueError:
        return False


def _acts(condition: EventCondition, log: EventLog) -> Mask:
    """Rows of the acts; reading a process is opening it with the right to read its memory (or with rights the log does not give)."""
    deeds = frozenset(condition.deeds)
    found = acts_of(log.table, deeds)
    if "read" in deeds and "access" not in deeds:
        detail = texts(log.table, "detail")
        able = [mask for mask in detail.unique().to_list() if reads_memory(mask) is not False]
        found = found | (acts_of(log.table, _MEMORY) & detail.is_in(able).to_numpy())
    return found


def _named(log: EventLog, column: str, who: Who | None) -> Mask:
    """Rows whose column bears one of the names and none of those not meant; all rows without a name."""
    if who is None:
        return np.ones(log.table.height, np.bool_)
    values = texts(log.table, column).str.to_lowercase()
    found = values.str.contains(pattern_of(who.names)) if who.names else values != ""
    if who.besides:
        found = found & ~values.str.contains(pattern_of(who.besides))
    return np.asarray(found.to_numpy(), np.bool_)


def _account(log: EventLog, role: str, wanted: str) -> Mask:
    r"""Rows of an account or computer: the whole name, or its last part ("NT AUTHORITY\\SYSTEM" is SYSTEM, "a.corp.local" is a)."""
    values = texts(log.table, role).str.to_lowercase()
    last = values.str.replace(r"^.*\\", "") if role == "user" else values.str.replace(r"\..*$", "")
    return np.asarray(((values == wanted.lower()) | (last == wanted.lower())).to_numpy(), np.bool_)


def _started_by(condition: EventCondition, log: EventLog) -> Mask:
    """Rows done by processes that `parent` started (with `lineage`: or that those started, and so on)."""
    actors = find_actors(log.table)
    makers = _named(log, "subject", condition.parent)
    starts = acts_of(log.table, frozenset({"start"})) & (actors.target >= 0)
    made = np.zeros(actors.count, np.bool_)
    made[actors.target[starts & makers]] = True
    for _ in range(MAX_DEPTH if condition.lineage else 0):
        grown = made.copy()
        grown[actors.target[starts & made[actors.of_event]]] = True
        if (grown == made).all():
            break
        made = grown
    found = made[actors.of_event]
    if "parent" in log.table.columns:
        found = found | _named(log, "parent", condition.parent)
    return np.asarray(found, np.bool_)


def _keys(log: EventLog, rows: NDArray[np.int64], *columns: str) -> list[str]:
    """One text per row that is equal where the columns are."""
    parts = [texts(log.table, c)[rows].str.to_lowercase().to_list() for c in columns if c in log.table.columns]
    return ["|".join(values) for values in zip(*parts, strict=True)] if parts else [""] * len(rows)


def _split(keys: Sequence[str], rows: NDArray[np.int64]) -> list[tuple[str, NDArray[np.int64]]]:
    groups: dict[str, list[int]] = {}
    for key, row in zip(keys, rows.tolist(), strict=True):
        groups.setdefault(key, []).append(row)
    return [(key, np.array(members, np.int64)) for key, members in groups.items()]


def _by(condition: EventCondition, log: EventLog, rows: NDArray[np.int64]) -> list[tuple[str, NDArray[np.int64]]]:
    """The rows counted together, with what they have in common in words ("" for all)."""
    if condition.by is None:
        return [("", rows)]
    table = log.table
    keys = _values(condition.by, log, rows)
    shown = texts(table, "subject") if condition.by == "subject" else None
    return [(short_name(shown[int(m[0])]) if shown is not None else key, m) for key, m in _split(keys, rows) if key]


def _values(column: Column, log: EventLog, rows: NDArray[np.int64]) -> list[str]:
    """What stands in a column, per row; of addresses the first one named, of processes the instance where the log tells them apart."""
    table = log.table
    if column == "address":
        said = zip(texts(table, "object")[rows], texts(table, "detail")[rows], strict=True)
        return [next(iter(addresses_in(f"{thing} {detail}")), "") for thing, detail in said]
    if column == "subject":
        return _keys(log, rows, "subject_id" if "subject_id" in table.columns else "subject")
    return _keys(log, rows, column)


def bursts_of(
    rows: NDArray[np.int64], time_s: NDArray[np.float64], within_s: float, count: int, values: Mapping[int, str] | None = None
) -> list[NDArray[np.int64]]:
    """Groups of rows that lie in overlapping windows [t, t + within_s) with at least `count` rows each, in time order.

    With `values` by row, a window needs `count` different ones of them.

    >>> bursts_of(np.arange(5), np.array([0.0, 1.0, 2.0, 50.0, 51.0]), 10.0, 3)
    [array([0, 1, 2])]
    >>> bursts_of(np.arange(3), np.array([0.0, 1.0, 2.0]), 10.0, 3, {0: "a", 1: "a", 2: "b"})
    []
    """
    known = rows[np.isfinite(time_s[rows])]
    known = known[np.argsort(time_s[known], kind="stable")]
    times = time_s[known]
    # a window [t, t + within) that starts at row i ends before `until[i]`; only starts that have `count` rows are full
    until = np.searchsorted(times, times + within_s, side="left")
    held = until - np.arange(len(times)) if values is None else _different([values[r] for r in known.tolist()], until)
    full = np.flatnonzero(held >= count)
    found: list[list[int]] = []
    for i in full.tolist():
        if found and i < found[-1][1]:
            found[-1][1] = max(found[-1][1], int(until[i]))
        else:
            found.append([i, int(until[i])])
    return [known[a:b] for a, b in found]


def _different(values: Sequence[str], until: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many different values (empty ones do not count) the window of each row holds."""
    inside: Counter[str] = Counter()
    found, end = np.zeros(len(values), np.int64), 0
    for i, value in enumerate(values):
        for entering in values[end : int(until[i])]:
            inside[entering] += 1
        end = max(end, int(until[i]))
        found[i] = len(inside) - ("" in inside)
        inside[value] -= 1
        if not inside[value]:
            del inside[value]
    return found


def _facts(log: EventLog, rows: NDArray[np.int64], time_s: NDArray[np.float64]) -> dict[str, Any]:
    times = time_s[rows][np.isfinite(time_s[rows])]
    table = log.table
    shown = list(dict.fromkeys(short_name(s) for s in texts(table, "subject")[rows[:2000]].unique(maintain_order=True)))
    return {
        "first_row": int(table["row"][int(rows[0])]), "last_row": int(table["row"][int(rows[-1])]), "n_rows": len(rows),
        "first_s": round(float(times.min()), 3) if len(times) else None, "last_s": round(float(times.max()), 3) if len(times) else None,
        "epoch_s": log.epoch_s, "subjects": shown[:8],
        "did": [
            [int(table["row"][int(i)]), round(float(time_s[i]), 3) if np.isfinite(time_s[i]) else None, clean(say_row(log, int(i)), 240)]
            for i in rows[:SHOWN]
        ],
    }  # fmt: skip


def _locus(log: EventLog, rows: NDArray[np.int64]) -> EventRows:
    return EventRows(sample=log.name, rows=tuple(int(r) for r in log.table["row"][rows[:ROWS_KEPT]]))


def _grouped(condition: EventCondition, log: EventLog, rows: NDArray[np.int64], time_s: NDArray[np.float64]) -> list[RuleFinding]:
    """One finding per actor and target: the same act a hundred times is one thing to look at."""
    identity = "subject_id" if "subject_id" in log.table.columns else "subject"
    rule = condition_words(condition)
    found = []
    for _, members in _split(_keys(log, rows, identity, "object"), rows):
        facts = _facts(log, members, time_s)
        n = len(members)
        more = f" ({n:,} times, rows {facts['first_row']}–{facts['last_row']})" if n > 1 else f" (row {facts['first_row']})"
        found.append(
            RuleFinding(
                locus=_locus(log, members), measured=float(n), unit="events", condition=rule, sentence=f"{facts['did'][0][2]}{more}.",
                facts=facts, events=n,
            )
        )  # fmt: skip
    return found


def _burst(
    condition: EventCondition, log: EventLog, rows: NDArray[np.int64], time_s: NDArray[np.float64], key: str
) -> RuleFinding:
    facts = _facts(log, np.sort(rows), time_s)
    lasted = f" in {duration_words(round(facts['last_s'] - facts['first_s'], 3))}" if facts["first_s"] is not None else ""
    who = f" by {clean(key, 60)}" if key else f" by {', '.join(facts['subjects'][:3])}" if facts["subjects"] else ""
    rule = condition_words(condition)
    return RuleFinding(
        locus=_locus(log, np.sort(rows)), measured=float(len(rows)), unit="events", condition=rule,
        sentence=f"{len(rows):,} such events{who}{lasted}, rows {facts['first_row']}–{facts['last_row']}; the first: "
            f"{facts['did'][0][2]}.",
        facts=facts | {"common": key}, events=len(rows),
    )  # fmt: skip
