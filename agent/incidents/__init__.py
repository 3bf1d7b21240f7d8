"""Findings of different files on one clock: a timeline in UTC, and the incidents that several of them saw."""
