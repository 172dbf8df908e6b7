"""The server's part as a service: tokens, tenants, uploads, jobs and galleries over HTTP.

Nothing here can decrypt, and the process that listens loads no evaluation key: what computes runs
in a process of its own (`fhe_face.service.jobs`). Import what is needed from the modules: FastAPI
and SQLAlchemy take a while to load.
"""
