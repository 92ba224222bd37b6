"""Whom to believe at the other end of a connection: the same for every client."""

import ssl
from pathlib import Path

from worker.errors import OperatorError


def authority_context(setting: str, ca_file: Path | None, whose: str) -> ssl.SSLContext:
    """Return a context that checks certificates and host names, against `ca_file` or the system's authorities.

    Raises:
        OperatorError: the file that `setting` names is not readable; `whose` says what its authority has signed.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(
            f"{setting}: {ca_file} is not a readable PEM file of certificates "
            f"({error.strerror or error}): give the CA that signed {whose}"
        ) from error
