"""The error of a parser of one value of the configuration: what its text should have been."""

from __future__ import annotations


class Unfit(ValueError):
    """A value's text is not what its key expects; the argument says what that is."""
