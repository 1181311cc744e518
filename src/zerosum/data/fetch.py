"""Downloads a file with a known SHA-256. The file is written completely or not at all. Called only when the user requests it."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from zerosum.errors import UserError

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0


class _MirrorError(Exception):
    """One mirror did not deliver the file; the text says why."""


def fetch(url: str | Sequence[str], target: Path, sha256: str, size_limit: int) -> Path:
    """Downloads the file with this SHA-256 to `target` and returns `target`.

    url: one http(s) address, or several mirrors tried in order. size_limit: largest size accepted, in bytes.
    The bytes are written to a temporary file in the same folder, checked, and only then renamed, so `target` is either
    absent or complete. A `target` that already exists with the right SHA-256 is kept and nothing is requested.
    Raises UserError if `target` exists with other content (it is not changed), if no mirror delivers the file, and if
    nothing can be written.
    """
    urls = (url,) if isinstance(url, str) else tuple(url)
    if target.exists():
        return _check_existing(target, sha256)
    failures = []
    for address in urls:
        try:
            _fetch_from(address, target, sha256, size_limit)
        except _MirrorError as failure:
            failures.append(f"  {address}: {failure}")
        else:
            return target
    raise UserError(
        f"{target.name} could not be downloaded:\n" + "\n".join(failures) + "\n"
        f"Check the network and try again, or get the file (SHA-256 {sha256}) by other means and put it at {target}."
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_existing(target: Path, sha256: str) -> Path:
    actual = sha256_of(target)
    if actual != sha256:
        raise UserError(
            f"{target} already exists with SHA-256 {actual}, but the published file has {sha256}. "
            "It was not changed: move it away to download the file again."
        )
    return target


def _fetch_from(url: str, target: Path, sha256: str, size_limit: int) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise _MirrorError("only http and https addresses are fetched")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        out = part.open("wb")
    except OSError as error:
        raise UserError(
            f"cannot write to {target.parent} ({error.strerror}). Name another folder with ZEROSUM_DATA."
        ) from error
    try:
        with out:
            actual = _download(url, out, size_limit)
        if actual != sha256:
            raise _MirrorError(f"its SHA-256 is {actual}, expected {sha256}")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _download(url: str, out: IO[bytes], size_limit: int) -> str:
    """Copies the body to `out` and returns its SHA-256."""
    request = urllib.request.Request(url, headers={"User-Agent": "zerosum"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            digest, received = hashlib.sha256(), 0
            declared = reply.headers.get("Content-Length")
            if declared is not None and int(declared) > size_limit:
                raise _MirrorError(f"its Content-Length is {declared} bytes, more than the limit of {size_limit}")
            while chunk := reply.read(CHUNK_BYTES):
                received += len(chunk)
                if received > size_limit:
                    raise _MirrorError(f"it sends more than the limit of {size_limit} bytes")
                digest.update(chunk)
                _write(out, chunk)
    except UserError:
        raise  # a full disk: another mirror would not help
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorError(str(error) or type(error).__name__) from error
    if declared is not None and received != int(declared):
        raise _MirrorError(f"it ended after {received} of {declared} bytes")
    _write(out, b"", sync=True)
    return digest.hexdigest()


def _write(out: IO[bytes], chunk: bytes, *, sync: bool = False) -> None:
    try:
        out.write(chunk)
        if sync:
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise UserError(
            f"cannot write the download to {out.name} ({error.strerror}). Free some space and try again."
        ) from error
