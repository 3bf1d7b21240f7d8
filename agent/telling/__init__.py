"""Sentences from evidence, without a language model: one module per kind of data, all with the same seven functions.

`headline(inv)`, `describe(finding)`, `what(finding)`, `when(finding)`, `where(finding)`, `why(finding)` and `nothing(inv)` return
Markdown in which every number, time and name comes from the cited evidence, so that `agent.verify` finds it there.
"""
