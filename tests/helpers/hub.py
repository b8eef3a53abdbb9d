"""Servers on this machine: one of plain files, and one with the part of the Hugging Face hub's API that is used."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse


@contextmanager
def serving(handler):
    """The address of a server with this handler of requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, content, status=200, length=None, **headers):
        """Send ``content``, bytes or what becomes JSON; a larger ``length`` than it has cuts the file."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.close_connection = length is not None

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))


def files_of(folder, cut=()):
    """A handler that serves the files of ``folder``; those named in ``cut`` end early. ``asked`` lists their names."""

    class Files(Handler):
        asked = []  # noqa: RUF012

        def do_GET(self):
            path = Path(folder, self.path.lstrip("/"))
            self.asked.append(path.name)
            if not path.is_file():
                return self.answer({}, 404)
            data = path.read_bytes()
            if path.name in cut:
                return self.answer(data[: len(data) // 2], length=len(data))
            return self.answer(data)

    return Files


def hub():
    """A handler that is a hub; ``repos`` maps an id to its files, and ``cut`` names files that arrive in part."""

    class Hub(Handler):
        repos, cut, tokens = {}, set(), []

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            parts = urlparse(self.path).path.strip("/").split("/")
            hub_id = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
            if hub_id not in self.repos:
                return self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            files = self.repos[hub_id]
            commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
            if parts[-1] not in ("main", commit) and "resolve" not in parts:
                return self.answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
            if "revision" in parts:
                return self.answer({"id": hub_id, "sha": commit, "siblings": [{"rfilename": name} for name in files]})
            if "tree" in parts:
                own = [{"type": "file", "path": n, "size": len(d), "oid": _oid(d)} for n, d in files.items()]
                return self.answer(own)
            data = files[parts[-1]]
            about = {"ETag": f'"{_oid(data)}"', "X_Repo_Commit": commit}
            if self.command == "GET" and parts[-1] in self.cut:
                return self.answer(data[: len(data) // 2], **about)
            return self.answer(data, **about)

        def do_POST(self):
            body, parts = self.body(), urlparse(self.path).path.strip("/").split("/")
            self.tokens.append(self.headers.get("Authorization"))
            if not self.tokens[-1]:
                return self.answer({"error": "Invalid username or password."}, 401)
            if parts[1:] == ["repos", "create"]:
                asked = json.loads(body)
                hub_id = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
                self.repos.setdefault(hub_id, {})
                return self.answer({"url": f"http://{self.headers['Host']}/{hub_id}"})
            if "preupload" in parts:
                names = [file["path"] for file in json.loads(body)["files"]]
                modes = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
                return self.answer({"files": modes})
            if "commit" in parts:
                hub_id = "/".join(parts[2:4])
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        self.repos[hub_id][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                url = f"http://{self.headers['Host']}/{hub_id}/commit/{'a' * 40}"
                return self.answer({"commitUrl": url, "commitOid": "a" * 40, "success": True})
            return self.answer({"errors": [], "warnings": []})  # validates the header of a card

    return Hub


def _oid(data):
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
