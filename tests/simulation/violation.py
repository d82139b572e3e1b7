"""What must not happen, when it does."""


class Violation(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    """Raise unless it holds.

    Raises:
        Violation: it does not.
    """
    if not holds:
        raise Violation(what)
