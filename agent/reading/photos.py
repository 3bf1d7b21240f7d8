"""Photos and sources a question points at: by file name, number, ordinal or kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.question import Context, SampleRef
from agent.reading.names import (
    COUNT,
    NUMBERS,
    ORDINAL,
    Named,
    Span,
    blank,
    closest,
    excepted,
    find_names,
    numbers,
    ordinal,
    runs,
    stem,
)
from agent.reading.phrases import either, headed, word

_JOINED = r"(?: ?(?:,|and|&|-|to|through|or|with|vs\.?|,? and) ?(?:image |photo |picture |the )?#?)"
_PHOTO_FILE = re.compile(r"\b[\w-]+\.(?:png|jpe?g|tiff?|bmp|webp|ply|pcd)\b")
_UNTIL = re.compile(r"\s?(?:-|to|through|until)\s?(\d{1,4})(?![\w.:]*\w)")
_OTHER_FILE = re.compile(r"\b[\w-]+\.(?:csv|tsv|mp4|avi|mkv|mov|webm|log|jsonl?|parquet|npz|txt)\b")


@dataclass
class _Found:
    """Photos found so far, with where they stand in the text."""

    every: Sequence[SampleRef]
    chosen: list[tuple[int, SampleRef]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, refs: Sequence[SampleRef], span: Span) -> None:
        self.chosen += [(span[0], ref) for ref in refs]
        self.spans.append(span)

    def count(self, at: int, span: Span, words: str) -> None:
        """Take photo number `at` (from 1, or from the end below 0)."""
        n = len(self.every)
        if 1 <= at <= n or -n <= at <= -1:
            self.take([self.every[at - 1 if at > 0 else at]], span)
        else:
            self.unknown.append(words)
            self.notes.append(f"There are only {n} images, so there is no {words!r}.")


def find_samples(text: str, context: Context, *, blocked: Sequence[Span] = ()) -> Named:
    """Photos and scans named in `text` by file name, number or ordinal; `blocked` spans are already explained.

    >>> from agent.question import SourceInfo
    >>> context = Context(sources=(SourceInfo(name="parts", kind="image", samples=("a.png", "b.png", "c.png")),))
    >>> [s.sample for s in find_samples("is the second image ok, and image 3?", context).samples]
    ['b.png', 'c.png']
    """
    every = [SampleRef(source=s.name, sample=n) for s in context.sources if s.kind in ("image", "points") for n in s.samples]
    if not every:
        return Named()
    found = _Found(every)
    _by_name(text, found)
    free = blank(text, [*found.spans, *blocked])
    _by_number(free, found)
    _by_bare_number(blank(free, found.spans), text, found, context)
    _by_ordinal(blank(free, found.spans), text, found, context)
    refs = [ref for _, ref in sorted(found.chosen, key=lambda pair: pair[0])]
    if excepted(text, found.spans):
        refs = [ref for ref in every if ref not in refs]
    return Named(
        samples=tuple(dict.fromkeys(refs)), spans=tuple(found.spans), unknown=tuple(found.unknown), notes=tuple(dict.fromkeys(found.notes))
    )  # fmt: skip


def _by_name(text: str, found: _Found) -> None:
    """File names, with or without extension, with typos."""
    names = tuple(ref.sample for ref in found.every)
    named = find_names(text, names, loose=False)
    for name, span in named:
        found.take([ref for ref in found.every if ref.sample == name], span)
        until = _UNTIL.match(text[span[1] :])
        if until is not None:  # "tile 1 to 3"
            *rest, first = runs(stem(name))
            wanted = {(*rest, str(n)) for n in range(int(first) + 1, int(until[1]) + 1)} if first.isdigit() else set()
            found.take([ref for ref in found.every if runs(stem(ref.sample)) in wanted], (span[0], span[1] + until.end()))
    if len({name for name, _ in named}) > 1 and len({span for _, span in named}) == 1:
        a, b = named[0][1]
        found.notes.append(f"{len(named)} images are called {text[a:b]!r}; I took all of them.")
    for m in _PHOTO_FILE.finditer(blank(text, found.spans)):
        near = closest(m[0], names)
        found.take([ref for ref in found.every if ref.sample == near], m.span())
        if near is None:
            found.unknown.append(m[0])
        found.notes.append(f"I read {m[0]!r} as {near}." if near else f"No image here is called {m[0]!r}.")


def _by_number(free: str, found: _Found) -> None:
    """As in "image 3", "photos 2 and 5", "the first two images"."""
    things = rf"(?!{word('time_noun')}\b|{word('found')}\b)[a-z]+"
    for m in re.finditer(rf"\b(?:the )?(first|last|final) (?!one\b)({COUNT}) {things}", free):
        count = numbers(m[2])[0]
        found.take(found.every[:count] if m[1] == "first" else found.every[-count:], m.span())
    free = blank(free, found.spans)
    one = "|".join(list(NUMBERS)[1:10])
    listed = rf"\d{{1,4}}(?:{_JOINED}\d{{1,4}}(?![\w.:]*\w))*|{one}"
    for m in re.finditer(rf"\b{word('photo')} ?(?:numbers? |no\.? ?|nr\.? ?|nos\.? ?|# ?)?({listed})(?![\w:.]*\w)", free):
        for at in numbers(m[1]):
            found.count(at, m.span(), m[0].strip())
            if 1 <= at <= len(found.every):
                name = found.every[at - 1].sample
                if re.search(r"\d", name) and str(at) not in runs(stem(name)):
                    found.notes.append(f"I counted images in the order given: number {at} is {name}.")


def _by_bare_number(free: str, text: str, found: _Found, context: Context) -> None:
    """As in "and number 9?", when photos were talked about."""
    spelled = "|".join(list(NUMBERS)[1:10])
    for m in re.finditer(rf"(?:\bnumber |# ?)(\d{{1,4}}|{spelled})\b(?!\.\d|[:%])", free):
        if _ones_are_photos("one", m[0], text, context):
            found.count(numbers(m[1])[0], m.span(), m[0].strip())
    if all(source.kind in ("image", "points") for source in context.sources):
        for m in either("photos by number alone").finditer(blank(free, found.spans)):
            for n in re.finditer(r"\d+", m["all"]):
                found.count(int(n[0]), (m.start("all") + n.start(), m.start("all") + n.end()), n[0])


def _by_ordinal(free: str, text: str, found: _Found, context: Context) -> None:
    """As in "the second image", "the last one", "the other photo"."""
    files = rf"{word('source')}(?<!file)(?<!files)"
    rest = (
        "sensors?|channels?|user|process|and|or|is|as|which|inspections?|checks?|tests?|stages?|steps?|results?|word|control|choice|class"
        "|grade|quality|hand|shift|aid"
    )
    nouns = rf"(?!(?:{word('time_noun')}|{word('found')}|{files}|{rest})\b)[a-z]+"
    listed = rf"\b(?:the |my |your |this )?({ORDINAL})((?:,? (?:and|or|,|to|with|vs\.?) (?:the )?{ORDINAL})*)(?: ({nouns})| |(?=[?.!,;]|$))"
    for m in re.finditer(listed, free):
        noun = m[3] or ""
        beyond = bool(context.findings) and ordinal(m[1]) > len(context.findings)  # of two findings nobody is "the seventh"
        if noun in ("ones", "one", "") and not beyond and not _ones_are_photos(noun, m[0], text, context):
            continue
        for name in re.findall(ORDINAL, f"{m[1]} {m[2]}"):
            at = ordinal(name)
            if at != 0:
                found.count(at, m.span(), m[0].strip())
                continue
            before = {ref for request in context.previous[-1:] for ref in request.samples}
            others = [ref for ref in found.every if ref not in before]
            if before and (len(others) == 1 or noun.endswith("s")):
                found.take(others, m.span())


def _ones_are_photos(noun: str, words: str, text: str, context: Context) -> bool:
    """Whether "the second one" is a photo (and not a finding): photos were talked about, or nothing else can be meant."""
    last = context.previous[-1] if context.previous else None
    if noun == "":
        follows = bool(re.search(r"\b(?:what about|how about|and|compare|with)\b", text)) or len(text.split()) <= 4
        alone = not context.findings and all(source.kind in ("image", "points") for source in context.sources)
        return (follows or alone) and words.startswith("the ") and (bool(last and last.samples) or not context.findings)
    if last is not None and (last.samples or last.references):
        return bool(last.samples)
    return not context.findings


def find_sources(text: str, context: Context) -> Named:
    """Sources named in `text` by file name, ordinal ("the second video") or kind ("in the log", when there are several kinds).

    >>> from agent.question import SourceInfo
    >>> context = Context(sources=(SourceInfo(name="pump.csv", kind="series"), SourceInfo(name="yard.mp4", kind="video")))
    >>> find_sources("what happens in the video?", context).sources, find_sources("and pump.csv?", context).sources
    (('yard.mp4',), ('pump.csv',))
    """
    names = tuple(source.name for source in context.sources)
    named = find_names(text, names, loose=True)
    chosen, spans = [name for name, _ in named], [span for _, span in named]
    notes: list[str] = []
    unknown: list[str] = []
    free = blank(text, spans)
    for m in _OTHER_FILE.finditer(free):
        near = closest(m[0], names)
        if near is not None:
            chosen.append(near)
            spans.append(m.span())
            notes.append(f"I read {m[0]!r} as {near}.")
        elif not any(len(source.entities) for source in context.sources):
            unknown.append(m[0])
            notes.append(f"No file here is called {m[0]!r}; I have {', '.join(names[:5]) or 'none'}.")
    for m in re.finditer(
        rf"\b(?:the )?({ORDINAL}) ({word('source')})\b|\b({word('source')}) (?:number |no\.? ?|# ?)?(\d{{1,3}})\b", free
    ):
        noun, at = m[2] or m[3], ordinal(m[1]) if m[1] else int(m[4])
        kinds = [kind for kind, pattern in headed("kind") if pattern.search(noun)]
        those = [s.name for s in context.sources if not kinds or s.kind in kinds]
        if len(those) == 1 and kinds and m[4]:
            continue
        if at == 0:
            before = context.previous[-1].sources if context.previous else ()
            chosen += [name for name in those if name not in before] if before else []
        elif -len(those) <= at <= len(those):
            chosen.append(those[at - 1 if at > 0 else at])
        spans.append(m.span())
    if not chosen and len({source.kind for source in context.sources}) > 1:
        for kind, pattern in headed("kind"):
            chosen += [s.name for s in context.sources if s.kind == kind and pattern.search(free)]
        if not chosen:  # nobody drives in a log
            spoken_of = {kind for kind, pattern in headed("speaks of") if pattern.search(free)}
            chosen = [s.name for s in context.sources if s.kind in spoken_of]
    if excepted(text, spans):
        chosen = [name for name in names if name not in chosen]
    return Named(sources=tuple(dict.fromkeys(chosen)), spans=tuple(spans), unknown=tuple(unknown), notes=tuple(notes))
