"""The steps from one schema to the next; Alembic reads the files of `versions`."""
