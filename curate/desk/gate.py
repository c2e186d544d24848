"""Who may speak to the page: those who know its token, from its own page, by an address that is no stranger's name.

A name that somebody else's server answers for could come to point at this machine (DNS rebinding), and his pages would
then speak to this server as if it were theirs; so only names of this machine and plain addresses are let in.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def refusal(method: str, host: str, origin: str | None, given: str, token: str) -> str:
    """Why a request is refused, for people; empty where it is let in.

    `origin` is its header where there is one, `given` the token that it brings.
    """
    if not is_own(name_of(host)):
        return f"this page answers for this machine, not for {host!r}; open the address that review.py printed"
    if not hmac.compare_digest(given.encode(), token.encode()):
        return "the address lacks its token; open the one that review.py printed, to its end"
    if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
        return f"a page of {origin} may not write here"
    return ""


def name_of(host: str) -> str:
    """The name or address in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_own(name: str) -> bool:
    """Whether `name` is a plain address or a name of this machine."""
    if name in ("localhost", socket.gethostname().lower(), socket.getfqdn().lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def lasting_token(path: Path) -> str:
    """The token in `path`, which its owner alone can read; a new one where there is none.

    It outlives the server, so that an open page can hand over what it holds once the server is there again. Where
    another user's cannot be read, the token is for this time only.
    """
    try:
        if token := path.read_text().strip():
            return token
    except FileNotFoundError:
        pass
    except PermissionError:
        return secrets.token_urlsafe(24)
    token = secrets.token_urlsafe(24)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return token
