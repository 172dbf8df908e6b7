# The service in a container that may write to its volume only:
#
#   docker build -t fhe-face .
#   docker run --rm -v faces:/data fhe-face token create --folder /data --tenant office
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     --memory 10g -p 8443:8443 -v faces:/data -v /etc/faces-tls:/tls:ro fhe-face \
#     --folder /data --host 0.0.0.0 --tls-certificate /tls/cert.pem --tls-key /tls/key.pem

FROM python:3.12-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ cmake ninja-build \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN python -m venv /opt/fhe-face \
 && /opt/fhe-face/bin/pip install --no-cache-dir '.[service,postgres]'

FROM python:3.12-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin faces \
 && install -d -o faces -g faces -m 0700 /data
COPY --from=build /opt/fhe-face /opt/fhe-face
# No bytecode is written: the root may be read-only. One arena for each two threads: less memory.
ENV PATH=/opt/fhe-face/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2
USER 10001:10001
VOLUME /data
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-m", "fhe_face.service.probing", "--port", "8443"]
ENTRYPOINT ["fhe-face", "serve"]
CMD ["--folder", "/data", "--host", "127.0.0.1"]
