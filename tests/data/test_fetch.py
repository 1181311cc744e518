"""Downloads are whole or absent: right hash, wrong hash, cut short, too large, already there, several mirrors."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zerosum.data.fetch import fetch, sha256_of
from zerosum.errors import UserError

BODY = bytes(range(256)) * 8000
GOOD = hashlib.sha256(BODY).hexdigest()


class Server:
    def __init__(self, url: str, asked: list[str]) -> None:
        self.url = url
        self.asked = asked


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what some of these tests are about."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/missing":
                self.send_error(404)
                return
            self.send_response(200)
            if self.path != "/unannounced":
                self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[: len(BODY) // 2] if self.path == "/truncated" else BODY)

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    httpd = QuietServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield Server(f"http://127.0.0.1:{httpd.server_port}", asked)
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_good_file_arrives_whole_and_alone(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.gz"
    assert fetch(f"{server.url}/good", target, GOOD, len(BODY)) == target
    assert target.read_bytes() == BODY
    assert sha256_of(target) == GOOD
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "sha256", "limit", "said"),
    [
        ("/good", "0" * 64, len(BODY), f"its SHA-256 is {GOOD}, expected 0000"),
        ("/truncated", GOOD, len(BODY), f"ended after {len(BODY) // 2} of {len(BODY)} bytes"),
        ("/good", GOOD, len(BODY) - 1, "Content-Length"),
        ("/unannounced", GOOD, len(BODY) - 1, "sends more than"),
        ("/missing", GOOD, len(BODY), "404"),
    ],
)
def test_bad_file_leaves_nothing(server: Server, tmp_path: Path, path: str, sha256: str, limit: int, said: str) -> None:
    target = tmp_path / "file.gz"
    with pytest.raises(UserError) as caught:
        fetch(server.url + path, target, sha256, limit)
    assert said in str(caught.value)
    assert server.url + path in str(caught.value)
    assert str(target) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_next_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    mirrors = [f"{server.url}/missing", f"{server.url}/truncated", f"{server.url}/good", f"{server.url}/unannounced"]
    fetch(mirrors, tmp_path / "file", GOOD, len(BODY))
    assert server.asked == ["/missing", "/truncated", "/good"]


def test_existing_file_is_kept_without_asking(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(BODY)
    fetch(f"{server.url}/missing", target, GOOD, len(BODY))
    assert server.asked == []
    assert target.read_bytes() == BODY


def test_other_existing_file_is_left_alone(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"mine")
    with pytest.raises(UserError, match="already exists"):
        fetch(f"{server.url}/good", target, GOOD, len(BODY))
    assert target.read_bytes() == b"mine"
    assert server.asked == []


def test_only_web_addresses(tmp_path: Path) -> None:
    source = tmp_path / "secret"
    source.write_bytes(BODY)
    with pytest.raises(UserError, match="only http and https"):
        fetch(source.as_uri(), tmp_path / "copy", GOOD, len(BODY))
    assert not (tmp_path / "copy").exists()


def test_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="ZEROSUM_DATA"):
        fetch(f"{server.url}/good", tmp_path / "file" / "x", GOOD, len(BODY))


class FullDisk(io.FileIO):
    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("when", ["writing", "syncing"])
def test_full_disk_is_said_once_and_not_blamed_on_the_mirror(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    if when == "writing":
        monkeypatch.setattr(Path, "open", lambda path, mode: FullDisk(path, mode))
    else:
        monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        fetch([f"{server.url}/good", f"{server.url}/unannounced"], tmp_path / "file", GOOD, len(BODY))
    assert server.asked == ["/good"]
    assert list(tmp_path.iterdir()) == []
