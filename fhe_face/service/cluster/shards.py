"""The searcher of a node: those blocks of galleries that the worker gave to this node."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fhe_core.formats.matching import load_gallery_keys, probe_from_bytes
from fhe_core.matching import Matcher, MatchParameters
from fhe_face.keyfile import evaluation_key_of
from fhe_face.server.blocks import Blocks, Words
from fhe_face.service.cluster.messages import NodeSettings, failed, named, settings_from
from fhe_face.service.cluster.reaching import AUTH_MODE, require_guarded
from fhe_face.service.folders import within
from fhe_face.service.jobs.confining import confine
from fhe_face.service.jobs.lane import log
from fhe_face.store.blocks import BlockFiles
from fhe_face.store.opening import BLOCKS
from fhe_face.system import default_threads

#: Parts the answer's JSON from the words.
_LINE = b"\n"


@dataclass
class SearchNode:
    """Galleries by folder and key, the longest unused leaves first; one search at a time.

    mode: whether Ray asks for a token here; without one nothing is searched.
    """

    folder: Path
    parameters: MatchParameters
    threads: int
    memory: int
    mode: str
    _galleries: OrderedDict[tuple[str, str], Blocks] = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, settings: NodeSettings) -> SearchNode:
        """Made of what the worker says; no block is read yet."""
        threads = settings.threads or default_threads()
        mode, ring = os.environ.get(AUTH_MODE, ""), named(settings.ring)()
        return cls(Path(settings.folder), ring, threads, settings.blocks, mode)

    def search(self, request: str, probe: bytes) -> bytes:
        """Words of all blocks that are asked for and can be read, of dead positions, too.

        request: JSON with "gallery" (its folder), "key_id", "blocks" (digests). The answer is one
        line of JSON, with "names" and "damaged", or "failed"; then u8 [names, 2, N, bytes].
        """
        try:
            require_guarded(self.mode)
            return self._search(json.loads(request), probe)
        except Exception as error:
            log("search failed", {"error": type(error).__name__})
            return json.dumps({"failed": failed(error)}).encode() + _LINE

    def _search(self, asked: dict[str, object], probe: bytes) -> bytes:
        order = [str(name) for name in asked["blocks"]]  # type: ignore[attr-defined]
        blocks = self._gallery(str(asked["gallery"]), str(asked["key_id"]))
        blocks.keep(order)
        own = blocks.matcher.key_id
        prepared = blocks.prepare(probe_from_bytes(probe, self.parameters, own, "the probe"))
        # The worker knows which positions live, and hides the others.
        every = np.ones(self.parameters.templates, np.bool_)
        names, words = blocks.search(prepared, order, dict.fromkeys(order, every))
        self._make_room()
        answer = {"names": names, "damaged": dict(blocks.damaged)}
        return json.dumps(answer).encode() + _LINE + words.tobytes()

    def _gallery(self, gallery: str, key_id: str) -> Blocks:
        place = within(self.folder, gallery, "a gallery outside the service's folder")
        found = self._galleries.get((gallery, key_id))
        if found is None:
            keys = load_gallery_keys(evaluation_key_of(place, key_id), self.parameters, key_id)
            matcher = Matcher(self.parameters, keys, self.threads)
            found = Blocks(matcher, BlockFiles(place / BLOCKS).read, self.memory)
            self._galleries[gallery, key_id] = found
        self._galleries.move_to_end((gallery, key_id))
        return found

    def _make_room(self) -> None:
        while len(self._galleries) > 1 and self.memory_bytes > self.memory:
            self._galleries.popitem(last=False)

    @property
    def memory_bytes(self) -> int:
        """Of all blocks."""
        return sum(blocks.memory_bytes for blocks in self._galleries.values())


def split(answer: bytes, parameters: MatchParameters) -> tuple[dict[str, object], Words]:
    """A search's answer: what it says, and its words. ValueError: it is none."""
    line, _, rest = answer.partition(_LINE)
    said = json.loads(line)
    shape = (len(said.get("names", ())), 2, parameters.templates, parameters.result_bytes)
    return said, np.frombuffer(rest, np.uint8).reshape(shape)


class SearchActor:
    """`SearchNode` as Ray's process runs it."""

    def __init__(self, settings: str) -> None:
        confine()
        self._node = SearchNode.of(settings_from(settings))

    def search(self, request: str, probe: bytes) -> bytes:
        """See `SearchNode`."""
        return self._node.search(request, probe)
