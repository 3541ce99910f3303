"""Pull requests without a forge: each a file in the data directory. The branch itself stays in the repository."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dulwich.graph import can_fast_forward
from dulwich.objects import ObjectID
from dulwich.repo import Repo
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.git_journal import write_durably
from adapters.git_objects import branch_ref, opened, tip_of
from domain.documents import PullRequest, checked_branch, checked_key, checked_title, marked
from domain.errors import Conflict, InvalidInput, Unavailable

LOCK_SECONDS = 30.0
_NUMBER = re.compile(r"([1-9][0-9]{0,8})\.json")


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    text: str


class _Request(BaseModel):
    """The file of a pull request; `commit` was the branch's last when it was opened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    key: str
    title: str
    body: str
    branch: str
    base: str
    commit: str
    comments: tuple[_Said, ...] = ()


class LocalForge:
    """Requests of one repository: `<folder>/<number>.json`, which a person reads and merges with git."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self._repository, self._folder = repository, folder

    async def publish(self, branch: str) -> str:
        return await asyncio.to_thread(self._publish, branch)

    async def open_pull_request(self, branch: str, base: str, title: str, body: str, key: str) -> PullRequest:
        return await asyncio.to_thread(self._open, branch, base, title, body, key)

    async def find(self, key: str) -> PullRequest | None:
        return await asyncio.to_thread(self._find, key)

    async def comment(self, number: int, text: str, key: str) -> str:
        return await asyncio.to_thread(self._comment, number, text, key)

    def _publish(self, branch: str) -> str:
        with opened(self._repository) as repository:
            return required_tip(repository, branch).decode()

    def _open(self, branch: str, base: str, title: str, body: str, key: str) -> PullRequest:
        text = marked("pull-request", body, key)
        with self._alone(), opened(self._repository) as repository:
            requests = self._requests()
            standing = next((request for request in requests if request.key == key), None)
            if standing:
                return self._told(standing)
            commit, into = required_tip(repository, branch), required_tip(repository, base)
            for request in requests:
                if (request.branch, request.base) == (branch, base) and not _taken_over(repository, request, into):
                    raise offered_already(branch, request.number, self._told(request).url)
            number = max((request.number for request in requests), default=0) + 1
            made = _Request(
                number=number,
                key=key,
                title=checked_title(title),
                body=text,
                branch=branch,
                base=base,
                commit=commit.decode(),
            )
            self._write(made)
            return self._told(made)

    def _find(self, key: str) -> PullRequest | None:
        checked_key(key)
        return next((self._told(request) for request in self._requests() if request.key == key), None)

    def _comment(self, number: int, text: str, key: str) -> str:
        said = _Said(key=key, text=marked("comment", text, key))
        with self._alone():
            request = next((request for request in self._requests() if request.number == number), None)
            if request is None:
                raise InvalidInput(f"there is no pull request {number} in {self._folder}; look at its files")
            keys = [comment.key for comment in request.comments]
            if key not in keys:
                keys.append(key)
                self._write(request.model_copy(update={"comments": (*request.comments, said)}))
            return f"{self._told(request).url}#comment-{keys.index(key) + 1}"

    def _told(self, request: _Request) -> PullRequest:
        """The address is below the data directory, so that it holds wherever that is moved to."""
        url = f"{self._folder.name}/{request.number}.json"
        return PullRequest(request.number, url, request.branch, request.base, request.title)

    def _requests(self) -> list[_Request]:
        """Every request, the oldest first. Raises InvalidInput for a file that is none."""
        files = self._folder.iterdir() if self._folder.is_dir() else ()
        found = []
        for file in sorted((file for file in files if _NUMBER.fullmatch(file.name)), key=lambda file: int(file.stem)):
            try:
                found.append(_Request.model_validate_json(file.read_bytes()))
            except ValidationError as error:
                raise InvalidInput(
                    f"{file} is no pull request ({error.error_count()} faults); mend or remove it"
                ) from None
        return found

    def _write(self, request: _Request) -> None:
        write_durably(self._folder / f"{request.number}.json", request.model_dump_json(indent=2).encode() + b"\n")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self._folder / "lock", timeout=LOCK_SECONDS):
                yield
        except Timeout:
            raise Unavailable(
                f"another process writes in {self._folder} for over {LOCK_SECONDS:g} s; try again"
            ) from None
        except OSError as error:
            raise Unavailable(f"{self._folder} cannot be written ({error}); allow it and try again") from error


def required_tip(repository: Repo, branch: str) -> ObjectID:
    """A branch's last commit. Raises InvalidInput."""
    tip = tip_of(repository, branch_ref(checked_branch(branch)))
    if tip is None:
        raise InvalidInput(f"there is no branch {branch} in {repository.path}; commit to it first")
    return tip


def offered_already(branch: str, number: int, url: str) -> Conflict:
    return Conflict(
        f"{branch} is offered already as pull request {number} ({url}) under another key; have that one merged or "
        "closed, or commit to another branch"
    )


def _taken_over(repository: Repo, request: _Request, into: ObjectID) -> bool:
    commit = ObjectID(request.commit.encode())
    return commit not in repository.object_store or can_fast_forward(repository, commit, into)
