"""Tokens and tenants: what is kept of a token, who is let in, and who is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fhe_face.service import tables
from fhe_face.service import tokens as module
from fhe_face.service.errors import Invalid, NotHere, Unauthorized
from fhe_face.service.opening import Service, create_service, open_service
from fhe_face.service.rows import Quotas, Scope
from fhe_face.service.tenants import all_tenants, make_tenant, quotas_of
from fhe_face.service.tokens import all_tokens, authenticate, create_token, revoke_token
from fhe_face.store import StoreError
from tests.service import kit


def test_a_token_says_who_asks(service: Service) -> None:
    token, secret = create_token(service.database, "anna", {Scope.EMBED, Scope.KEYS}, label="cam")
    caller = authenticate(service.database, f"Bearer {secret}")
    assert (caller.tenant, caller.token) == ("anna", token.id)
    assert caller.scopes == {Scope.KEYS, Scope.EMBED}
    assert caller.may(Scope.KEYS)
    assert not caller.may(Scope.SEARCH)
    assert [t.label for t in all_tokens(service.database, "anna")] == ["cam"]
    assert all_tokens(service.database, "ben") == []


@pytest.mark.parametrize(
    ("quota", "most"), [("bytes", 10**18), ("jobs", 10**9), ("requests", 10**9)]
)
def test_the_largest_quotas_fit_either_database(service: Service, quota: str, most: int) -> None:
    """Or a service in SQLite could not be restored into PostgreSQL."""
    largest = replace(Quotas(1, 1, 1), **{quota: most})
    make_tenant(service.database, "zoe", largest)
    assert quotas_of(service.database, "zoe") == largest
    with pytest.raises(Invalid, match=f"{quota}: a quota is at most"):
        make_tenant(service.database, "zoe", replace(largest, **{quota: most + 1}))


def test_admin_may_do_all(service: Service) -> None:
    _, secret = create_token(service.database, "anna", {Scope.ADMIN})
    caller = authenticate(service.database, f"bearer {secret}")
    assert all(caller.may(scope) for scope in Scope)


def test_a_token_is_kept_as_its_hash_only(tmp_path: Path) -> None:
    with kit.make(tmp_path / "data") as service:
        secret = kit.token(service)
    found = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert found
    for path in found:
        assert secret.encode() not in path.read_bytes()
        assert secret[4:].encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic x",
        "fhe_" + "A" * 43,
        "Bearer fhe_" + "A" * 43,
        "Bearer fhe_" + "A" * 42,
        "Bearer fhe_" + "A" * 44,
        "Bearer fhe_" + "A" * 100_000,
        "Bearer fhe_" + "A" * 42 + "\n",
        "Bearer fhe_" + "ä" * 43,
    ],
)
def test_what_is_no_token_is_refused(service: Service, header: str | None) -> None:
    with pytest.raises(Unauthorized):
        authenticate(service.database, header)


def test_tokens_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    token, secret = create_token(service.database, "anna", {Scope.READ}, seconds=60)
    authenticate(service.database, f"Bearer {secret}")
    monkeypatch.setattr(module, "now", lambda: token.created + 60)
    with pytest.raises(Unauthorized):
        authenticate(service.database, f"Bearer {secret}")
    assert all_tokens(service.database)[0].state == "expired"


def test_revoked_tokens_are_refused_at_once(service: Service) -> None:
    token, secret = create_token(service.database, "anna", {Scope.READ})
    other = kit.token(service)
    assert revoke_token(service.database, token.id).state == "revoked"
    with pytest.raises(Unauthorized):
        authenticate(service.database, f"Bearer {secret}")
    authenticate(service.database, f"Bearer {other}")
    first = revoke_token(service.database, token.id).revoked
    assert first == revoke_token(service.database, token.id).revoked
    with pytest.raises(NotHere):
        revoke_token(service.database, "nobody")


def test_what_makes_no_token(service: Service) -> None:
    database = service.database
    with pytest.raises(NotHere):
        create_token(database, "carl", {Scope.READ})
    with pytest.raises(Invalid):
        create_token(database, "anna", set())
    with pytest.raises(Invalid):
        create_token(database, "anna", {Scope.READ}, seconds=0)
    with pytest.raises(Invalid):
        create_token(database, "anna", {Scope.READ}, label="a\nb")
    assert all_tokens(database) == []


def test_quotas_can_be_changed(service: Service) -> None:
    make_tenant(service.database, "anna", Quotas(1, 2, 3))
    assert quotas_of(service.database, "anna") == Quotas(1, 2, 3)
    assert quotas_of(service.database, "carl") is None
    assert [tenant.name for tenant in all_tenants(service.database)] == ["anna", "ben"]


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "a" * 64, "a\n", "ä"])
def test_names_of_tenants_are_names_of_folders(service: Service, name: str) -> None:
    with pytest.raises(Invalid):
        make_tenant(service.database, name, kit.QUOTAS)


def test_a_service_is_made_once(tmp_path: Path, url: str | None) -> None:
    create_service(tmp_path / "data", url).close()
    with pytest.raises(StoreError, match="there is a service already"):
        create_service(tmp_path / "data", url)
    with open_service(tmp_path / "data") as service:
        assert service.url is None if url is None else "psycopg" in (service.url or "")
    with pytest.raises(StoreError, match="holds no service"):
        open_service(tmp_path)


def test_a_gallery_is_no_service(tmp_path: Path) -> None:
    create_service(tmp_path / "data").close()
    (tmp_path / "other").mkdir()
    (tmp_path / "data" / "service.db").rename(tmp_path / "other" / "gallery.db")
    from fhe_face.store import Store

    with pytest.raises(StoreError, match="no gallery's database"):
        Store.open(tmp_path / "other")


def test_the_steps_lead_to_the_tables(service: Service) -> None:
    """The migrations make exactly what `tables.py` says."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with service.database.reading() as connection:
        context = MigrationContext.configure(connection)
        found = compare_metadata(context, tables.metadata)
    assert [one for one in found if "alembic_version" not in str(one)] == []
