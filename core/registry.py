"""From a detector's name to its class: rows are data, classes load on demand, third parties join by entry point."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from core.detector import Detector, DetectorSpec
from core.errors import BadInput, UnknownName
from core.samples import Kind

ENTRY_POINT_GROUP = "telltale.detectors"


class Catalogue(Mapping[str, DetectorSpec]):
    """The detector rows by name, in catalogue order. Rows are frozen, so nobody can poison them."""

    def __init__(self, rows: Iterable[DetectorSpec]) -> None:
        self._rows: dict[str, DetectorSpec] = {}
        for row in rows:
            self.add(row)

    def add(self, row: DetectorSpec) -> None:
        """Add one row.

        Raises:
            BadInput: a row of that name exists.
        """
        if row.name in self._rows:
            raise BadInput(f"Detector {row.name!r} is in the catalogue twice; names are unique.")
        self._rows[row.name] = row

    def add_entry_points(self) -> None:
        """Add the rows of installed third-party packages (group `telltale.detectors`: a DetectorSpec or a list of them)."""
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            rows = entry.load()
            for row in [rows] if isinstance(rows, DetectorSpec) else rows:
                self.add(row)

    def __getitem__(self, name: str) -> DetectorSpec:
        if name not in self._rows:
            raise UnknownName.among("detector", name, list(self._rows))
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def of_kind(self, kind: Kind) -> list[DetectorSpec]:
        """The rows that score this kind of sample."""
        return [row for row in self._rows.values() if row.kind == kind]

    def detector_class(self, name: str) -> type[Detector]:
        """Import and return the class of a row."""
        module, _, attribute = self[name].class_path.partition(":")
        found: type[Detector] = getattr(importlib.import_module(module), attribute)
        return found

    def create(self, name: str, **parameters: Any) -> Detector:
        """Build a detector with keyword parameters.

        Raises:
            UnknownName: no such detector or no such parameter.
        """
        import inspect

        cls = self.detector_class(name)
        known = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
        for key in parameters:
            if key not in known:
                raise UnknownName.among(f"parameter of {name!r}", key, known)
        return cls(**parameters)
