# One process, no root, nothing written but /data: see compose.yaml for how to run it.
# To pin the base by digest too: --build-arg BASE=python:3.11.14-slim-bookworm@sha256:...
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
COPY requirements.lock /src/
RUN python3 -m venv /opt/webinar \
    && /opt/webinar/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md /src/
COPY scheduler /src/scheduler
# The build tools have done their work by then. Nobody installs anything into a running container.
RUN /opt/webinar/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --no-build-isolation /src \
    && /opt/webinar/bin/python -m pip uninstall --quiet --yes hatchling editables setuptools pip \
    && echo 'webinar:x:10001:10001:webinar:/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'webinar:x:10001:' >> /etc/group \
    && mkdir /data

# No RUN below: whatever the build steps were given (certificates, pip's settings) leaves no trace here.
FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Webinar scheduler" \
      org.opencontainers.image.description="Writes to every registrant of a webinar at the right time" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"

COPY --from=build /etc/passwd /etc/group /etc/
COPY --from=build /opt/webinar /opt/webinar
COPY --from=build --chown=10001:10001 /data /data
COPY container/healthcheck.py /opt/webinar/
COPY config /config
COPY templates /templates

# PYTHONTZPATH: no library finds the system's time zones; all there is comes from requirements.lock.
# DATABASE_URL stays unset, so that DATABASE_URL_FILE can be given: its default is /data/webinar.db from here.
ENV PATH=/opt/webinar/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONTZPATH="" \
    CONFIG_DIR=/config \
    TEMPLATES_DIR=/templates \
    STATE_DIR=/data \
    HEALTH_HOST=0.0.0.0 \
    HEALTH_PORT=8080
WORKDIR /
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "/opt/webinar/healthcheck.py"]
ENTRYPOINT ["webinar"]
CMD ["run"]
