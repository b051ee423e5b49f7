"""Downloads: a package and the files it names, as they are, for who is signed in."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from serving.downloads import ANY_BYTES, headers_of
from serving.engine import Engine


class Downloads:
    """What a browser saves, and never shows.

    Parameters
    ----------
    engine : Engine
        Has it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def package(self, request: Request, _: str) -> Response:
        """Answer with a package, byte for byte as it is stored, and its digest."""
        found = self._engine.package(request.path_params["handoff_id"])
        headers = headers_of(found.name, found.sha256)
        return Response(found.body, headers=headers, media_type="application/json")

    def attachment(self, request: Request, _: str) -> Response:
        """Answer with a file that an event names."""
        kept = self._engine.attachments.find(request.path_params["sha256"])
        headers = headers_of(kept.name, kept.sha256)
        return FileResponse(kept.path, headers=headers, media_type=ANY_BYTES)
