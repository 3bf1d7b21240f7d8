"""GID on a log that goes on: pieces of events are scored as they come, and what is long past is forgotten.

New events add times to the graph. Nothing that happens later changes how an event came about, so only the part of the graph from
which a new event can be reached is weighed, and only paths that end with a new event are looked for. A window bounds memory: at the
start of each piece what lies further back leaves the graph, and no path leads from it any more. Rows of one piece may come in any
order; of successive pieces, later ones must not be earlier, or events that were already scored miss what led to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import BadInput
from core.samples import EventLog
from core.scores import EventScores
from tools.events import lineage, story
from tools.events.flows import Flows, compact, join, keep, leading_to
from tools.events.gid import ACTS, Gid
from tools.events.path_scores import alike, judge, strangest, tell
from tools.events.prepare import Vocabulary

if TYPE_CHECKING:
    import polars as pl


class GidStream:
    """Scores pieces of a log by a fitted detector; `window_s` seconds are remembered, everything by default.

    Raises:
        BadInput: a window that is not positive.
        NotFitted: on the first piece, when the detector has no history.

    >>> import polars as pl
    >>> def log(rows, start):
    ...     names = dict(zip(("subject", "operation", "object"), map(list, zip(*rows))))
    ...     return EventLog(name="toy", roles={}, table=pl.DataFrame(
    ...         {"row": range(start + 1, start + len(rows) + 1), "time_s": [float(start + i) for i in range(len(rows))], **names}))
    >>> stream = GidStream(Gid().fit([log([("sh", "start", "cat"), ("cat", "read", "notes")] * 30, 0)]))
    >>> _ = stream.add(log([("cat", "start", "imp")], 100))
    >>> stream.add(log([("imp", "write", "plan")], 101)).paths[0].rows
    (101, 102)
    """

    def __init__(self, detector: Gid, *, window_s: float = float("inf")) -> None:
        if not window_s > 0:
            raise BadInput(f"window_s={window_s!r}: expected a positive number of seconds.")
        self.detector = detector
        self.window_s = window_s
        self._words = detector.known_words()
        self._entities = Vocabulary()
        self._flows: Flows | None = None
        self._table: pl.DataFrame | None = None
        self._seen = 0
        self._dropped = 0

    @property
    def remembered(self) -> int:
        """How many moments the graph holds."""
        return 0 if self._flows is None else len(self._flows.times)

    def add(self, piece: EventLog) -> EventScores:
        """Score the events of `piece`; paths may begin in earlier ones, whose rows they name."""
        import polars as pl

        new = compact(piece.table.lazy(), self._words, grow=True, entities=self._entities)
        before, flows = self._seen, new
        if self._flows is not None:
            self._forget(float(new.times.min()) - self.window_s)
            flows = join(self._flows, new, events_before=before)
        self._flows = flows
        self._table = piece.table if self._table is None else pl.concat([self._table, piece.table], how="diagonal_relaxed")
        self._seen += piece.table.height

        fresh = np.zeros(len(flows.times), bool)
        fresh[flows.moment_of_event] = True
        touched = np.zeros(len(flows), bool)
        touched[flows.edge[fresh]] = True
        near, _ = keep(flows, leading_to(flows, touched, self.detector.length)[flows.edge])
        at = near.moment_of_event
        ends = np.zeros(len(near.times), bool)
        ends[at] = True
        weighed, lengths = self.detector.weigh_new(near, ends)
        judged = judge(near, weighed, lengths)
        scores = judged.scores[at]
        chains = strangest(near, weighed.search, lengths, alike(near), most=self.detector.top)
        events = sorted({event for chain in chains for event in chain.events})
        actors = lineage.find_actors(piece.table)
        total = lineage.gather_own(actors, alike(near, at), scores, top=ACTS)
        return EventScores(
            sample=piece.name,
            scores=scores.astype(np.float32),
            rows=piece.table["row"].cast(int).to_numpy().astype(np.int64),
            entities=story.Teller(piece.table, actors, near.edge[at], scores, total).entities(self.detector.top),
            paths=tell(chains, events, self._table[[event - self._dropped for event in events]]),
            attribution={name: share[at].astype(np.float32) for name, share in judged.shares.items()},
        )

    def _forget(self, since_s: float) -> None:
        """Leave out what happened before `since_s`, and the rows before the first that is still in the graph."""
        assert self._flows is not None
        assert self._table is not None
        if not np.isfinite(since_s):
            return
        self._flows, _ = keep(self._flows, self._flows.times >= since_s)
        first = int(self._flows.event.min(initial=self._seen))
        self._table = self._table[first - self._dropped :]
        self._dropped = first
