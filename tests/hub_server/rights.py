"""Who asks, and what he may see and change."""

from __future__ import annotations

from .exchange import Answer, Exchange
from .store import Commit, Repo
from .users import User


class Rights(Exchange):
    """What endpoints need to know of the one who asks."""

    def _user(self) -> User | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Answer(401, {"error": "Invalid credentials in Authorization header"},
                         {"X-Error-Message": "Invalid credentials in Authorization header"})  # fmt: skip
        return self.hub.users.get(token)

    def _repo(self) -> Repo:
        """The repository of an API call; others' private ones do not exist."""
        return self._visible(self.segments[1], "/".join(self.segments[2:4]))

    def _visible(self, kind: str, id: str, content: bool = False) -> Repo:
        user, repo = self._user(), self.hub.repos.get((kind, id))
        mine = user is not None and user.may_read(id.split("/")[0])
        if repo is None or (repo.private and not mine):
            raise Answer(404 if user else 401, code="RepoNotFound")
        if repo.gated and content and not mine:
            raise Answer(403 if user else 401, code="GatedRepo")
        return repo

    def _writable(self, kind: str, id: str) -> Repo:
        repo, user = self._visible(kind, id), self._user()
        if user is None or not user.may_write(id.split("/")[0]):
            raise Answer(403, {"error": "you are not allowed to write here"})
        return repo

    def _mine(self) -> Repo:
        return self._writable(self.segments[1], "/".join(self.segments[2:4]))

    @staticmethod
    def _commit_of(repo: Repo, revision: str) -> Commit:
        if commit := repo.resolve(revision):
            return commit
        raise Answer(404, code="RevisionNotFound")
