"""Downloads one file whose SHA-256 is known beforehand, all or nothing. Called only when the user asked for it."""

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


class _Refused(Exception):
    """One mirror did not deliver the file; the text says why."""


def fetch(url: str | Sequence[str], target: Path, sha256: str, size_limit: int) -> Path:
    """Puts the file with this SHA-256 at `target` and returns `target`.

    url: one http(s) address, or several mirrors tried in order. size_limit: largest size accepted, in bytes.
    The bytes go to a temporary file beside `target`, are checked, and only then renamed, so `target` is either absent
    or whole. A `target` that is already there with the right SHA-256 is kept and nothing is requested.
    Raises UserError: `target` exists with other content (it is left alone), no mirror delivers, nothing can be written.
    """
    urls = (url,) if isinstance(url, str) else tuple(url)
    if target.exists():
        return _keep(target, sha256)
    refusals = []
    for address in urls:
        try:
            _fetch_one(address, target, sha256, size_limit)
        except _Refused as refusal:
            refusals.append(f"  {address}: {refusal}")
        else:
            return target
    raise UserError(
        f"{target.name} could not be downloaded:\n" + "\n".join(refusals) + "\n"
        f"Check the network and try again, or get the file (SHA-256 {sha256}) by other means and put it at {target}."
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _keep(target: Path, sha256: str) -> Path:
    found = sha256_of(target)
    if found != sha256:
        raise UserError(
            f"{target} is already there with SHA-256 {found}, but the published file has {sha256}. "
            "It was left alone: move it away to download the file again."
        )
    return target


def _fetch_one(url: str, target: Path, sha256: str, size_limit: int) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise _Refused("only http and https addresses are fetched")
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
            found = _stream(url, out, size_limit)
        if found != sha256:
            raise _Refused(f"its SHA-256 is {found}, expected {sha256}")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _stream(url: str, out: IO[bytes], size_limit: int) -> str:
    """Copies the body to `out` and returns its SHA-256."""
    request = urllib.request.Request(url, headers={"User-Agent": "zerosum"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            digest, received = hashlib.sha256(), 0
            announced = reply.headers.get("Content-Length")
            if announced is not None and int(announced) > size_limit:
                raise _Refused(f"it announces {announced} bytes, more than the {size_limit} expected at most")
            while chunk := reply.read(CHUNK_BYTES):
                received += len(chunk)
                if received > size_limit:
                    raise _Refused(f"it sends more than the {size_limit} bytes expected at most")
                digest.update(chunk)
                _write(out, chunk)
    except UserError:
        raise  # a full disk is the user's to mend; no other mirror would help
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Refused(str(error) or type(error).__name__) from error
    if announced is not None and received != int(announced):
        raise _Refused(f"it ended after {received} of {announced} bytes")
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
