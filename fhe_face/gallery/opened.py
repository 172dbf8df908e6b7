"""The parts of an open gallery, which everything else in this room works with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from fhe_core.formats.ciphertexts import ParameterLoader
from fhe_core.formats.matching import block_from_bytes
from fhe_core.matching import MatchParameters
from fhe_core.parameters import presets
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_face.gallery.errors import Busy, RecordError
from fhe_face.gallery.facts import Facts
from fhe_face.gallery.folders import Folder
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.stored import GalleryStore
from fhe_face.gallery.vault import Vault
from fhe_face.models.templates import Array, centred, mean_template
from fhe_face.store import Conflict, StoredTemplate

#: How often a change is tried that others' changes undo.
ATTEMPTS = 20


@dataclass
class Opened:
    """A store, and the key that opens what lies in it.

    threads: that may compute at a time. engines: finds parameters of engines; tests have their own.
    """

    folder: Folder
    store: GalleryStore
    key: SecretKey = field(repr=False)
    parameters: MatchParameters
    facts: Facts
    threads: int = 1
    engines: ParameterLoader = presets.load

    def __post_init__(self) -> None:
        self.vault = Vault(self.key, self.facts, self.parameters.features)
        self._settings: tuple[int, Settings] | None = None

    @property
    def settings(self) -> Settings:
        """As they are now; opened again only where something has changed.

        Raises:
            RecordError: they cannot be opened.
        """
        version = self.store.state().version
        if self._settings is None or self._settings[0] != version:
            sealed = self.store.settings
            self._settings = version, Settings.from_bytes(self.vault.open_settings(sealed))
        return self._settings[1]

    @property
    def sealer(self) -> Sealer:
        """As everything in the gallery is sealed now."""
        return self.sealer_for(self.settings)

    def sealer_for(self, settings: Settings) -> Sealer:
        """As everything is sealed by these settings."""
        return Sealer(self.key, self.parameters, settings.crossing is not None)

    def save_settings(self, **changes: object) -> None:
        """Change some of the settings, whatever others change meanwhile.

        Raises:
            Busy: others changed them all the time.
        """
        for _ in range(ATTEMPTS):
            version = self.store.state().version
            settings: Settings = replace(self.settings, **changes)  # type: ignore[arg-type]
            sealed = self.vault.seal_settings(settings.to_bytes())
            try:
                self.store.replace_blocks(version, [], [], settings=sealed)
                return
            except Conflict:
                continue
        raise busy()

    def block(self, digest: str) -> Array:
        """The templates (N, F) of a block, opened.

        Raises:
            DamagedBlock, ContainerError: it cannot be read, or is no block of this gallery.
        """
        data = self.store.read_block(digest)
        named = f"block {digest[:12]}"
        block = block_from_bytes(data, self.parameters, self.key.key_id, named)
        return self.sealer.open_block(block)

    def embeddings(self, owners: Iterable[str]) -> Iterator[tuple[str, Array]]:
        """Owners that have a place or wait for one, each with its weighed embeddings (k, F).

        What is searched is made of these. A record that is damaged is left out, and so is an owner
        without any: `Gallery.check` names them.
        """
        for owner, rows in self.store.templates_of(owners):
            found = [embedding for _, embedding in self.opened(rows)]
            if found:
                yield owner, np.stack(found)

    def opened(self, rows: Iterable[StoredTemplate]) -> Iterator[tuple[str, Array]]:
        """Templates' ids and weighed embeddings (see `weighing`), without damaged ones."""
        for row in rows:
            with suppress(RecordError):
                yield row.id, self.vault.open_record(row.id, row.record)

    def vectors(self, owners: Iterable[str], settings: Settings) -> dict[str, Array]:
        """What is sealed for each owner: the centred mean of its weighed embeddings."""
        return {
            owner: centred(mean_template(own), settings.centre)
            for owner, own in self.embeddings(owners)
        }


def busy() -> Busy:
    """Others change the gallery all the time."""
    return Busy("the gallery is being changed by others all the time; try again")
