"""Pull requests on GitHub: the branch is pushed, then asked for once, whatever failed in between.

What may have been done is looked for before it is done again: only calls that GitHub refused to take are repeated by
the client itself.
"""

import asyncio
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from dulwich.client import HttpGitClient, HTTPProxyUnauthorized, HTTPUnauthorized
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.graph import can_fast_forward
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from github import Auth, Github, GithubException, GithubRetry
from github.PullRequest import PullRequest as Pull
from github.Repository import Repository

from adapters.forge import offered_already, required_tip
from adapters.git_objects import branch_ref, opened
from domain.documents import PullRequest, checked_branch, checked_key, checked_title, marked, marker
from domain.errors import Conflict, DeskError, InvalidInput, Unavailable

log = logging.getLogger("cdb.github")

SEARCHED = 1_000  # pull requests, the newest first
TIMEOUT_S = 30
PAUSES_S = (1.0, 5.0)
RATE_WAIT_S = 60.0
REFUSED_CALLS = 2  # repeated after so long a wait
USER = "x-access-token"  # GitHub asks for a name beside a token and looks at the token alone
_TOKEN = re.compile(r"[\x21-\x7e]{1,1000}")

T = TypeVar("T")


class RefusedByRate(GithubRetry):
    """Repeats what was refused for its rate, which was not done."""

    RETRY_AFTER_STATUS_CODES = frozenset({429})


class GitHubForge:
    """Requests of one repository `owner/name`. `web` is where GitHub's pages are; its API and git lie beside them. The
    token is read from its file for every call, so that a changed one holds at once."""

    def __init__(
        self,
        repository: Path,
        name: str,
        token_file: Path,
        web: str = "https://github.com",
        pauses_s: Sequence[float] = PAUSES_S,
        rate_wait_s: float = RATE_WAIT_S,
    ) -> None:
        self._repository, self._name, self._token_file = repository, name, token_file
        self._api = "https://api.github.com" if web == "https://github.com" else f"{web}/api/v3"
        self._remote = f"{web}/{name}.git"
        self._pauses_s, self._rate_wait_s = pauses_s, rate_wait_s

    async def publish(self, branch: str) -> str:
        return await asyncio.to_thread(self._publish, branch)

    async def open_pull_request(self, branch: str, base: str, title: str, body: str, key: str) -> PullRequest:
        return await asyncio.to_thread(self._open, branch, base, title, body, key)

    async def find(self, key: str) -> PullRequest | None:
        return await asyncio.to_thread(self._find, key)

    async def comment(self, number: int, text: str, key: str) -> str:
        return await asyncio.to_thread(self._comment, number, text, key)

    # -- what is done --------------------------------------------------------------------------------------------------

    def _publish(self, branch: str) -> str:
        def push(token: str) -> str:
            with opened(self._repository) as repository:
                tip, ref = required_tip(repository, branch), branch_ref(branch)
                try:
                    with _client(self._remote, token) as client:
                        pack = repository.generate_pack_data
                        sent = client.send_pack(b"", _onto(repository, ref, tip), pack)  # type: ignore[arg-type]
                except NotGitRepository:  # which would be taken for ours
                    raise InvalidInput(self._unknown()) from None
                refused = (sent.ref_status or {}).get(ref)
                if refused:
                    raise Conflict(f"{self._remote} did not take {branch}: {refused}; look at the branch's rules there")
                return tip.decode()

        return self._again(push)

    def _open(self, branch: str, base: str, title: str, body: str, key: str) -> PullRequest:
        text = marked("pull-request", body, key)
        checked_title(title)
        checked_branch(base)
        standing = self._find(key)
        if standing:
            return standing
        self._publish(branch)

        def look(hub: Repository) -> PullRequest | None:
            pulls = self._pulls(hub, branch)
            found = self._with_marker(pulls, key)
            if found:
                return _told(found)
            for pull in pulls:
                if pull.state == "open" and pull.base.ref == base:
                    raise offered_already(branch, pull.number, pull.html_url)
            return None

        def ask(hub: Repository) -> PullRequest:
            standing = look(hub)
            if standing:
                return standing
            try:
                return _told(hub.create_pull(base=base, head=branch, title=title, body=text))
            except GithubException as error:
                standing = look(hub) if error.status == 422 else None  # somebody was first
                if standing:
                    return standing
                raise

        return self._asked(ask)

    def _find(self, key: str) -> PullRequest | None:
        checked_key(key)

        def find(hub: Repository) -> PullRequest | None:
            found = self._with_marker(self._pulls(hub), key)
            return _told(found) if found else None

        return self._asked(find)

    def _comment(self, number: int, text: str, key: str) -> str:
        said, mark = marked("comment", text, key), marker("comment", key)

        def say(hub: Repository) -> str:
            pull = hub.get_pull(number)
            for comment in pull.get_issue_comments():
                # Anyone may write a marker; a comment of ours has the author of the pull request.
                if mark in (comment.body or "") and comment.user.login == pull.user.login:
                    return comment.html_url
            return pull.create_issue_comment(said).html_url

        return self._asked(say)

    def _pulls(self, hub: Repository, branch: str | None = None) -> list[Pull]:
        """The newest pull requests, of one branch or all. Those from copies of the repository are not ours."""
        owner, name = hub.full_name.partition("/")[0], hub.full_name  # as GitHub spells it, or names it now
        wanted = {"head": f"{owner}:{branch}"} if branch else {}
        pulls = hub.get_pulls(state="all", sort="created", direction="desc", **wanted)
        ours = (pull for pull in islice(pulls, SEARCHED) if pull.head.repo and pull.head.repo.full_name == name)
        return [pull for pull in ours if branch in (None, pull.head.ref)]

    @staticmethod
    def _with_marker(pulls: Sequence[Pull], key: str) -> Pull | None:
        mark = marker("pull-request", key)
        return next((pull for pull in pulls if mark in (pull.body or "")), None)

    # -- how it is done ------------------------------------------------------------------------------------------------

    def _asked(self, work: Callable[[Repository], T]) -> T:
        def ask(token: str) -> T:
            with self._hub(token) as hub:
                return work(hub)

        return self._again(ask)

    @contextmanager
    def _hub(self, token: str) -> Iterator[Repository]:
        retry = RefusedByRate(
            total=REFUSED_CALLS,
            read=0,
            other=0,
            status_forcelist=[],
            secondary_rate_wait=self._rate_wait_s,
            max_rate_limit_wait=self._rate_wait_s,
            retry_after_max=int(self._rate_wait_s),
        )
        github = Github(
            auth=Auth.Token(token),
            base_url=self._api,
            timeout=TIMEOUT_S,
            per_page=100,
            retry=retry,
            seconds_between_requests=None,
        )
        try:
            yield github.get_repo(self._name)
        finally:
            github.close()

    def _again(self, work: Callable[[str], T]) -> T:
        """Work with the token; what failed in passing is begun anew, which first looks for what was done."""
        token = read_token(self._token_file)
        for pause in (*self._pauses_s, None):
            try:
                return work(token)
            except DeskError:
                raise
            except (GithubException, GitProtocolError, HTTPUnauthorized, HTTPProxyUnauthorized, OSError) as error:
                told = self._ours(error, token)
                if pause is None or not isinstance(told, Unavailable) or _is_rate(error):
                    raise told from None
                log.info("%s; once more in %g s", told, pause)
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _ours(self, error: Exception, token: str) -> DeskError:
        """The error as one that a person can mend. No text of it holds the token."""
        status = error.status if isinstance(error, GithubException) else 0
        data = error.data if isinstance(error, GithubException) else None
        told = data if isinstance(data, dict) else {"message": str(error)}
        said, faults = (str(told.get(part) or "").replace(token, "***")[:300] for part in ("message", "errors"))
        if status == 401 or isinstance(error, HTTPUnauthorized):
            return InvalidInput(f"{self._api} does not know the token of {self._token_file}; put a valid one there")
        if _is_rate(error):
            return Unavailable(f"{self._api} allows no more calls now ({said}); try again later")
        if status == 403:
            return InvalidInput(
                f"the token of {self._token_file} may not do this at {self._name} ({said}); it needs to write contents "
                "and pull requests"
            )
        if status == 404:
            return InvalidInput(self._unknown())
        if 400 <= status < 500:
            return InvalidInput(f"GitHub refused ({status} {said} {faults}); correct what is named")
        return Unavailable(
            f"{self._api} could not be asked ({status or type(error).__name__}: {said}); try again later"
        )

    def _unknown(self) -> str:
        return f"{self._remote} or what was asked of it is unknown to the token of {self._token_file}; correct either"


def read_token(path: Path) -> str:
    """The token in a file that is its owner's alone. Raises InvalidInput."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                raise InvalidInput(f"the token file {path} may be read by others; run `chmod 600 {path}`")
            token = file.read(2000).decode("ascii", errors="replace").strip()
    except OSError as error:
        raise InvalidInput(
            f"the token file {path} cannot be read ({error.strerror}); correct CDB_GITHUB_TOKEN_FILE"
        ) from None
    if not _TOKEN.fullmatch(token):
        raise InvalidInput(f"the token file {path} must hold one token and nothing else; write it anew")
    return token


@contextmanager
def _client(remote: str, token: str) -> Iterator[HttpGitClient]:
    """A client without any of git's settings, whose every answer is closed: dulwich leaves refusals open."""
    client = HttpGitClient(remote, username=USER, password=token, timeout=TIMEOUT_S, quiet=True)
    manager = client.pool_manager
    ask = manager.request
    with ExitStack() as answers:
        answers.callback(manager.clear)

        def request(method: str, url: str, **given: Any) -> Any:
            return answers.enter_context(closing(ask(method, url, **given)))

        manager.request = request  # type: ignore[method-assign]
        yield client


def _onto(repository: Repo, ref: Ref, tip: ObjectID) -> Callable[[dict[Ref, ObjectID]], dict[Ref, ObjectID]]:
    """What to change at a remote that has these branches: one, and only forwards. Raises Conflict."""

    def wanted(remote: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
        there = remote.get(ref)
        known = there is None or there in repository.object_store
        if there and not (known and can_fast_forward(repository, there, tip)):
            raise Conflict(
                f"{ref.decode()} stands at {there.decode()} on the remote, which is not in our branch; fetch it, or "
                "commit to another branch"
            )
        return {ref: tip}

    return wanted


def _is_rate(error: Exception) -> bool:
    return "rate limit" in str(error).lower() or "too many 403" in str(error) or "too many 429" in str(error)


def _told(pull: Pull) -> PullRequest:
    return PullRequest(pull.number, pull.html_url, pull.head.ref, pull.base.ref, pull.title)
