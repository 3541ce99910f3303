"""A server that speaks the documented part of GitHub's REST API that is used, and git over HTTP, for one repository.

Pull requests: https://docs.github.com/en/rest/pulls/pulls; comments: https://docs.github.com/en/rest/issues/comments.
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

OWNER = "desk"
NAME = f"{OWNER}/backoffice"
TOKEN = "ghp_0123456789secret"
API = f"/api/v3/repos/{NAME}"

Json = dict[str, Any]


class Fault(NamedTuple):
    """The answer to the next call of a method whose path matches; `done`: the call is done before it."""

    method: str
    path: str
    status: str
    headers: dict[str, str]
    body: Any
    done: bool = False


class GitHub:
    """The state of the server: change it as a person would in the browser."""

    def __init__(self, remote: Path) -> None:
        self.remote = remote
        self.url = ""
        self.pulls: list[Json] = []
        self.comments: dict[int, list[Json]] = {}
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.tokens = {TOKEN}
        self._git: Callable[..., Iterable[bytes]] | None = None

    def __call__(self, environ: Json, start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.calls.append(f"{method} {path}")
        if not self._known(environ):
            return self._answer(start, "401 Unauthorized", {"message": "Bad credentials"})
        fault = next((f for f in self.faults if f.method == method and re.search(f.path, path)), None)
        if fault:
            self.faults.remove(fault)
            if fault.done:
                self._api(method, path, environ)
            return self._answer(start, fault.status, fault.body, fault.headers)
        if not path.startswith(API):
            with Repo(str(self.remote)) as repository:
                app = make_wsgi_chain(DictBackend({f"/{NAME}.git": repository}))
                return list(app(environ, start))
        return self._answer(start, *self._api(method, path, environ))

    def add_pull(
        self, branch: str, base: str, title: str, body: str, *, user: str = "desk-bot", repo: str = NAME
    ) -> Json:
        number = len(self.pulls) + 1
        pull = {
            "number": number,
            "url": f"{self.url}{API}/pulls/{number}",
            "html_url": f"{self.url}/{NAME}/pull/{number}",
            "issue_url": f"{self.url}{API}/issues/{number}",
            "state": "open",
            "title": title,
            "body": body,
            "user": {"login": user},
            "head": {"ref": branch, "label": f"{repo.partition('/')[0]}:{branch}", "repo": {"full_name": repo}},
            "base": {"ref": base, "repo": {"full_name": NAME}},
        }
        self.pulls.append(pull)
        self.comments[number] = []
        return pull

    def add_comment(self, number: int, body: str, user: str = "desk-bot") -> Json:
        said = self.comments[number]
        made = {
            "id": len(said) + 1,
            "url": f"{self.url}{API}/issues/comments/{len(said) + 1}",
            "html_url": f"{self.url}/{NAME}/pull/{number}#issuecomment-{len(said) + 1}",
            "body": body,
            "user": {"login": user},
        }
        said.append(made)
        return made

    def _api(self, method: str, path: str, environ: Json) -> tuple[str, Any, dict[str, str]]:
        status, body = self._done(method, path, environ)
        if not isinstance(body, list):
            return status, body, {}
        asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        size, page = int(asked.get("per_page", 30)), int(asked.get("page", 1))
        after = f'<{self.url}{path}?{urlencode(asked | {"page": str(page + 1)})}>; rel="next"'
        link = {"Link": after} if page * size < len(body) else {}
        return status, body[(page - 1) * size : page * size], link

    def _done(self, method: str, path: str, environ: Json) -> tuple[str, Any]:
        asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        sent = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        part = path.removeprefix(API)
        comments = re.fullmatch(r"/issues/(\d+)/comments", part)
        one = re.fullmatch(r"/pulls/(\d+)", part)
        number = int((comments or one)[1]) if comments or one else 0
        if number > len(self.pulls):
            return "404 Not Found", {"message": "Not Found"}
        if part == "" and method == "GET":
            return "200 OK", {"full_name": NAME, "url": f"{self.url}{API}"}
        if part == "/pulls" and method == "GET":
            found = [
                pull
                for pull in reversed(self.pulls)
                if asked.get("head", pull["head"]["label"]) == pull["head"]["label"]
            ]
            return "200 OK", found
        if part == "/pulls" and method == "POST":
            return self._create(sent)
        if one and method == "GET":
            return "200 OK", self.pulls[number - 1]
        if comments and method == "GET":
            return "200 OK", self.comments[number]
        if comments and method == "POST":
            return "201 Created", self.add_comment(number, sent["body"])
        return "404 Not Found", {"message": "Not Found"}

    def _create(self, sent: Json) -> tuple[str, Json]:
        with Repo(str(self.remote)) as repository:
            for field in ("head", "base"):
                if b"refs/heads/" + sent[field].encode() not in repository.refs:
                    fault = {"resource": "PullRequest", "field": field, "code": "invalid"}
                    return "422 Unprocessable Entity", {"message": "Validation Failed", "errors": [fault]}
        for pull in self.pulls:
            same = (pull["head"]["label"], pull["base"]["ref"]) == (f"{OWNER}:{sent['head']}", sent["base"])
            if pull["state"] == "open" and same:
                said = f"A pull request already exists for {pull['head']['label']}."
                return "422 Unprocessable Entity", {"message": "Validation Failed", "errors": [{"message": said}]}
        return "201 Created", self.add_pull(sent["head"], sent["base"], sent["title"], sent["body"])

    def _known(self, environ: Json) -> bool:
        kind, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind == "Basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        return value in self.tokens

    @staticmethod
    def _answer(
        start: Callable[..., Any], status: str, body: Any, headers: dict[str, str] | None = None
    ) -> Iterable[bytes]:
        start(status, [("Content-Type", "application/json; charset=utf-8"), *(headers or {}).items()])
        return [json.dumps(body).encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def serving(remote: Path) -> Iterator[GitHub]:
    """The server on a free port of loopback."""
    github = GitHub(remote)
    with make_server("127.0.0.1", 0, github, server_class=_Server, handler_class=_Quiet) as server:
        github.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield github
        finally:
            server.shutdown()
            thread.join()
