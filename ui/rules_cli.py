"""`telltale rules`: keep definitions of what is abnormal or normal, and try them out on files before they take effect."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import BadInput

if TYPE_CHECKING:
    from agent.rules.compile import Reading
    from agent.rules.store import RuleStore
    from core.rules import Rule
    from readers.open import Source

rules_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What counts as abnormal or normal, in your words.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
On = Annotated[list[Path] | None, typer.Option("--on", help="A file or folder to hold the definition against; repeatable.")]
SHOWN = 10


@rules_app.command("test")
def rules_test(
    text: Annotated[str, typer.Argument(help="The definition, in a sentence.")],
    on: On = None,
    normal: Annotated[list[Path] | None, typer.Option("--normal", help="What normal looks like; repeatable.")] = None,
    mm_per_px: Annotated[float | None, typer.Option("--mm-per-px", help="The size of a pixel of the photos in mm.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a definition compiles to and where it would fire; nothing is kept."""
    sources, refused = _open(on or ())
    references, also = _open(normal or ())
    reading = _compiled(text, sources)
    report = _report(reading, sources, references, mm_per_px)
    for name, message in [*refused, *also]:
        print(f"telltale: not read: {message if name in message else f'{name}: {message}'}", file=sys.stderr)
    if as_json:
        print(
            json.dumps(
                {**report, "refused": [{"name": n, "message": m} for n, m in [*refused, *also]]}, ensure_ascii=False, default=str
            )
        )
    else:
        _print_report(report)
    if on and not sources:
        raise typer.Exit(2)


@rules_app.command("add")
def rules_add(
    text: Annotated[str, typer.Argument(help="The definition, in a sentence.")],
    source: Annotated[str | None, typer.Option("--source", help="Let it hold only in the source of this name.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Let it hold only for image, points, video, series or events.")
    ] = None,
    on: On = None,
    as_json: Json = False,
) -> None:
    """Keep a definition; it says how it was read, what it contradicts, and (with --on) where it would have fired."""
    from agent.rules.conflicts import find_conflicts
    from core.rules import Scope

    sources, _ = _open(on or ())
    reading = _compiled(text, sources)
    scope = Scope(source=source, kind=_kind(kind)) if source or kind else None
    store = _store()
    try:
        rule = store.add(reading, scope=scope)
        conflicts = find_conflicts(rule, store.rules())
    finally:
        store.close()
    report = _report(reading, sources, (), None) if sources else {}
    if as_json:
        print(json.dumps({**_row(rule), **report, "conflicts": [c.sentence for c in conflicts]}, ensure_ascii=False, default=str))
        return
    print(f"{rule.id}: {_words(rule)}")
    for line in [*_limits(reading), *(c.sentence for c in conflicts), *(o["words"] for o in report.get("outcomes", ()))]:
        print(f"  {line}")


@rules_app.command("list")
def rules_list(as_json: Json = False) -> None:
    """List the definitions in force, and those that are switched off."""
    store = _store()
    try:
        rules = store.rules()
    finally:
        store.close()
    if as_json:
        print(json.dumps([_row(rule) for rule in rules], ensure_ascii=False))
        return
    for rule in rules:
        off = "" if rule.enabled else " (off)"
        print(f"{rule.id} v{rule.version}{off}  “{rule.text}”\n    {_words(rule)}")
    if not rules:
        print('No definitions yet. Add one: telltale rules add "pressure above 7 bar is an anomaly"')


@rules_app.command("remove")
def rules_remove(identity: Annotated[str, typer.Argument(metavar="ID", help="A rule of `telltale rules list`.")]) -> None:
    """Take a definition away; `telltale rules undo` brings it back."""
    _change(lambda store: store.delete(identity), "removed")


@rules_app.command("off")
def rules_off(identity: Annotated[str, typer.Argument(metavar="ID", help="A rule of `telltale rules list`.")]) -> None:
    """Switch a definition off without losing it."""
    _change(lambda store: store.enable(identity, False), "switched off")


@rules_app.command("on")
def rules_on(identity: Annotated[str, typer.Argument(metavar="ID", help="A rule of `telltale rules list`.")]) -> None:
    """Switch a definition on again."""
    _change(lambda store: store.enable(identity, True), "switched on")


@rules_app.command("undo")
def rules_undo() -> None:
    """Take the last change of the definitions back."""
    store = _store()
    try:
        undone = store.undo()
    finally:
        store.close()
    print(
        f"Took back: {undone.change} of {undone.rule.id} (“{undone.rule.text}”)." if undone else "There is nothing to take back."
    )


def _change(change: Any, what: str) -> None:
    store = _store()
    try:
        rule: Rule = change(store)
    finally:
        store.close()
    print(f"{rule.id} {what}: “{rule.text}”.")


def _store() -> RuleStore:
    from agent.rules.store import RuleStore
    from core.settings import home

    return RuleStore(home())


def _kind(kind: str | None) -> Any:
    from core.samples import KINDS

    if kind is not None and kind not in KINDS:
        raise BadInput(f"--kind {kind!r}: expected one of {', '.join(KINDS)}.")
    return kind


def _open(paths: Any) -> tuple[tuple[Source, ...], list[tuple[str, str]]]:
    if not paths:
        return (), []
    from readers.open import open_all

    opened = open_all(paths)
    return opened.sources, [(r.name, r.message) for r in opened.refused]


def _compiled(text: str, sources: tuple[Source, ...]) -> Reading:
    from agent.rules.compile import compile_rule
    from agent.workbench import describe_source

    return compile_rule(text, sources=[describe_source(source) for source in sources], embed=_embed)


def _embed(texts: Any) -> Any:
    """Sentence vectors, loaded only when a phrase is in no table."""
    from models.text import embed

    return embed(texts)


def _limits(reading: Reading) -> list[str]:
    from agent.rules.measurable import limits_of_definition

    return [f"Cannot be measured as it is: {limit.words}" for limit in limits_of_definition(reading.definition)]


def _report(
    reading: Reading, sources: tuple[Source, ...], normals: tuple[Source, ...], mm_per_px: float | None
) -> dict[str, Any]:
    """What a definition compiles to, its limits, and its outcome on every source inside its scope."""
    from agent.evidence_store import EvidenceStore
    from agent.rules.evaluate import evaluate
    from agent.rules.gather import gather
    from agent.rules.wording import definition_words
    from core.settings import home

    store = EvidenceStore(home()) if sources else None
    try:
        held = [s for s in sources if reading.scope.covers(s.name, s.kind)]
        outcomes = [evaluate(reading.definition, gather(s, store=store, normals=normals, mm_per_px=mm_per_px)) for s in held]
    finally:
        if store is not None:
            store.close()
    definition = reading.definition
    return {
        "text": reading.text,
        "polarity": definition.polarity,
        "severity": definition.severity,
        "scope": reading.scope.words,
        "words": definition_words(definition, reading.scope),
        "compiled": definition.model_dump(mode="json"),
        "not_understood": list(definition.not_understood),
        "limits": _limits(reading),
        "fires": sum(len(outcome.findings) for outcome in outcomes),
        "outcomes": [{**outcome.to_json(), "words": outcome.words} for outcome in outcomes],
    }


def _print_report(report: dict[str, Any]) -> None:
    from ui.terminal import plain

    print(plain(report["words"]))
    if not report["outcomes"]:
        for line in report["limits"]:
            print(line)
    for outcome in report["outcomes"]:
        print(plain(outcome["words"]))
        for note in outcome["notes"]:
            print(f"  {plain(note)}")
        for finding in outcome["findings"][:SHOWN]:
            print(f"  - {plain(finding['sentence'])}")
        if len(outcome["findings"]) > SHOWN:
            print(f"  … and {len(outcome['findings']) - SHOWN} more (--json gives all)")


def _words(rule: Rule) -> str:
    from agent.rules.compile import definition_of
    from agent.rules.wording import definition_words

    return definition_words(definition_of(rule), rule.scope)


def _row(rule: Rule) -> dict[str, Any]:
    return {**rule.to_json(), "words": _words(rule)}
