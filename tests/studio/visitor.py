"""Requests as a browser would send them, and as it would not."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import Any

from tests.studio.kit import Running


class Visitor:
    """Sends what it is told, as a browser would or would not."""

    def __init__(self, run: Running) -> None:
        self.run = run
        self.cookie: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        drop: tuple[str, ...] = (),
        **headers: str,
    ) -> tuple[int, str, dict[str, str]]:
        """Status, text and headers; drop: headers that are left out."""
        access = self.run.studio.access
        sent = {"host": f"127.0.0.1:{self.run.port}"}
        if self.cookie is not None:
            sent["cookie"] = f"{access.cookie}={self.cookie}"
        if method not in ("GET", "HEAD"):
            sent |= {"origin": self.run.origin, "x-studio": access.csrf}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.run.port, timeout=20)) as line:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if body is not None:
                sent.setdefault("content-length", str(len(body)))
            for name, value in sent.items():
                if name not in drop:
                    line.putheader(name, value)
            line.endheaders(body)
            answer = line.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return answer.status, text, {k.lower(): v for k, v in answer.getheaders()}

    def enter(self) -> None:
        """With the token."""
        status, _, headers = self.ask("GET", f"/open?token={self.run.studio.access.token}")
        assert status == 200
        self.cookie = headers["set-cookie"].partition("=")[2].partition(";")[0]


def form(name: str, *files: tuple[str, bytes], **texts: str) -> dict[str, Any]:
    """Body and type of a form."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'.encode()
        for key, text in texts.items()
    ]
    for file, content in files:
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        parts.append(head.encode() + b"Content-Type: image/png\r\n\r\n" + content + b"\r\n")
    return {
        "body": b"".join(parts) + b"--x--\r\n",
        "content_type": "multipart/form-data; boundary=x",
    }
