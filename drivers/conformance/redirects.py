"""`redirect_url`: where a client can fetch an object itself."""

from __future__ import annotations

from urllib.request import Request, urlopen

from ..errors import InvalidParameterError
from . import expect
from .case import Case
from .requirement import Topic

topic = Topic("redirect")

FETCH_SECONDS_MAX = 10.0
EXPIRES_TOO_LONG = 7 * 24 * 3600 + 1


@topic.requirement()
def url_or_none(case: Case) -> None:
    """The answer is a URL or None, and None without the capability redirects."""
    path = case.path("object")
    case.put(path)
    for method in ("GET", "HEAD"):
        url = case.driver.redirect_url(path, method=method, expires=60)
        if case.capabilities.redirects:
            fits = url is None or (isinstance(url, str) and "://" in url)
            expect.that(fits, f"redirect_url for {method}: {expect.shown(url)}")
        else:
            expect.equal(url, None, f"redirect_url for {method}")


@topic.requirement(needs=("redirects",))
def get_fetches_the_object(case: Case) -> None:
    """A GET of the URL gives the object's bytes."""
    path = case.path("object")
    data = case.put(path, 5000)
    url = case.driver.redirect_url(path, method="GET", expires=60)
    if url is not None:
        with urlopen(url, timeout=FETCH_SECONDS_MAX) as response:
            expect.content(response.read(), data, f"GET of the URL of {path}")


@topic.requirement(needs=("redirects",))
def head_tells_the_size(case: Case) -> None:
    """A HEAD of the URL answers 200 with the object's size as its length."""
    path = case.path("object")
    data = case.put(path, 5000)
    url = case.driver.redirect_url(path, method="HEAD", expires=60)
    if url is not None:
        request = Request(url, method="HEAD")
        with urlopen(request, timeout=FETCH_SECONDS_MAX) as response:
            got = (response.status, response.headers["Content-Length"])
            expect.equal(got, (200, str(len(data))), "status and length of HEAD")


@topic.requirement()
def other_methods_have_none(case: Case) -> None:
    """For any method but GET and HEAD the answer is None."""
    path = case.path("object")
    case.put(path)
    for method in ("PUT", "POST", "DELETE", "get", ""):
        url = case.driver.redirect_url(path, method=method)
        expect.equal(url, None, f"redirect_url for {method!r}")


@topic.requirement()
def expiry_is_checked(case: Case) -> None:
    """expires outside 1 second to 7 days is an InvalidParameterError."""
    path = case.path("object")
    case.put(path)
    for expires in (0, -1, EXPIRES_TOO_LONG, 1.5, "60", True, None):
        expect.raises(
            InvalidParameterError, case.driver.redirect_url, path, expires=expires
        )
    for expires in (1, EXPIRES_TOO_LONG - 1):
        case.driver.redirect_url(path, expires=expires)


@topic.requirement()
def missing_object(case: Case) -> None:
    """The object need not exist: asking for its URL is no error."""
    case.driver.redirect_url(case.path("missing"))
