"""Headers that hold for every answer, and cookies that are Secure exactly when the connection is."""

from typing import Final

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SessionCookie(SecureCookieSessionInterface):
    """The signed session cookie; over plain HTTP a Secure one would never come back."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether this request came over HTTPS."""
        return request.is_secure


def harden(response: Response) -> Response:
    """After each request: add the headers; only static files may be kept by caches."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
        response.vary.add("Cookie")
        response.vary.add("HX-Request")
    return response
