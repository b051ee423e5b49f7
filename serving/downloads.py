"""Downloads: headers of what strangers wrote and people save.

It is told as a download of no known type, in a sandbox, so that no browser shows or
runs it under our name.
"""

from __future__ import annotations

import base64
import unicodedata
from urllib.parse import quote

ANY_BYTES = "application/octet-stream"
# Control, format, surrogate, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def headers_of(name: str, sha256: str) -> dict[str, str]:
    """Return the headers of a download: its name, its digest, and what it may do.

    Parameters
    ----------
    name : str
        Of the file, as a stranger chose it.
    sha256 : str
        Hash (hex) of the bytes.

    References
    ----------
    J. Reschke. "Use of the Content-Disposition Header Field in HTTP". RFC 6266, 2011.
    R. Polli and L. Pardue. "Digest Fields". RFC 9530, 2024.
    """
    safe = "".join("_" if _misleads(char) else char for char in name)
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    return {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(safe, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "private, no-store",
        "etag": f'"{sha256}"',
        "repr-digest": f"sha-256=:{digest}:",
    }


def _misleads(char: str) -> bool:
    """Whether a character of a file name shows it otherwise than it is, or is a path.

    One that turns the direction of writing makes ``gpj.exe`` look like ``exe.jpg``.
    """
    return char in "/\\" or unicodedata.category(char) in _UNSEEN
