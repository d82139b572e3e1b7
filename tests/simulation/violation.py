"""What must not happen, when it does."""


class Violation(BaseException):
    """An invariant does not hold. No `Exception`: what is noticed in the middle of the
    product's work must not be taken for an error of the store."""


def require(holds: bool, what: str) -> None:
    """Raise unless it holds.

    Raises:
        Violation: it does not.
    """
    if not holds:
        raise Violation(what)
