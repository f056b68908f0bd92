"""Addresses of object storage among paths, and what of them may be shown."""

from __future__ import annotations

import os
import re
from pathlib import Path

from annotator.errors import UsageError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "sftp": "sftp", "ssh": "sftp", "memory": ""}
READ_ONLY = {"http": "http", "https": "http"}
KNOWN = {**EXTRAS, **READ_ONLY}
SECRETS = (  # in the environment
    *(
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "RAY_AUTH_TOKEN",
        "GOOGLE_OAUTH_ACCESS_TOKEN",
    ),
)
SHORTEST_SECRET = 6  # characters: less is no secret, but would hide words


def url_of(path: Path) -> str | None:
    """The address that a path is, None for a path of this machine.

    A Path joins slashes; of an address it keeps all but an empty folder's name.
    """
    found = re.match(r"([a-z][a-z0-9+.-]+):/+(.*)", str(path), re.DOTALL)
    if not found or found[1] not in KNOWN:
        return None
    url = f"{found[1]}://{found[2]}"
    if re.match(r"[^/?#]*:[^/?#]*@", found[2]):
        raise UsageError(
            f"{shown(url)}: holds a password; give credentials by the environment or the configuration of the storage"
        )
    return url


def shown(text: str) -> str:
    """Text without passwords and signatures of addresses, and without what secrets of the environment hold."""
    text = re.sub(r"(?<=://)[^/@\s?#]*@", "…@", text)
    text = re.sub(r"(\.[\w-]+|://[^\s?]*)\?[^\s;)'\"]*", r"\1?…", text)
    for name in SECRETS:
        value = os.environ.get(name, "")
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, "…")
    return text
