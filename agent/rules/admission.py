"""Which texts are no definition at all: empty ones, questions, several pages, orders to the program, languages that no fixed rule reads."""

from __future__ import annotations

import re

from agent.reading.languages import detect_language
from agent.reading.phrases import wordlist
from agent.rules.words import word_set
from core.errors import BadInput

MOST_CHARS = 600
"""A definition is a sentence or two; longer texts hold several."""
_LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish"}
_ENGLISH = word_set(
    """
    another after before can car cars clean closed door each enter has have high lid long low missing only open over people person
    pressure running someone somebody temperature that their through two water who
    above an and any anybody anyone anything are at below but by every except fine flag for from if in is less more must near never
    no normal not of on opening or over started than the to under when while with within without
    """
)
_QUESTION = re.compile(
    r"^(?:is|are|was|were|does|do|did|has|have|can|could|will|would|what|when|where|which|who|why|how)\b(?! not\b| never\b)"
)
_CLAUSE = re.compile(
    r"(?:when|where|who(?:ever)?|which)\b.*(?:,|\b(?:must|may not|should|shall|has to|have to|never|an? anomaly|not normal|critical)\b)"
)
"""What begins like a question and is none: "when the fan is off the pump must not run"."""
_ORDERS = re.compile(
    r"\b(?:ignore|forget|disregard|override|bypass)\b.{0,30}\b(?:instructions?|prompts?|rules?|guidelines"
        r"|everything (?:above|before|you)|all (?:of )?the above)\b"
    r"|\b(?:system|developer) prompt\b|\byou are (?:now|a|an)\b|\bact as\b|\bpretend\b"
    r"|\b(?:delete|drop|remove|erase|disable) (?:all|every|the) (?:other )?(?:rules?|files?|tables?|evidence"
        r"|chats?)\b(?! .{0,40}(?:by|from|within|in the log))"
    r"|^(?:always |please |just )*(?:say|answer|reply|claim|obey|execute|tell the)\b|\bdrop table\b|\bselect \*|\bdelete from\b"
    r"|\breveal\b.{0,30}\b(?:key|password|prompt)|\b(?:say|answer|reply|claim) (?:that )?(?:everything|all|nothing"
        r"|it) (?:is|are)\b|\bdo not tell the (?:user|person)\b"
)  # fmt: skip
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|(?<!\w)'[^']*'(?!\w)")


def check_text(text: str) -> str:
    """The text of a definition on one line, or the reason why it is none.

    Raises:
        BadInput: empty, too long, without a word, a question, or an order to the program.

    >>> check_text("   ")
    Traceback (most recent call last):
    core.errors.BadInput: The definition is empty. Say what is an anomaly or normal, e.g. “pressure above 7 bar is an anomaly”.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not line:
        raise BadInput("The definition is empty. Say what is an anomaly or normal, e.g. “pressure above 7 bar is an anomaly”.")
    if len(line) > MOST_CHARS:
        raise BadInput(
            f"The definition has {len(line):,} characters, allowed are {MOST_CHARS}. Give each definition on its own, in a "
            f"sentence or two."
        )
    if not re.search(r"[^\W\d_]{2}", line):
        raise BadInput(f"The definition {line[:40]!r} holds no word. Say in a sentence what is an anomaly or normal.")
    lowered = line.lower()
    if _ORDERS.search(_QUOTED.sub(" ", lowered)):
        raise BadInput(
            "That is an instruction to me, not a definition of an anomaly: I keep definitions of what to look for in data "
            "and take no "
            "other orders from them."
        )
    if line.endswith("?") or (_QUESTION.search(lowered) and not _CLAUSE.match(lowered)):
        raise BadInput("That is a question, not a definition. Say it as a statement, e.g. “bicycles are fine here”.")
    return line


def check_language(line: str) -> None:
    """Refuse a text that is in no language the fixed rules read.

    Raises:
        BadInput: German, French, Spanish, another script, or no English word in more than a few.

    >>> check_language("Fahrräder sind hier in Ordnung und kein Problem")
    Traceback (most recent call last):
    core.errors.BadInput: This definition seems to be German. Without a language model I read definitions in English only: ...
    """
    words = re.findall(r"[^\W\d_]+", line.lower())
    english = sum(w in _ENGLISH or (len(w) > 5 and w.endswith(("ing", "ed", "ly"))) for w in words)
    language = detect_language(line.lower())
    if not english and any(c.isalpha() and not c.isascii() and c not in "µ" for w in words for c in w):
        language = "other" if language == "en" else language
    if language == "other":
        raise BadInput(
            "This definition is not in a language that I can read without a language model. Write it in English, or choose "
            "a model tier."
        )
    if language in _LANGUAGES and english < 2:
        raise BadInput(
            f"This definition seems to be {_LANGUAGES[language]}. Without a language model I read definitions in English "
            f"only: write it in "
            "English, or choose a model tier."
        )
    if (
        not english
        and len(words) > 4
        and not re.search(r"\.(?:exe|dll|ps1)\b", line.lower())
        and not any(w in wordlist("en") for w in words)
    ):
        raise BadInput(
            "I recognise no English word in this definition. Without a language model I read definitions in English only: "
            "write it in "
            "English, or choose a model tier."
        )
