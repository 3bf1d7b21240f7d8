"""Checks of sentences that nobody's template wrote: what a language model says must be in the evidence it cites."""
