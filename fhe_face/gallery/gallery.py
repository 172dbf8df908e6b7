"""A gallery in one object: people enrolled from photos, and found again on others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from fhe_core.matching import MatchParameters
from fhe_face.gallery.calibrating import calibrate_gallery
from fhe_face.gallery.calibration import CENTRE_FROM, Calibrated
from fhe_face.gallery.checking import Finding
from fhe_face.gallery.creating import Model, create_gallery, preparation_of
from fhe_face.gallery.decisions import Decision
from fhe_face.gallery.embedders import Embedder
from fhe_face.gallery.enrolment import Enroller
from fhe_face.gallery.export import Exported, Kind
from fhe_face.gallery.faces import FaceReader
from fhe_face.gallery.facts import Mode
from fhe_face.gallery.photos import Person, find_items, with_template
from fhe_face.gallery.rebuilding import Rebuilder, Rebuilt
from fhe_face.gallery.rekeying import FolderKeys, NewKeys, rekey
from fhe_face.gallery.report import Enrolment, Progress
from fhe_face.gallery.resealing import Compacted, compact
from fhe_face.gallery.saving import restore
from fhe_face.gallery.sealing import seal_pending
from fhe_face.gallery.searchable import SearchableGallery
from fhe_face.gallery.server_only import ServerOnly
from fhe_face.gallery.subjects import SubjectInfo
from fhe_face.models.faces import Preparation
from fhe_face.progress import Stage, silent
from fhe_face.store import StoredTemplate


class Gallery(SearchableGallery):
    """Holds the gallery's secret key. What it says must not be shared as it is (docs/security.md).

    Use it in a ``with`` block, or `close` it. One object serves one thread; several objects, also
    in several processes, may use one gallery at once.
    """

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        *,
        embedder: Embedder | None = None,
        names: bool = False,
        template: str = "mean",
        flip: bool = False,
        preparation: Preparation | str = "aligned",
        thresholds: tuple[float, float] | None = None,
        url: str | None = None,
        passphrase: bytes | None = None,
        threads: int | None = None,
        parameters: MatchParameters | None = None,
    ) -> Gallery:
        """A new gallery, opened. ``client/`` in the folder stays here, ``server/`` may be anywhere.

        weights: a file, "official" or "bundled" (None as well): what faces are embedded with, and
        whose thresholds count until `calibrate`. embedder: what embeds, with those weights, or with
        none that this machine has: then thresholds are to be given or calibrated.
        names: whether names of people are kept (sealed); without, a name still finds its subject.
        template: "mean" (one mean of a person's photos) or "each". flip: embed the mirror image as
        well. preparation: "aligned", "as-given" for crops from elsewhere, or exactly like that.
        thresholds: (unknown below, match from). url: of a PostgreSQL database; default: a file.
        passphrase: protects gallery.key. parameters: of the ring; for tests.

        Raises:
            FileError: the folder is not empty, or cannot be written. Nothing is left then.
            CheckpointError, WeightsError, DetectorError: weights or detector cannot be used.
            GalleryError, StoreError: what was asked for cannot be.
        """
        model = Model.of(weights, embedder, flip)
        create_gallery(
            folder,
            model,
            preparation_of(preparation, model),
            Mode.of(template),
            names,
            None if thresholds is None else Decision(thresholds[1], thresholds[0]),
            url,
            passphrase,
            parameters,
            threads,
        )
        return cls.open(
            folder,
            passphrase=passphrase,
            embedder=embedder,
            threads=threads,
            parameters=parameters,
        )

    # --- enrolling --------------------------------------------------------------------------------

    def enroll(
        self,
        source: Any,
        *,
        subject: str | None = None,
        subject_id: str | None = None,
        template_id: str | None = None,
        embedder: Embedder | None = None,
        again: bool = False,
        progress: Callable[[Progress], None] | None = None,
        report: Enrolment | None = None,
        stage: Stage = silent,
    ) -> Enrolment:
        """Enrol photos: FOLDER/person/photo, a folder, a file, a picture, or a list of them.

        Folders in a folder are people; other photos are the `subject`'s, or else each of their
        faces is a subject of its own. subject: a name; subject_id: an id of your own; template_id:
        one for the largest face of the only photo. A photo is known by its content: a second run
        embeds only what is new. again: refused ones, too.
        report: what is filled while it goes on, for whoever interrupts it; default: a new one.

        What cannot be enrolled is listed with reasons. What was done before an interruption stays.

        Raises:
            OtherModel: the embedder has other weights than the gallery.
            FileError: the folder cannot be read, or has no picture.
            StoreError, Busy: the gallery cannot be written.
        """
        given = subject is not None or subject_id is not None
        found = find_items(source, Person(subject, subject_id) if given else None)
        items = found.items if template_id is None else with_template(found.items, template_id)
        chosen = embedder or self.embedder
        live = report if report is not None else Enrolment()
        live.remarks += found.remarks
        reader, people = self.finder.reader, self.people
        Enroller(self.opened, people, reader, chosen, again, progress, live).run(items)
        live.sealed = self.seal(stage)
        return live

    @property
    def server_only(self) -> ServerOnly:
        """What its owner does where a server enrols and searches by itself."""
        ledger = self._counted.ledger
        return ServerOnly(self.opened, self.people, self.finder, ledger, self.seal)

    # --- people and templates ---------------------------------------------------------------------

    def subjects(self, include_deleted: bool = False) -> Iterator[SubjectInfo]:
        """Everybody, in the order of enrolment."""
        return map(self.people.info, self.opened.store.subjects(include_deleted))

    def subject(self, given: str) -> SubjectInfo:
        """Somebody, by id or name. UnknownSubject: there is none."""
        return self.people.info(self.people.find(given))

    def templates(self, subject: str, include_deleted: bool = False) -> list[StoredTemplate]:
        """A subject's templates. UnknownSubject: there is no such subject."""
        row = self.people.find(subject)
        return list(self.opened.store.templates(row.id, include_deleted))

    def find_templates(self, text: str) -> list[str]:
        """Ids of templates by an id, the unique beginning of one, or a photo that was enrolled.

        Raises:
            UnknownSubject: there is none, or several begin so.
        """
        return self.people.find_templates(text)

    def move(self, templates: Iterable[str], subject: str) -> None:
        """Give templates to another subject, who is made where nobody has that name."""
        self.upkeep.move(templates, subject)
        self.seal()

    def rename(self, subject: str, name: str) -> None:
        """Change a subject's name; the id stays, and old name and new find it.

        Raises:
            GalleryError: the gallery keeps no names, or somebody else is called so.
        """
        self.upkeep.rename(subject, name)
        self.seal()

    def merge(self, subjects: Sequence[str], into: str) -> None:
        """Make one subject of several; whoever asks for the others finds that one."""
        self.upkeep.merge(subjects, into)
        self.seal()

    def delete(self, subjects: Sequence[str] = (), *, templates: Sequence[str] = ()) -> int:
        """Delete at once, how many; no search finds them from now on. `compact` removes them."""
        count = self.upkeep.delete(subjects, templates)
        self.seal()
        return count

    def undelete(self, subjects: Sequence[str] = (), *, templates: Sequence[str] = ()) -> int:
        """Bring back what was deleted and not compacted; how many."""
        count = self.upkeep.undelete(subjects, templates)
        self.seal()
        return count

    # --- the whole gallery ------------------------------------------------------------------------

    def seal(self, stage: Stage = silent) -> int:
        """Seal whoever waits; every change does so at its end. How many they were."""
        return seal_pending(self.opened, stage)

    def compact(self, stage: Stage = silent) -> Compacted:
        """Remove for good what is deleted: afterwards no file holds anything of it."""
        return compact(self.opened, stage)

    def calibrate(self, centre_from: int = CENTRE_FROM, stage: Stage = silent) -> Calibrated:
        """Set thresholds by the gallery's own pairs; from so many people on, centre scores.

        Raises:
            CalibrationError: too few pairs; nothing has changed.
        """
        return calibrate_gallery(self.opened, centre_from, stage)

    def check(self, repair: bool = False, stage: Stage = silent) -> list[Finding]:
        """What is wrong; repair: mend what can be, from the records."""
        return self.upkeep.check(repair, stage)

    def export(
        self, folder: str | os.PathLike[str], kind: Kind = "float32", parquet: bool = False
    ) -> Exported:
        """Embeddings in the clear, with an index: see `fhe_face.gallery.export`."""
        return self.upkeep.export(folder, kind, parquet)

    def backup(self, target: str | os.PathLike[str]) -> None:
        """Copy the gallery, with its key, into a new folder, whoever writes meanwhile.

        Raises:
            FileError: the folder is not empty, or cannot be written. Nothing is left then.
            StoreError: the store cannot be copied.
        """
        self.upkeep.backup(target)

    @staticmethod
    def restore(
        backup: str | os.PathLike[str], folder: str | os.PathLike[str], url: str | None = None
    ) -> None:
        """Make a gallery in a new folder from a backup; url: of a PostgreSQL database.

        Raises:
            BackupError: the backup is incomplete or altered. GalleryError: it is none.
            FileError: the folder is not empty, or cannot be written. Nothing is left then.
        """
        restore(backup, folder, url)

    def rekey(self, passphrase: bytes | None = None, stage: Stage = silent) -> Compacted:
        """Seal everything under a new key; ids, names and thresholds stay, answers count anew.

        What was deleted is removed for good, and so is everything under the old key. Copies that
        were made before stay readable with it. passphrase: protects the new key.

        Raises:
            GalleryError: faces that a server enrolled wait under the old key.
            Busy: the gallery is open elsewhere. RecordError: something cannot be opened.
            StoreError, FileError: it cannot be written; then the old key counts still.
        """
        with self._lock.alone():
            self.server_only.require_none_waiting()
            aligner = self.finder.reader.aligner
            opened = rekey(self.opened, passphrase, self._new_keys())
            self._attach(opened, FaceReader(opened.facts, aligner))
            self._count_anew()
            return self.compact(stage)

    def _new_keys(self) -> NewKeys:
        return FolderKeys(self.opened)

    def rebuild(
        self,
        source: Any,
        weights: str | os.PathLike[str] | None = None,
        *,
        embedder: Embedder | None = None,
        flip: bool | None = None,
        preparation: Preparation | str | None = None,
        thresholds: tuple[float, float] | None = None,
        drop: bool = False,
        progress: Callable[[Progress], None] | None = None,
        stage: Stage = silent,
    ) -> Rebuilt:
        """Embed all photos again, for other weights or another preparation; ids and names stay.

        source: photos as `enroll` takes them; those of the gallery are known by their content.
        weights, embedder, flip, preparation: as for `create`; preparation and flip stay where
        they are not given. Thresholds and centre begin anew: calibrate afterwards. drop: give up
        templates whose photo is not there, or refused now. Deleted ones are removed for good.

        Until the end the gallery is as before; a run that was interrupted goes on.

        Raises:
            GalleryError: templates would be lost, or a switching key belongs to the network of
                before; nothing has changed.
            Busy: the gallery is open elsewhere. Others: as `create` and `enroll`.
        """
        self.server_only.require_no_key()
        before = self.facts.preparation
        flips = before.flip if flip is None else flip
        model = Model.of(weights, embedder, flips)
        how = replace(before, size=model.size) if preparation is None else preparation
        after = replace(self.facts, model=model.digest, preparation=preparation_of(how, model))
        decision = model.decision
        if thresholds is not None:
            decision = Decision(thresholds[1], thresholds[0])
        chosen = embedder or model.embedder()
        reader = FaceReader(after, self.finder.reader.aligner_of(model.size))
        with self._lock.alone():
            run = Rebuilder(self.opened, after, chosen, reader, progress)
            found = run.run(find_items(source).items, decision, model.weights, drop)
            self._embedder = chosen
            self._attach(replace(self.opened, facts=after), reader)
            self.compact(stage)
        return found
