"""From an owner's gallery to what an authority has to know of it."""

from __future__ import annotations

from fhe_face.authority.galleries import Known, Place
from fhe_face.authority.thresholds import Standard
from fhe_face.gallery.gallery import Gallery


def read_gallery(gallery: Gallery, name: str) -> Known:
    """Its blocks, live positions, people and thresholds, as they are now. No template is opened.

    name: that requests will call it by.

    Raises:
        GalleryError: it has no thresholds. Busy: others change it all the time.
    """
    finder = gallery.finder
    decision, subject_of = finder.decision(), finder.subjects_of_templates()
    snapshot = finder.index.snapshot()
    places = tuple(
        Place(
            place.digest,
            place.live,
            place.owners
            if subject_of is None
            else tuple(subject_of.get(owner, "") for owner in place.owners),
        )
        for place in snapshot.places
    )
    crossing = finder.opened.settings.crossing
    return Known(name, finder.opened.key.key_id, places, Standard(decision), crossing)


def unsealed(gallery: Gallery) -> int:
    """How many have no place in a block yet, so that no search finds them."""
    return len(gallery.finder.index.snapshot().pending)
