"""Accounts of what was found: what, where, when, why it is abnormal, what came before and after, and what may excuse it.

Everything is measured first and kept as evidence (`around_*`), then put into sentences that cite it (`said`). A cause is only what
comes earlier, an effect only what comes later; an excuse is only what was measured. What the evidence leaves open is said.
"""
