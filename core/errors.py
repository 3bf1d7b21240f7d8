"""The error taxonomy: who can mend it decides the class.

A message says what was wrong (expected, got) and what to do next.
"""

from __future__ import annotations


class TelltaleError(Exception):
    """Base of every error Telltale raises on purpose."""


class UserError(TelltaleError):
    """The person can mend it: another file, another name, another option. Exit code 2, never a traceback."""


class BadInput(UserError):
    """A file or a value is not what was expected."""


class UnknownName(UserError):
    """A name (detector, channel, option) is not known; the message lists the known ones."""

    @classmethod
    def among(cls, what: str, name: str, known: list[str]) -> UnknownName:
        """Build the error for `name` with the closest known names first.

        >>> str(UnknownName.among("detector", "patchsearch", ["rarity", "patch_search"]))
        "Unknown detector 'patchsearch'. Did you mean 'patch_search'? Known: patch_search, rarity."
        """
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return cls(f"Unknown {what} {name!r}.{hint} Known: {', '.join(sorted(known)) or 'none'}.")


class MissingExtra(UserError):
    """An optional package is needed; the message names the pip command."""

    @classmethod
    def named(cls, package: str, extra: str, purpose: str) -> MissingExtra:
        """Build the error that says which extra brings `package`.

        >>> str(MissingExtra.named("openvino", "openvino", "the fastest CPU path"))
        "'openvino' is needed for the fastest CPU path. Install it with: pip install 'telltale[openvino]'"
        """
        return cls(f"{package!r} is needed for {purpose}. Install it with: pip install 'telltale[{extra}]'")


class NotFitted(UserError):
    """A detector that needs normal examples was asked to score before `fit`."""

    @classmethod
    def of(cls, name: str) -> NotFitted:
        """Build the error for the detector `name`.

        >>> str(NotFitted.of("patch_search"))
        "'patch_search' has no normal reference yet. Call fit(normal) first, or give --normal PATH."
        """
        return cls(f"{name!r} has no normal reference yet. Call fit(normal) first, or give --normal PATH.")


class ToolRetry(TelltaleError):
    """The model chose arguments it can correct; the message goes back to it."""


class ModelOutputError(TelltaleError):
    """A language model answered with something that cannot be used."""


class BudgetExceeded(TelltaleError):
    """A tool used up its time or memory; what it found so far is kept."""
