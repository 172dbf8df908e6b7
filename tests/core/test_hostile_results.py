"""A result that claims another shape, or answers no request, is refused before it is decrypted.

The attack that this ends (tests/core/reaction.py) is first shown to work on the client of before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhe_core.container import (
    ContainerError,
    Corrupt,
    KeyMismatch,
    ParameterMismatch,
    WrongKind,
)
from fhe_core.container.reader import Reader
from fhe_core.formats.ciphertexts import Bundle, head_of, load_bundle, save_bundle
from fhe_core.formats.heads import Head, ItemHead
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import Parameters
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, normalisation_of
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Score
from fhe_face.client.embedding import RETRIES
from fhe_face.client.ledger import AnswerLimitError, MemoryLedger
from fhe_face.client.requests import Asked, RequestMismatch
from fhe_face.engine import Engine, compile_engine
from fhe_face.models.synthetic import random_fused
from fhe_face.places import SCORE, Packing, Run, describe, numbered
from fhe_face.shapes import RESULT_FACTS, ShapeMismatch, items_of
from tests.core import tiny
from tests.core.reaction import Attack, believing_client

NORM = 50.0
COUNT = 3


@dataclass(frozen=True)
class Fields:
    """A client with keys for batches of eight, an honest result, and an attack on the client."""

    engine: Engine
    key: SecretKey
    base: FaceClient
    honest: Bundle
    attack: Attack

    def client(self) -> FaceClient:
        """With a ledger of its own."""
        client = copy(self.base)
        client.ledger = MemoryLedger(1 << 30)
        return client

    def token(self, count: int, kind: str = "batch", plan: str | None = None) -> str:
        asked = Asked(kind, count, plan or self.engine.batch.plan.digest, None)
        return self.client().expected.requests.issue(asked)


@pytest.fixture(scope="module")
def fields() -> Fields:
    parameters = tiny.load(tiny.TINY.name)
    engine = tiny.engine_for(random_fused(0), parameters, Packing)
    key = SecretKey.generate(parameters)
    (run,) = numbered([(Packing.BATCH, COUNT)])
    items_ = items_of(engine, SCORE, run)
    client = FaceClient(key, engine)
    asked = Asked("batch", COUNT, engine.batch.plan.digest, None)
    tokens = [client.expected.requests.issue(asked) for _ in range(2)]
    facts = {
        **{name: engine.batch.plan.metadata[name] for name in RESULT_FACTS},
        "runs": describe([run]),
        "weights": "0" * 32,
        "requests": tokens,
    }
    values = [0.1, NORM, NORM]
    items = {
        item.name: key.encrypt(np.full(parameters.slots, value), item.scale)[0].drop_to(
            item.level, parameters
        )
        for item, value in zip(items_, values, strict=True)
    }
    honest = Bundle("score", parameters, key.key_id, items, facts, {})
    attack = Attack(parameters, key.key_id, tiny.ROOT, facts, items_, NORM)
    return Fields(engine, key, client, honest, attack)


def refuse(fields: Fields, bundle: Bundle) -> ContainerError:
    """The new client's refusal, before it counted or decrypted anything."""
    client = fields.client()
    with pytest.raises(ContainerError) as caught:
        client.decrypt(bundle)
    assert isinstance(client.ledger, MemoryLedger)
    assert client.ledger.answers == 0
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return caught.value


# --- the attack -----------------------------------------------------------------------------------


def test_decisions_of_the_believing_client_are_the_key(fields: Fields) -> None:
    """Five crafted files: without this test, nobody would know whether the others test anything."""
    attack = replace(fields.attack)
    guess = attack.run(believing_client(fields.key, tiny.ROOT))
    assert attack.files == 5
    assert np.array_equal(guess, fields.key.secret_coefficients())


def test_the_client_refuses_the_attack(fields: Fields) -> None:
    crafted = fields.attack.craft(np.zeros(fields.key.parameters.slots), 1e-4)
    assert isinstance(refuse(fields, crafted), ShapeMismatch)


def test_an_honest_result_is_decrypted(fields: Fields) -> None:
    client = fields.client()
    scores = client.decrypt(fields.honest)
    assert len(scores) == COUNT
    assert all(isinstance(score, Score) for score in scores)
    assert isinstance(client.ledger, MemoryLedger)
    assert client.ledger.answers == COUNT


# --- one field at a time --------------------------------------------------------------------------


def with_facts(bundle: Bundle, **facts: Any) -> Bundle:
    return replace(bundle, facts={**bundle.facts, **facts})


def with_batch(bundle: Bundle, **changes: Any) -> Bundle:
    return with_facts(bundle, runs=[[changes.get("packing", "batch"), changes.get("count", COUNT)]])


def with_item(bundle: Bundle, position: int, **changes: Any) -> Bundle:
    items = dict(bundle.items)
    name = list(items)[position]
    items[name] = replace(items[name], **changes)
    return replace(bundle, items=items)


def counted(bundle: Bundle, count: int) -> Bundle:
    """Another number of faces, and ciphertexts that are called as theirs."""
    label = f"faces 1-{count} "
    items = {label + name.removeprefix("faces 1-3 "): c for name, c in bundle.items.items()}
    return replace(with_batch(bundle, count=count), items=items)


def renamed(bundle: Bundle) -> Bundle:
    items = {name.replace("score", "half 1 score"): c for name, c in bundle.items.items()}
    return replace(bundle, items=items)


def in_order(bundle: Bundle, *positions: int) -> Bundle:
    pairs = list(bundle.items.items())
    return replace(bundle, items=dict(pairs[i] for i in positions))


def dropped(bundle: Bundle) -> Bundle:
    """One limb less, as a drop of a level gives."""
    name, item = list(bundle.items.items())[1]
    lower = item.drop_to(item.level - 1, bundle.parameters)
    return replace(bundle, items={**bundle.items, name: lower})


def in_other_parameters(bundle: Bundle) -> Bundle:
    return replace(bundle, parameters=tiny.load(tiny.SHORT.name))


WIDE = Normalisation(tiny.ROOT.chebyshev, (1e-3, 1e9)).describe()
CRAFTED: list[tuple[str, Callable[[Bundle], Bundle], type[ContainerError], str]] = [
    ("count", lambda b: with_batch(b, count=COUNT + 1), ShapeMismatch, "expected 3 ciphertexts"),
    ("same names", lambda b: counted(b, COUNT + 1), RequestMismatch, "for 4 faces"),
    ("fewer", lambda b: counted(b, 1), RequestMismatch, "for one face"),
    ("no faces", lambda b: with_batch(b, count=0), Corrupt, "no room"),
    ("too many", lambda b: with_batch(b, count=9), Corrupt, "no room"),
    ("true", lambda b: with_batch(b, count=True), Corrupt, "how its faces are packed"),
    ("packing", lambda b: with_batch(b, packing="alone", count=1), ShapeMismatch, "expected 3"),
    ("no runs", lambda b: with_facts(b, runs=None), ShapeMismatch, "how its faces are packed"),
    ("length", lambda b: with_facts(b, embedding=1), ShapeMismatch, "embedding is 1, expected 16"),
    ("longer", lambda b: with_facts(b, embedding=128), ShapeMismatch, "expected 16"),
    ("text", lambda b: with_facts(b, embedding="16"), ShapeMismatch, "expected 16"),
    ("limbs", dropped, ShapeMismatch, "expected level 1"),
    ("scale", lambda b: with_item(b, 0, scale=2.0**20), ShapeMismatch, "level 0 at scale"),
    ("no scale", lambda b: with_item(b, 0, scale=math.nan), ShapeMismatch, "scale nan"),
    ("endless scale", lambda b: with_item(b, 0, scale=math.inf), ShapeMismatch, "scale inf"),
    ("fine scale", lambda b: with_item(b, 1, scale=2.0**45), ShapeMismatch, "level 1 at scale"),
    ("name", renamed, ShapeMismatch, "expected 3 ciphertexts"),
    ("number", lambda b: in_order(b, 0, 1), ShapeMismatch, "holds 2 ciphertexts"),
    ("parameters", in_other_parameters, ParameterMismatch, "insecure-short"),
    ("interval", lambda b: with_facts(b, normalisation=WIDE), ParameterMismatch, "in another way"),
    ("no root", lambda b: with_facts(b, normalisation=3), Corrupt, "which normalisation"),
    ("kind", lambda b: replace(b, what="image"), WrongKind, "encrypted embeddings or scores"),
    ("key", lambda b: replace(b, key_id="00" * 16), KeyMismatch, "belongs to key 00000000"),
    ("prepared", lambda b: with_facts(b, preparation={"size": 64}), RequestMismatch, "no request"),
    ("no token", lambda b: with_facts(b, requests=None), Corrupt, "carries no request token"),
    ("tokens", lambda b: with_facts(b, requests=[]), Corrupt, "malformed, expected 2"),
    ("a number", lambda b: with_facts(b, requests=[1, 2]), Corrupt, "malformed, expected 2"),
    ("one", lambda b: with_facts(b, requests=b.facts["requests"][:1]), Corrupt, "expected 2"),
    ("forged", lambda b: with_facts(b, requests=["0" * 96] * 2), RequestMismatch, "no request"),
]


@pytest.mark.parametrize(
    ("change", "error", "message"), [c[1:] for c in CRAFTED], ids=[c[0] for c in CRAFTED]
)
def test_every_field_that_a_server_could_choose(
    fields: Fields,
    change: Callable[[Bundle], Bundle],
    error: type[ContainerError],
    message: str,
    tmp_path: Path,
) -> None:
    crafted = change(fields.honest)
    refusal = refuse(fields, crafted)
    assert isinstance(refusal, error)
    assert message in str(refusal)
    # The same from a file's header, before a ciphertext is read.
    if crafted.parameters is not fields.honest.parameters:
        return  # its ciphertexts have another ring dimension, which saving would not survive
    if not all(math.isfinite(item.scale) for item in crafted.items.values()):
        return  # such a file is malformed (tests/core/test_store.py)
    file = tmp_path / "crafted.ct"
    save_bundle(file, crafted)
    with pytest.raises(ContainerError) as caught:
        load_bundle(file, load=tiny.load, admit=fields.client().expected.admission())
    assert isinstance(caught.value, error)
    assert str(file) in str(caught.value)


def test_a_token_is_for_its_count_plan_kind_and_key(fields: Fields) -> None:
    good = fields.token(COUNT)
    stranger = FaceClient(SecretKey.generate(fields.key.parameters), fields.engine)
    asked = Asked("batch", COUNT, fields.engine.batch.plan.digest, None)
    bad = [
        fields.token(COUNT + 1),
        fields.token(COUNT, kind="alone"),
        fields.token(COUNT, plan="0" * 64),
        stranger.expected.requests.issue(asked),
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        ("0" if good[0] != "0" else "1") + good[1:],
    ]
    fields.client().decrypt(with_facts(fields.honest, requests=[good, good]))
    for token in bad:
        for tokens in ([token, good], [good, token]):
            refusal = refuse(fields, with_facts(fields.honest, requests=tokens))
            assert isinstance(refusal, RequestMismatch)


def test_a_result_of_another_request_is_refused(fields: Fields) -> None:
    """An honest mix-up, or a replay: the token is good, the request is another one."""
    left, right, other = (
        Bundle("image", fields.key.parameters, fields.key.key_id, {}, facts, {})
        for facts in (
            {"requests": [token]} for token in (*fields.honest.facts["requests"], fields.token(3))
        )
    )
    client = fields.client()
    client.decrypt(fields.honest, [left, right])
    for sent in ([left, other], [other, right], [right, left]):
        with pytest.raises(RequestMismatch, match="not the one that was sent"):
            client.decrypt(fields.honest, sent)
    with pytest.raises(RequestMismatch, match=r"answers 2 request\(s\), and 1 were named"):
        client.decrypt(fields.honest, [left])


def singles(fields: Fields, what: str, faces: int, tokens: list[str]) -> Bundle:
    """Results of faces that were computed alone, of these requests."""
    runs = numbered([(Packing.ALONE, 1)] * faces)
    plan = fields.engine.compiled.plan
    heads_ = [item for run in runs for item in items_of(fields.engine, what, run)]
    slots = np.full(fields.key.parameters.slots, NORM)
    items = {
        item.name: fields.key.encrypt(slots, item.scale)[0].drop_to(
            item.level, fields.key.parameters
        )
        for item in heads_
    }
    facts = {
        **{name: plan.metadata[name] for name in RESULT_FACTS},
        "runs": describe(runs),
        "requests": tokens,
    }
    return replace(fields.honest, what=what, items=items, facts=facts)


def test_one_request_is_answered_once(fields: Fields) -> None:
    """Otherwise a server that saw one face chooses how many faces there are: 256 in a file."""
    plan = fields.engine.compiled.plan.digest
    a, b, c = (fields.token(1, "alone", plan) for _ in range(3))
    for what, faces, tokens in (
        ("embedding", 2, [a, a]),
        ("embedding", 16, [a, b] * 8),
        ("score", 2, [a, b, a, b]),
        ("score", 3, [a, a, b, b, a, a]),
    ):
        refusal = refuse(fields, singles(fields, what, faces, tokens))
        assert isinstance(refusal, RequestMismatch)
        assert "answers one request more than once" in str(refusal)
    for what, faces, tokens in (
        ("embedding", 2, [a, b]),
        ("score", 2, [a, b, a, c]),  # one face compared with several
        ("score", 3, [a, a, a, b, b, a]),
    ):
        assert len(fields.client().decrypt(singles(fields, what, faces, tokens))) == faces


def test_runs_of_another_packing_than_was_asked_for(fields: Fields) -> None:
    """A token of a face alone is not one of a batch, and the other way round, in any run."""
    engine = fields.engine
    alone = fields.token(1, "alone", engine.compiled.plan.digest)
    lone_batch, batch = fields.token(1), fields.token(COUNT)
    honest = singles(fields, "embedding", 2, [alone, fields.token(1, "alone", "0" * 64)])
    assert isinstance(refuse(fields, honest), RequestMismatch)
    for token in (lone_batch, batch):
        crafted = singles(fields, "embedding", 2, [alone, token])
        assert isinstance(refuse(fields, crafted), RequestMismatch)
    # A batch of three, claimed for two requests of single faces, and for one of them twice.
    for tokens in ([alone, alone], [lone_batch, batch], [alone, lone_batch]):
        refusal = refuse(fields, with_facts(fields.honest, requests=tokens))
        assert isinstance(refusal, RequestMismatch)


def test_one_face_against_a_batch_only_where_one_plan_compares_them(fields: Fields) -> None:
    """Elsewhere a server that follows the plans refuses it, and so does the client."""
    engine = fields.engine
    assert not engine.alike([Packing.ALONE, Packing.BATCH])
    alone, batch = fields.token(1, "alone", engine.compiled.plan.digest), fields.token(COUNT)
    crafted = with_facts(fields.honest, requests=[alone, batch])
    assert isinstance(refuse(fields, crafted), RequestMismatch)
    assert isinstance(refuse(fields, with_facts(crafted, requests=[batch, alone])), RequestMismatch)
    same = compile_engine(Circuit("lean", normalisation_of(None)), Packing)
    assert same.alike([Packing.ALONE, Packing.BATCH])


def test_scores_are_no_answer_to_faces(fields: Fields) -> None:
    """Two faces were sent; a score of both carries their tokens, in order."""
    plan = fields.engine.compiled.plan.digest
    tokens = [fields.token(1, "alone", plan) for _ in range(2)]
    sent = replace(fields.honest, what="image", items={}, facts={"requests": tokens})
    score = singles(fields, "score", 1, tokens)
    client = fields.client()
    with pytest.raises(RequestMismatch, match=r"in 1 file\(s\); it takes 2"):
        client.decrypt(score, [sent])
    embeddings = singles(fields, "embedding", 2, tokens)
    halves = [replace(sent, facts={"requests": [token]}) for token in tokens]
    with pytest.raises(RequestMismatch, match=r"in 2 file\(s\); it takes 1"):
        client.decrypt(embeddings, halves)
    assert isinstance(client.ledger, MemoryLedger)
    assert client.ledger.answers == 0
    assert len(client.decrypt(embeddings, [sent])) == 2


def test_fewer_scores_than_were_asked_for(fields: Fields) -> None:
    """Bundles of two and of three faces have no scores face by face."""
    plan = fields.engine.compiled.plan.digest
    tokens = [fields.token(1, "alone", plan) for _ in range(5)]
    left, right = (
        replace(fields.honest, what="image", items={}, facts={"requests": some})
        for some in (tokens[:2], tokens[2:])
    )
    crafted = singles(fields, "score", 2, [tokens[0], tokens[2], tokens[1], tokens[3]])
    with pytest.raises(RequestMismatch, match="5 were named as sent"):
        fields.client().decrypt(crafted, [left, right])


def test_a_server_that_refuses_every_face_ends_the_rounds(fields: Fields) -> None:
    """So many answers a face as there are contrasts, each counted; after that, its refusal."""
    client, rounds = fields.client(), 0

    class Refusing:
        def embed(self, images: Bundle) -> Bundle:
            nonlocal rounds
            rounds += 1
            runs = images.facts["runs"]
            assert all(packing != "batch" for packing, _ in runs)
            faces = sum(count for _, count in runs)
            answer = singles(fields, "embedding", faces, images.facts["requests"])
            how = {"runs": runs, "preparation": images.facts["preparation"]}
            return with_facts(answer, **how)

    faces = tiny.faces(tiny.images_for(random_fused(0), 2))
    found = client.embed(faces, Refusing())
    assert found.refused == [0, 1]
    assert rounds == len(found.rounds) <= 1 + RETRIES
    assert isinstance(client.ledger, MemoryLedger)
    assert client.ledger.answers == sum(one.faces for one in found.rounds)
    limited = copy(client)
    limited.ledger = MemoryLedger(1)
    with pytest.raises(AnswerLimitError):
        limited.embed(faces, Refusing())


def test_the_digest_of_a_plan_is_made_once(fields: Fields, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header may name 256 runs: each is compared with the plan, which is not hashed again."""
    plan = fields.engine.compiled.plan
    digest = plan.digest
    monkeypatch.setattr(type(plan), "to_json", lambda _: pytest.fail("hashed again"))
    tokens = [fields.token(1, "alone", digest) for _ in range(8)]
    assert len(fields.client().decrypt(singles(fields, "embedding", 8, tokens))) == 8


def test_a_large_file_is_refused_before_it_is_read(
    fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = fields.key.parameters
    full = fields.key.encrypt(np.zeros(parameters.slots), 2.0**43)[0]
    many = replace(fields.honest, items={f"item {i}": full for i in range(64)})
    file = tmp_path / "large.ct"
    save_bundle(file, many)

    def read(*_arguments: Any, **_more: Any) -> None:
        raise AssertionError("a section was read")

    monkeypatch.setattr(Reader, "array", read)
    monkeypatch.setattr(Reader, "verify", read)
    with pytest.raises(ShapeMismatch, match="holds 64 ciphertexts"):
        load_bundle(file, load=tiny.load, admit=fields.client().expected.admission())


# --- any header -----------------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers(-3, 2048) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["batch", "alone", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
SEARCH = settings(max_examples=150, deadline=None, derandomize=True)


@st.composite
def heads(draw: st.DrawFn, honest: Head, other: Parameters) -> Head:
    """The honest head with any of its fields changed."""
    facts = dict(honest.facts)
    for name in draw(st.sets(st.sampled_from(sorted(facts)), max_size=2)):
        if draw(st.booleans()) and name == "runs":
            facts[name] = [[draw(st.sampled_from(["batch", "alone", "pair"])), draw(LEAVES)]]
        elif draw(st.booleans()):
            facts[name] = draw(VALUES)
        else:
            del facts[name]
    items = list(honest.items)
    for position in draw(st.sets(st.integers(0, len(items) - 1), max_size=1)):
        items[position] = ItemHead(
            draw(st.sampled_from([items[position].name, "score", ""])),
            draw(st.sampled_from([items[position].level, 0, 2])),
            draw(st.sampled_from([items[position].scale, 1.0, 2.0**60])),
        )
    items = items[: draw(st.sampled_from([len(items), len(items), 1, 0]))]
    return replace(
        honest,
        facts=facts,
        items=tuple(items),
        what=draw(st.sampled_from([honest.what, honest.what, "embedding", "image"])),
        key_id=draw(st.sampled_from([honest.key_id, honest.key_id, "00" * 16])),
        parameters=draw(st.sampled_from([honest.parameters, honest.parameters, other])),
    )


@SEARCH
@given(data=st.data())
def test_whatever_is_accepted_has_the_honest_shape(fields: Fields, data: st.DataObject) -> None:
    honest = head_of(fields.honest)
    expected = fields.client().expected
    wanted = expected.require(honest)
    head = data.draw(heads(honest, tiny.load(tiny.SHORT.name)))
    try:
        found: tuple[Run, ...] | None = expected.require(head)
    except ContainerError:
        found = None
    touched = ("what", "key_id", "parameters", "items")
    same = all(getattr(head, name) == getattr(honest, name) for name in touched)
    free = {"weights"}  # nobody reads it on the client's side
    same = same and all(
        head.facts.get(n) == honest.facts.get(n) and type(head.facts.get(n)) is type(v)
        for n, v in honest.facts.items()
        if n not in free
    )
    if found is not None:
        assert found == wanted
        assert [getattr(head, name) for name in touched] == [
            getattr(honest, name) for name in touched
        ]
        for name in honest.facts.keys() - free - {"batch"}:
            assert head.facts[name] == honest.facts[name]
    else:
        assert not same


def test_two_single_requests_are_none_for_a_batch(
    fields: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One face may be compared with a batch; the number of faces comes from the batch's token."""
    monkeypatch.setattr(Engine, "alike", lambda *_: True)  # as with the presets that keys are for
    alone = fields.token(1, kind="alone", plan=fields.engine.compiled.plan.digest)
    batch = fields.honest.facts["requests"][0]
    for tokens in ([alone, batch], [batch, alone]):
        assert len(fields.client().decrypt(with_facts(fields.honest, requests=tokens))) == COUNT
    refusal = refuse(fields, with_facts(fields.honest, requests=[alone, alone]))
    assert isinstance(refusal, RequestMismatch)
