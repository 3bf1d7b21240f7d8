"""Messages about rules that are in force already: list, delete, switch, scope, grade, undo, and "that is normal here" on a finding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.telling.words import name
from core.errors import BadInput, UserError
from core.rules import Rule, Scope

if TYPE_CHECKING:
    from agent.rules.store import RuleStore

_ID = r"(?:the |my )?(?:rule |number |no\.? ?|#)*(?P<id>r?\d{1,5})"
_NAMED = (
    r"(?:(?:the|my|that) (?P<word>[\w.\-]{3,}(?: [\w.\-]{3,})?) rule"
    r"|(?:the|my|that) rule (?:about|on|for|with|against) (?:the )?(?P<about>.{3,60}?))"
)
_DELETE = (
    r"^(?:please )?(?:delete|remove|forget|drop|take away|discard|erase|cancel|scrap|revoke|withdraw|get rid of|kick out"
    r"|throw (?:away|out))"
)
_SWITCH = r"^(?:please )?(?:switch|turn)"
_OURS = r"(?: all| the| my| our| your| current| active)*"
_LAST = r"(?:the|this|that|my) (?:last )?(?:rule|change)"
_HOLDS = r"(?:hold |holds |apply |applies |only |is |to |should )*"
_COMMANDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (key, re.compile(pattern, re.IGNORECASE))
    for key, pattern in (
        (
            "list",
            rf"^(?:please )?(?:list|show|tell me|give me)?(?: me)?{_OURS} ?(?:rules|definitions)[?.! ]*$",
        ),
        ("list", r"^what (?:have|did) i (?:told?|tell|teach|taught|asked?|defined?|set|sa(?:id|y))\b.*$"),
        ("list", r"^(?:what|which) (?:are )?(?:the |my |our |your )?(?:rules|definitions)\b.*$"),
        ("delete", rf"{_DELETE} {_ID}[.! ]*$"),
        ("delete", rf"^(?:please )?(?:take|throw|kick) {_ID} (?:away|out|off)[.! ]*$"),
        ("delete_last", rf"{_DELETE} (?:the |my |that |this )?(?:last )?(?:rule|definition)[.! ]*$"),
        ("delete", rf"{_DELETE} {_NAMED}[.! ]*$"),
        ("delete_all", rf"{_DELETE} (?:all|every|everything)(?: of)?(?: the| my| our| your)? (?:rules?|definitions?)[.! ]*$"),
        ("off", rf"{_SWITCH} off {_ID}[.! ]*$"),
        ("off", rf"{_SWITCH} off {_NAMED}[.! ]*$"),
        ("off", rf"{_SWITCH} {_NAMED} off[.! ]*$"),
        ("off", rf"^(?:please )?(?:disable|pause|deactivate|suspend) {_NAMED}[.! ]*$"),
        ("on", rf"{_SWITCH} {_NAMED} (?:back )?on[.! ]*$"),
        ("on", rf"{_SWITCH} (?:back )?on {_NAMED}[.! ]*$"),
        ("on", rf"^(?:please )?(?:enable|resume|activate|reactivate|restore|reinstate|bring back) {_NAMED}[.! ]*$"),
        ("off", rf"{_SWITCH} {_ID} off[.! ]*$"),
        ("off", rf"^(?:please )?put {_ID} (?:on hold|to sleep|aside)[.! ]*$"),
        ("off", rf"^(?:please )?(?:disable|pause|deactivate) {_ID}[.! ]*$"),
        ("on", rf"{_SWITCH} (?:back )?on {_ID}[.! ]*$"),
        ("on", rf"{_SWITCH} {_ID} (?:back )?on(?: again)?[.! ]*$"),
        ("on", rf"^(?:please )?(?:enable|resume|activate|reactivate|restore|reinstate|bring back) {_ID}[.! ]*$"),
        ("level", rf"^(?:make )?{_ID} (?:is |as |should be |counts as )*(?P<level>critical|serious|minor)[.! ]*$"),
        (
            "scope",
            rf"^(?:please )?(?:apply |use |make |let |limit |restrict )?{_ID} {_HOLDS}(?P<where>everywhere|(?:in|for|to|on) .+?)[.! ]*$",
        ),
        ("edit", rf"^(?:change|edit|reword) {_ID}(?: to)?[:,]? (?P<text>.{{4,}})$"),
        (
            "undo",
            r"^(?:please )?(?:undo|take back|(?:i )?take (?:that|it) back|revert|reverse|roll back|scrap|withdraw|(?:go )?one step back)"
            rf"(?: (?:that|it|{_LAST}))*[.! ]*$",
        ),
    )
)
_NUMBERS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5,
}  # fmt: skip
_NUMBERED = re.compile(
    r"\b(?:the |my )?(first|second|third|fourth|fifth) rule\b|\brule (one|two|three|four|five)\b", re.IGNORECASE
)
_LEAD = re.compile(
    r"^(?:(?:oops|sorry|wait|no|ok(?:ay)?|right|well|actually|never ?mind|hm+|so|now|then|and)[,.!]? )+", re.IGNORECASE
)
_TAIL = re.compile(
    r"(?:,? (?:please|pls|thanks|again|now|for (?:now|the moment|a while|today)|at the moment|will you|would you"
    r"|(?:that|it) was (?:a mistake|wrong)|i was wrong))+(?=[.!? ]*$)",
    re.IGNORECASE,
)
"""What is said round a command and changes nothing of it."""
_LEVELS = {"minor": 1, "serious": 2, "critical": 3}
NORMAL_HERE = re.compile(
    r"^(?:no,? |but |well,? |actually,? )*"
    r"(?P<x>it|this|that|these|those|they|this one|that one|e\d+|finding \d+|the (?:first|second|third|last)(?: one| finding)?)"
    r"(?: is| are| was| were|'s) (?:perfectly |just |totally |always |quite )*"
    r"(?:normal|fine|okay|ok|expected|allowed|harmless|intended|no problem|not a problem|our \w[\w ]{1,40})"
    r"(?: (?:here|for us|in (?:this|our|my) .{1,40}|though))*[.! ]*$",
    re.IGNORECASE,
)
"""A finding called normal: “that is normal here”, “E3 is fine”."""

_POINTS = r"it|this|that|these|those|they|this one|that one|e\d+|finding \d+|the (?:first|second|third|last)(?: one| finding)?"
POINTS = re.compile(_POINTS, re.IGNORECASE)
"""Words that point at a finding."""
_VERBS = r"hide|mute|silence|suppress|dismiss|ignore|disregard|filter out|take out|whitelist"
_WHAT = r"(?:it|this|that|they|these|those)(?: is|'s| are|'re| was| were)"
_BREAK = r"\s*[,;:.–-]+\s*"
_NAMES = r"[\w.\-:\\]{2,120}"
HIDE = re.compile(
    r"^(?:please |ok(?:ay)?,? |no,? |now |can you |could you )*"
    rf"(?:(?:{_VERBS}) (?:the (?:process|program|finding|chain) )?(?P<x>{_POINTS}|{_NAMES}?)(?: here| for us| from now on| please)*"
    rf"(?:(?:{_BREAK}|\s+)(?:because |since |as |for )?{_WHAT} (?P<why>[^?]{{3,120}}?))?"
    rf"|(?P<y>{_POINTS}|{_NAMES}?)(?: is|'s) (?P<because>our [^?,;.]{{3,80}}?)(?:{_BREAK}| and |,? so )(?:please )?(?:{_VERBS}) "
    r"(?:it|this|that|them))"
    r"[.! ]*$",
    re.IGNORECASE,
)
"""A finding or a program to be hidden, often with what it is to the person: “hide this, it is our backup tool”."""


def read_hide(question: str) -> tuple[str, str] | None:
    """What a message wants hidden, and what it is to the person ("" where it does not say); None for any other message.

    >>> read_hide("hide this, it is our backup tool"), read_hide("ignore veeam.exe because that's our backup agent.")
    (('this', 'our backup tool'), ('veeam.exe', 'our backup agent'))
    >>> read_hide("E2 is our inventory script, hide it"), read_hide("hide netsh.exe"), read_hide("what is hidden here?")
    (('E2', 'our inventory script'), ('netsh.exe', ''), None)
    """
    match = HIDE.match(" ".join(question.split()))
    if match is None:
        return None
    return (match["x"] or match["y"]).strip(), (match["why"] or match["because"] or "").strip()


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is to be done, to which rule (by its number, or by a word of it), with what."""

    key: str
    identity: str = ""
    text: str = ""
    about: str = ""


def read_command(question: str) -> Command | None:
    """The command a message gives, or None.

    >>> read_command("switch off rule 2"), read_command("delete R1").identity, read_command("what is wrong?")
    (Command(key='off', identity='R2', text='', about=''), 'R1', None)
    """
    plain = _LEAD.sub("", " ".join(question.split()))
    plain = _TAIL.sub("", plain)
    plain = _NUMBERED.sub(lambda m: f"rule {_NUMBERS[(m[1] or m[2]).lower()]}", plain)
    for key, pattern in _COMMANDS:
        if match := pattern.match(plain):
            groups = match.groupdict()
            identity = groups.get("id") or ""
            return Command(
                key=key, identity=f"R{identity.lower().lstrip('r')}" if identity else "",
                text=(groups.get("where") or groups.get("level") or groups.get("text") or "").strip(),
                about=(groups.get("word") or groups.get("about") or "").strip(),
            )  # fmt: skip
    return None


def carry_out(command: Command, store: RuleStore, sources: Sequence[str]) -> list[str]:
    """Do it, and say what was done; a mistake is said too."""
    try:
        return _done(command, store, sources)
    except UserError as error:
        return [str(error)]


def unclear(store: RuleStore) -> list[str]:
    """What is said to a command that was heard and not understood: nothing is changed."""
    return [
        "I heard something about your rules, but not what to do, so nothing is changed. Say for example “switch rule 2 off”, "
        "“delete the last rule”, “undo” or “list rules”.",
        *listed_rules(store.rules()),
    ]


def _about(words: str, store: RuleStore) -> str:
    """The id of the one rule in which the words occur.

    Raises:
        BadInput: none or several.
    """
    wanted = [re.escape(word[: max(4, len(word) - 2)]) for word in re.findall(r"[\w.\-]{3,}", words.lower())]
    found = [rule.id for rule in store.rules() if wanted and all(re.search(rf"\b{w}", rule.text.lower()) for w in wanted)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{r.id} ({name(r.text)})" for r in store.rules()) or "there is no rule"
    raise BadInput(
        f"{words!r}: expected words of one rule, found them in {len(found) or 'none'}. Name it by its number: {known}."
    )


def _done(command: Command, store: RuleStore, sources: Sequence[str]) -> list[str]:
    key = command.key
    if command.about:
        command = replace(command, identity=_about(command.about, store), about="")
    if key == "list":
        return listed_rules(store.rules())
    if key == "undo":
        undone = store.undo()
        if undone is None:
            return ["There is nothing to undo: I keep evidence and never change files, and no rule was changed."]
        return [f"Taken back: {undone.change} of rule {undone.rule.id} ({name(undone.rule.text)})."]
    if key == "delete_last":
        rules = store.rules()
        if not rules:
            return ["There is no rule to delete."]
        newest = max(rules, key=lambda r: (r.created, int(r.id.lstrip("R"))))
        return [f"Rule {store.delete(newest.id).id} ({name(newest.text)}) is deleted; say “undo” to bring it back."]
    if key == "delete_all":
        gone = [store.delete(rule.id) for rule in store.rules()]
        said = ", ".join(f"{r.id} ({name(r.text)})" for r in gone)
        return [f"Deleted: {said}; each “undo” brings one back." if gone else "There is no rule to delete."]
    if key == "delete":
        return [f"Rule {(r := store.delete(command.identity)).id} ({name(r.text)}) is deleted; say “undo” to bring it back."]
    if key in ("on", "off"):
        rule = store.enable(command.identity, key == "on")
        return [f"Rule {rule.id} ({name(rule.text)}) is {'in force' if key == 'on' else 'switched off'}."]
    if key == "level":
        rule = store.set_severity(command.identity, _LEVELS[command.text.lower()])
        return [f"Rule {rule.id} now counts as {command.text.lower()}: {name(rule.text)}."]
    if key == "scope":
        rule = store.set_scope(command.identity, _scope(command.text, sources))
        return [f"Rule {rule.id} now holds {rule.scope.words}: {name(rule.text)}."]
    from agent.rules.compile import compile_rule
    from agent.rules.wording import definition_words

    reading = compile_rule(command.text)
    rule = store.edit(command.identity, reading)
    return [f"Rule {rule.id} is now version {rule.version}: {name(rule.text)}.", definition_words(reading.definition, rule.scope)]


def _scope(where: str, sources: Sequence[str]) -> Scope:
    if where.lower() == "everywhere":
        return Scope()
    wanted = re.sub(r"^(?:in|for|to|on) (?:the |all |every )?(?:file |camera |source )?", "", where, flags=re.I).strip()
    kinds = {"image": r"photo|picture|image", "video": r"video|clip|camera", "series": r"series|sensor", "events": r"log|event"}
    found = [s for s in sources if wanted.casefold() in (s.casefold(), s.casefold().rsplit(".", 1)[0])]
    if found or (len(sources) == 1 and re.match(r"(?:this|here)\b", wanted)):
        return Scope(source=found[0] if found else sources[0])
    for kind, pattern in kinds.items():
        if re.fullmatch(rf"(?:sensor |event )?(?:{pattern})s?", wanted, re.I):
            return Scope(kind=kind)  # type: ignore[arg-type]
    known = ", ".join(sources) or "the files you give"
    raise BadInput(f"{wanted!r} is no source of this chat. Name one of {known}, a kind of data, or “everywhere”.")


def listed_rules(rules: Sequence[Rule]) -> list[str]:
    """The rules as lines, with how each was understood."""
    from agent.rules.compile import definition_of
    from agent.rules.wording import definition_words

    if not rules:
        return [
            "No rule is in force. Say what counts, e.g. “flag pressure above 7 bar for more than 10 seconds” or “bicycles are fine here”."
        ]
    return [
        f"- {rule.id}{'' if rule.enabled else ' (off)'}: {name(rule.text)}. {definition_words(definition_of(rule), rule.scope)}"
        for rule in rules
    ]
