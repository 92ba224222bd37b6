"""Reading what an HTTP server answers, to its end or to a limit."""

from typing import Final

import aiohttp

_PIECE: Final = 256 * 1024


async def read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body, or its first `limit` bytes. One call to `read` would return what has arrived by then."""
    parts, size = [], 0
    async for part in answer.content.iter_chunked(_PIECE):
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    return b"".join(parts)[:limit]
