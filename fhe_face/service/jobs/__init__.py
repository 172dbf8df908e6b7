"""The service's queue and its workers: durable jobs, engines that may die, searches.

A table of jobs on SQLAlchemy rather than a library. DBOS was tried (docs/service.md says more): it
has no lease, so a job whose worker never comes back would wait for ever; its order is fixed when a
job is submitted, so the key that is in memory cannot go first. What is here needs no broker, runs
on SQLite and PostgreSQL, and stores JSON text only.

Nothing here can decrypt: a worker holds evaluation keys, weights and ciphertexts.
"""
