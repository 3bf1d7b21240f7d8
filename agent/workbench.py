"""The live side of a chat: its opened sources and investigations. Everything here can be rebuilt from the store at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agent.answer import numbered_findings
from agent.evidence_store import EvidenceStore, Upload
from agent.investigation import Investigation
from agent.on_disk import Notice, Seen, changed, gone, moves
from agent.planner import MUTUAL_FROM, ToolCall, choose
from agent.question import Context, EntityIndex, PriorFinding, Request, SourceInfo
from agent.toolbox import Toolbox
from core.errors import TelltaleError
from core.evidence import Interval
from core.progress import Sink
from core.samples import EventLog, Kind, Series, VideoClip
from readers.names import shown_name
from readers.open import Source, open_all
from readers.source import sha256_file, sha256_list

if TYPE_CHECKING:
    from agent.severity_judging import SeverityJudge

MOST_ENTITIES = 200_000
"""Names of a log that a question can refer to directly; rarer ones are still found by search."""
SECOND_LOOK_S = 180.0
"""Seconds that a second look may take: nobody asked for it but the model."""

_Given: TypeAlias = tuple[list[tuple[str, ...]], dict[str, str]]


class Workbench:
    """Sources of one chat and what was found in them."""

    def __init__(self, store: EvidenceStore, thread: str) -> None:
        self._store, self._thread = store, thread
        self.toolbox = Toolbox(store)
        self._opened: dict[tuple[str, ...], tuple[tuple[Source, ...], tuple[tuple[str, str], ...]]] = {}
        self._known: dict[str, tuple[list[Upload], _Given]] = {}
        self._infos: dict[str, SourceInfo] = {}
        self._numbered: dict[str, Investigation] = {}
        self._gone: frozenset[str] = frozenset()
        self.roles: Mapping[str, str] | None = None
        self.wanted = ""
        self.judge: SeverityJudge | None = None

    def refresh(self) -> list[Notice]:
        """Look whether the given files are still as they were read; what has changed is read again, what is gone is told.

        Series and logs that are held in memory stay; photos and videos are read from disk, so only what was found in them stays.
        """
        uploads = self._store.uploads(self._thread)
        seen = {path: Seen(state=state, content=content) for path, (state, content) in self._store.seen(self._thread).items()}
        now = moves((str(upload.path) for upload in uploads), seen)
        other = now.touched | (now.gone ^ self._gone)
        self._gone = now.gone
        if other:
            self._known.clear()
            for batch in [b for b in self._opened if set(b) & other and not (set(b) & other <= now.gone and self._in_memory(b))]:
                del self._opened[batch]
        content = {path: self._content(path) for path in now.states if path in now.touched or path not in seen}
        notices = []
        if news := [path for path in now.touched if content[path] != seen[path].content]:
            notices.append(changed(news))
        self._store.see(self._thread, {path: (now.states[path], digest) for path, digest in content.items()})
        for role in ("input", "normal"):
            lost = [str(u.path) for u in uploads if u.role == role and str(u.path) in now.gone and seen[str(u.path)].content]
            kept = [
                path for path in lost if self._content(path) == seen[path].content or (role == "input" and self._kept_of(path))
            ]
            without = [path for path in lost if path not in kept]
            notices += [gone(part, kept=part is kept, normal=role == "normal") for part in (kept, without) if part]
        return notices

    def _in_memory(self, batch: tuple[str, ...]) -> bool:
        """True when nothing of a batch is read from disk any more."""
        return all(source.kind in ("series", "events") for source in self._opened[batch][0])

    def _content(self, path: str) -> str:
        """Hash of what is open of a path: of its own source, or of all sources that were made with it; empty when nothing is."""
        batch = self._batch(path)
        opened = self._open(batch)[0] if batch else ()
        own = [source.sha256 for source in opened if source.name == shown_name(path)]
        return sha256_list([(s.name, s.sha256) for s in opened]) if opened and not own else "".join(own[:1])

    def _batch(self, path: str) -> tuple[str, ...]:
        """The batch that a path came with; empty for one that repeats another."""
        return next((batch for role in ("input", "normal") for batch in self._given(role)[0] if path in batch), ())

    def _kept_of(self, path: str) -> list[str]:
        """Names of examined sources that were made from a path which is gone, and that are not open any more."""
        live = {source.name for source in self.sources()}
        examined = self._store.examined(self._thread)
        return [
            source for source, (_, paths) in examined.items()
            if source not in live and path in paths and (source == shown_name(path) or set(paths) <= self._gone)
        ]  # fmt: skip

    def kept(self) -> list[Investigation]:
        """What was found in sources whose files are gone."""
        examined = self._store.examined(self._thread)
        found = []
        names = list(dict.fromkeys(name for path in sorted(self._gone) for name in self._kept_of(path)))
        for source in names:
            paths = set(examined[source][1])
            if source not in map(shown_name, paths) and any(set(examined[other][1]) < paths for other in names):
                continue  # photos of which one was lost before the others: they were examined again without it
            body = self._store.cached(examined[source][0])
            if body is not None:
                old = Investigation.from_json(body)
                found.append(old.numbered(self._store.add_evidence(self._thread, old.evidence)))
        return found

    def sources(self, role: str = "input") -> tuple[Source, ...]:
        """The chat's sources of a role, in the order they were given; the same content given again stays one source."""
        found: dict[tuple[str, str, str], Source] = {}
        batches, _ = self._given(role)
        for source in (source for paths in batches for source in self._open(paths)[0]):
            # parts of one folder share its hash; photos are not decoded for their names
            part = "" if source.kind in ("image", "points") else source.samples[0].name
            found.setdefault((source.kind, source.sha256, part), source)
        return tuple(found.values())

    def refused(self, paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
        """(name, sentence) of what could not be read of one batch of uploads, also where it was given and refused before."""
        given = [str(path) for path in paths]
        found: list[tuple[str, str]] = []
        for role in ("input", "normal"):
            batches, twins = self._given(role)
            for batch in batches:
                refused = self._open(batch)[1] if set(batch) & {*given, *(twins.get(path, "") for path in given)} else ()
                if set(batch) <= set(given):
                    found += refused
                for path in given:
                    if (first := twins.get(path)) in batch:
                        old, new = shown_name(str(first)), shown_name(path)
                        found += [(new, sentence.replace(old, new)) for name, sentence in refused if name == old]
        return tuple(dict.fromkeys(found))

    def _given(self, role: str) -> _Given:
        """Batches of paths without those whose content was given before in this role, and which path each of those repeats."""
        uploads = [upload for upload in self._store.uploads(self._thread) if upload.role == role]
        if role not in self._known or self._known[role][0] != uploads:
            sizes = Counter(_size(upload.path) for upload in uploads)
            first: dict[str, str] = {}
            twins: dict[str, str] = {}
            batches: dict[int, list[str]] = {}
            for upload in uploads:
                path, size = str(upload.path), _size(upload.path)
                # only files of one size can be equal; whatever is no file is known by its path
                content = path if size is None or sizes[size] == 1 else sha256_file(upload.path)
                if content in first:
                    twins.setdefault(path, first[content])
                else:
                    first[content] = path
                    batches.setdefault(upload.batch, []).append(path)
            self._known[role] = (uploads, ([tuple(paths) for paths in batches.values()], twins))
        return self._known[role][1]

    def _open(self, paths: tuple[str, ...]) -> tuple[tuple[Source, ...], tuple[tuple[str, str], ...]]:
        if paths not in self._opened:
            opened = open_all([Path(path) for path in paths], roles=dict(self.roles) if self.roles else None)
            refused = tuple((refusal.name, refusal.message) for refusal in opened.refused)
            self._opened[paths] = (tuple(one for source in opened.sources for one in one_by_one(source)), refused)
        return self._opened[paths]

    def missing(self) -> list[ToolCall]:
        """Those of the chosen calls that have not been run yet."""
        return [call for call in self.chosen() if self._key(call) not in self._numbered]

    def unjudged(self) -> list[str]:
        """A sentence for each source that no detector can judge."""
        judged = {call.source for call in self.chosen()}
        return [
            f"`{source.name}`: a 3D scan is judged beside others of the same part; give {MUTUAL_FROM} or more, or normal ones as the "
            "reference."
            for index, source in enumerate(self.sources()) if index not in judged
        ]  # fmt: skip

    def skimmed(self) -> list[ToolCall]:
        """Those of the chosen calls of which only a skim is known."""
        known = {self._key(call): call for call in self.chosen()}
        return [call for key, call in known.items() if key in self._numbered and self._numbered[key].skimmed]

    def chosen(self) -> list[ToolCall]:
        """The call that fixed rules choose for every source that can be judged, run or not."""
        normals = self.sources("normal")
        calls = [choose(source, index, normals, self.wanted) for index, source in enumerate(self.sources())]
        return [call for call in calls if call is not None]

    def _key(self, call: ToolCall) -> str:
        source, normals = self.sources()[call.source], self.sources("normal")
        return self.toolbox.key(call, source, [n for n in normals if n.kind == source.kind])

    def run(self, call: ToolCall, sink: Sink | None = None) -> tuple[Investigation, bool]:
        """Run a call and number its evidence in this chat; returns the investigation and whether it came from the cache.

        What fixed rules would not have chosen is a second look: evidence, but no part of what is known of the source.
        """
        source = self.sources()[call.source]
        required = call.plain in self.chosen()
        most_s = float("inf") if required else SECOND_LOOK_S
        found, cached = self.toolbox.run(call, source, self.sources("normal"), sink, most_s=most_s)
        if self.judge is not None and required:
            found = self.judge.graded(found, source, self.sources("normal"))
        numbered = found.numbered(self._store.add_evidence(self._thread, found.evidence))
        if required:
            key = self._key(call)
            self._numbered[key] = numbered
            batch = next((b for b in self._given("input")[0] if any(s is source for s in self._open(b)[0])), ())
            self._store.add_examined(self._thread, source.name, key, [path for path in batch if path not in self._gone])
        return numbered, cached

    def investigations(self) -> list[Investigation]:
        """What is known of every source under the normals now in force, in source order, then of sources whose files are gone."""
        found = []
        for call in self.chosen():
            key = self._key(call)
            if key not in self._numbered and self._store.cached(key) is not None:
                self.run(call)
            if key in self._numbered:
                found.append(self._numbered[key])
        return found + self.kept()

    def have_judged(self) -> None:
        """Let the chat's model say how bad the worst findings in pictures are; what it judges gets evidence of its own."""
        sources, normals = self.sources(), self.sources("normal")
        known = [call for call in self.chosen() if self._key(call) in self._numbered]
        if self.judge is None or not (known := [call for call in known if self.judge.sees(sources[call.source].kind)]):
            return
        found = [(self.toolbox.run(call, sources[call.source], normals)[0], sources[call.source]) for call in known]
        self.judge.ask(found, normals)
        for call, (inv, source) in zip(known, found, strict=True):
            graded = self.judge.graded(inv, source, normals)
            self._numbered[self._key(call)] = graded.numbered(self._store.add_evidence(self._thread, graded.evidence))

    def context(self, previous: Sequence[Request]) -> Context:
        """What a question may refer to."""
        findings = tuple(
            PriorFinding(
                label=f.label, source=f.evidence.source, sample=f.evidence.locus.sample,
                start_s=getattr(f.evidence.locus, "start_s", None), end_s=getattr(f.evidence.locus, "end_s", None),
                severity_score=f.severity_score, channels=f.evidence.locus.channels if isinstance(f.evidence.locus, Interval) else (),
                evidence=(f.evidence.id,),
            )
            for f in numbered_findings(self.investigations())
        )  # fmt: skip
        infos = (*(self.info(s) for s in self.sources()), *(describe_kept(inv) for inv in self.kept()))
        return Context(sources=infos, previous=tuple(previous), findings=findings)

    def info(self, source: Source) -> SourceInfo:
        """What a question may name of an open source."""
        if source.key not in self._infos:
            self._infos[source.key] = describe_source(source)
        return self._infos[source.key]


def _size(path: Path) -> int | None:
    """Bytes of a file, None for a folder and for what is gone."""
    return path.stat().st_size if path.is_file() else None


def one_by_one(source: Source) -> list[Source]:
    """Photos and scans stay together; several clips, series or logs become a source each, since each is judged on its own."""
    if source.kind in ("image", "points") or len(source.samples) == 1:
        return [source]
    facts: list[dict[str, Any]] = source.summary.get("samples") or [{} for _ in source.samples]
    return [
        replace(source, name=sample.name, samples=(sample,), summary=dict(fact))
        for sample, fact in zip(source.samples, facts, strict=True)
    ]


def describe_source(source: Source) -> SourceInfo:
    """What a question may name of a source; photos are not decoded for it."""
    if source.kind in ("image", "points"):
        return SourceInfo(name=source.name, kind=source.kind, samples=source.sample_names)
    sample = source.samples[0]
    if isinstance(sample, VideoClip):
        return SourceInfo(name=source.name, kind="video", duration_s=sample.duration_s, fps=sample.fps, period_s=1 / sample.fps,
                          epoch_s=sample.epoch_s)  # fmt: skip
    if isinstance(sample, Series):
        times = sample.time_s
        rows = sample.rows

        def row_s(row: int) -> float:
            import numpy as np

            index = row - 1 if rows is None else int(np.searchsorted(rows, row))
            return float(times[min(max(index, 0), len(times) - 1)])

        return SourceInfo(name=source.name, kind="series", channels=sample.channels, units=sample.units,
                          duration_s=float(times[-1]) + sample.period_s, period_s=sample.period_s, epoch_s=sample.epoch_s,
                          time_base=sample.time_base, row_s=row_s)  # fmt: skip
    if not isinstance(sample, EventLog):
        raise TelltaleError(f"source {source.name!r}: unexpected kind {source.kind!r}")
    import polars as pl

    columns = [c for c in ("subject", "object", "user", "host") if c in sample.table.columns]
    names = pl.concat([sample.table[c].cast(pl.String).drop_nulls().unique(maintain_order=True) for c in columns]).to_list()
    last = sample.table["time_s"].drop_nans().max()
    log_rows, log_times = sample.table["row"], sample.table["time_s"]

    def event_s(row: int) -> float:
        index = int((log_rows - row).abs().arg_min() or 0)
        value = log_times[index]
        return 0.0 if value is None else float(value)

    return SourceInfo(name=source.name, kind="events", duration_s=float(last) + 1e-3 if isinstance(last, float) else None,
                      row_s=event_s,
                      epoch_s=sample.epoch_s, time_base="clock" if sample.epoch_s is not None else "elapsed",
                      entities=EntityIndex.of(names[:MOST_ENTITIES]))  # fmt: skip


def describe_kept(inv: Investigation) -> SourceInfo:
    """What a question may name of a source that is known by its investigation alone."""
    facts: Any = inv.survey.facts
    names = dict.fromkeys(f.evidence.locus.sample for f in inv.findings) if inv.kind == "image" else ()
    end_s = facts.get("duration_s", facts.get("end_s"))
    return SourceInfo(
        name=inv.source, kind=cast(Kind, inv.kind), samples=tuple(names), channels=tuple(facts.get("channel_names", ())), duration_s=end_s,
        fps=facts.get("fps"), period_s=facts.get("period_s"), epoch_s=facts.get("epoch_s"),
        time_base=facts.get("time_base", "elapsed" if facts.get("epoch_s") is None else "clock"),
    )  # fmt: skip
