"""The searching process on the small ring of tests: as `fhe_face.server.standing_search`."""

from fhe_face.server.standing_search import main
from tests.gallery.kit import SMALL

if __name__ == "__main__":
    main(SMALL)
