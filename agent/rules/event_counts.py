"""How often in which time, counted by what, and the plain attributes of a row: account, computer, address, text of the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from agent.rules.conditions import Column, Who
from agent.rules.event_words import (
    ADDRESS,
    BY,
    COUNT,
    COUNT_INSIDE,
    DISTINCT,
    DOER,
    HOST,
    LOGIN_AS,
    OUTSIDE,
    TEXT,
    TEXT_WORDS,
    USER,
    USER_BEFORE,
    USER_BESIDES,
)
from agent.rules.numbers import find_within
from agent.rules.programs import is_program


@dataclass
class Left:
    """A body that is eaten up piece by piece: what was read is blanked, and what remains was not understood."""

    text: str
    missed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, match: re.Match[str] | tuple[int, int] | None) -> bool:
        """Blank what was read; False without a match."""
        if match is None:
            return False
        a, b = match if isinstance(match, tuple) else match.span()
        self.text = self.text[:a] + " " * (b - a) + self.text[b:]
        return True


def column_of(entity: str) -> Column:
    """The column of a log that a word for somebody or something stands in."""
    if re.match(r"process|program", entity):
        return "subject"
    if re.match(r"user|account|person|people", entity):
        return "user"
    if re.match(r"host|computer|machine|server|workstation", entity):
        return "host"
    return "object" if re.match(r"file|target", entity) else "address"


def read_counts(left: Left, values: dict[str, Any]) -> None:
    """Fill in how often, in which time, counted by what and how many different ones."""
    within = find_within(left.text)
    per = re.search(r"\b(?:per|a|every|each)\s+(?P<u>second|minute|hour|day)\b", left.text) if within is None else None
    if within is not None:
        values["within_s"] = within.value
        left.take((within.a, within.b))
    elif per is not None and re.search(r"\d", left.text[: per.start()]):
        values["within_s"] = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}[per["u"]]
        left.take(per)
    left.text = left.text.lstrip()
    match = COUNT.search(left.text) or COUNT_INSIDE.search(left.text)
    if match is not None:
        values["count"] = int(match["n"] or match["n2"]) + (match["more"] in ("more than", "over"))
        different = DISTINCT.match(left.text, match.end())
        if different is not None and (different["d"] or column_of(different["x"]) in ("user", "host", "address")):
            column = column_of(different["x"])
            reached = re.match(
                r"\s*(?:are |were |being )?(?:contacted|reached|scanned|connected to"
                r"|accessed)\b",
                left.text[different.end() :],
            )
            if column == "host" and (
                reached or re.search(r"\b(?:to|with|contact\w*|scan\w*|reach\w*)\s*$", left.text[: match.start()])
            ):
                column = "address"  # what is connected to; the host of a row is where it was logged
            values["distinct"] = column
            thing = column_of(different["x"]) in ("object", "subject")  # "different files renamed" still says what was renamed
            left.take((match.start(), different.start("x") if thing else different.end()))
        else:
            left.take(match)
        left.text = re.sub(r"\btimes\b", "     ", left.text)
    if "count" not in values and "within_s" not in values:
        return
    by = BY.search(left.text)
    doer = DOER.match(left.text.lstrip()) if by is None else None
    if by is not None:
        values["by"] = column_of(by["x"] or by["y"])
        left.take(by)
    elif doer is not None and "count" in values:
        values["by"] = column_of(doer["x"])
        left.text = left.text.lstrip()
        left.take(doer)
        left.text = re.sub(r"^\s*(?:that|which|who|whose)\b", " ", left.text)


def read_attributes(left: Left, values: dict[str, Any]) -> None:
    """Fill in the text of the command line, the account, the computer and the address."""
    if (match := TEXT.search(left.text)) is not None:
        values["text"] = (match["q"] or match["w"] or match["v"] or match["u"]).strip(" .,")
        left.take(match)
    for words, said in TEXT_WORDS:
        if "text" not in values and (match := re.search(words, left.text)) is not None:
            values["text"] = said
            left.notes.append(f"“{match[0].strip()}” was read as “{said}” in the command line.")
            left.take(match)
    besides = USER_BESIDES.search(left.text)
    if (match := LOGIN_AS.search(left.text)) is not None and besides is None:
        values["user"] = match["x"]
        left.take(match)
    if besides is not None and not is_program(besides["x"] or besides["y"]):
        values["user_besides"] = besides["x"] or besides["y"]
        left.take(besides)
    elif (match := USER_BEFORE.search(left.text)) is not None:
        values["user"] = match["x"]
        left.take(match)
    elif (match := USER.search(left.text)) is not None:
        values["user"] = (match["x"] or match["y"] or match["z"]).strip()
        left.take(match)
    if (match := HOST.search(left.text)) is not None:
        values["host"] = match["x"]
        left.take(match)
    if (
        (match := ADDRESS.search(left.text)) is not None
        and match["x"]
        and (port := _PORT.match(left.text, match.end())) is not None
    ):
        left.text = left.text[: port.start()] + " " * len(port[0]) + left.text[port.end() :]
        name = f"{match['x']}:{port['p']}"
        values["object"] = Who(said=name, names=(name,))
        left.text = left.text[: match.start("x")] + " " * len(match["x"]) + left.text[match.end("x") :]
    elif match is not None:
        name = f"*:{match['p']}" if match["p"] else match["x"]
        values["object"] = Who(said=f"port {match['p']}" if match["p"] else name, names=(name,))
        a, b = match.span() if match["p"] else match.span("x")
        left.text = left.text[:a] + " " * (b - a) + left.text[b:]
    if (match := OUTSIDE.search(left.text)) is not None and (
        values.get("object") is None or values["object"].said.startswith("port ")
    ):
        values["outside"] = True
        left.take(match)


_PORT = re.compile(
    r"\s*(?:,|and)?\s*(?:on|at|via|over|with)?\s*(?:the )?(?:remote |destination |tcp |udp )*port (?P<p>\d{1,5})\b"
)
