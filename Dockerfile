# The worker's image: `docker build -t syncline .`; every argument is explained in deploy/image.md.
#
# Base images are named by tag: a digest belongs to one registry's copy on one day, so it is given by whoever builds,
# as BASE=docker.io/library/python:3.11-slim-bookworm@sha256:...
ARG BASE=docker.io/library/python:3.11-slim-bookworm


# Dependencies: what changes seldom and weighs nearly everything.
FROM ${BASE} AS dependencies
# `cpu`, `cu130` and so on choose the index that torch comes from; empty takes the one of requirements/run.txt, with CUDA.
ARG TORCH=cpu
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
WORKDIR /build
COPY requirements/uv.txt requirements/run.txt requirements/
RUN python3 -m venv /uv && /uv/bin/pip install --no-cache-dir --quiet --requirement requirements/uv.txt
# Pins name nvidia's packages for the build of torch with CUDA; the one for processors needs none of them.
RUN --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv --without-pip /opt/syncline \
 && if [ "$TORCH" = cpu ]; then grep -vE '^(nvidia|cuda|triton)' requirements/run.txt >pins.txt; \
    else cp requirements/run.txt pins.txt; fi \
 && /uv/bin/uv pip install --quiet --no-deps --python /opt/syncline/bin/python \
      ${TORCH:+--torch-backend=$TORCH} --requirement pins.txt


# The package alone, in the same places, so that a change of code is a layer of less than a megabyte.
FROM dependencies AS package
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY worker worker
RUN --mount=type=cache,target=/root/.cache/uv \
    /uv/bin/uv pip install --quiet --no-deps --python /opt/syncline/bin/python --prefix /package .


# The model: the folder if it holds one, else from the hub, at one commit.
FROM dependencies AS model
ARG MODEL=sentence-transformers/all-MiniLM-L6-v2
ARG MODEL_REVISION=c9745ed1d9f207416be6d2e6f8de32d1f16199bf
ARG MODEL_FOLDER=deploy/image/models/from-hub
COPY ${MODEL_FOLDER}/ /model/
COPY deploy/image/fetch_model.py ./
RUN /opt/syncline/bin/python fetch_model.py /model "$MODEL" "$MODEL_REVISION"


FROM ${BASE}
ARG MODEL=sentence-transformers/all-MiniLM-L6-v2
ARG MODEL_REVISION=c9745ed1d9f207416be6d2e6f8de32d1f16199bf
# A name for the number: libraries ask who they are.
RUN echo 'syncline:x:65532:65532::/tmp:/usr/sbin/nologin' >>/etc/passwd && echo 'syncline:x:65532:' >>/etc/group

COPY --from=dependencies /opt/syncline /opt/syncline
COPY --from=model /model /opt/model
COPY --from=package /package /opt/syncline
COPY deploy/image/healthcheck /opt/syncline/bin/healthcheck

# Only /tmp is written to. The model is the image's, so its name is too: no configuration file can give it another one.
# With `backend: http` nobody loads it, and these three count for nothing.
ENV PATH=/opt/syncline/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SYNCLINE_IMAGE__MODEL=${MODEL} \
    SYNCLINE_IMAGE__REVISION=${MODEL_REVISION} \
    SYNCLINE_IMAGE__PATH=/opt/model
USER 65532:65532
WORKDIR /tmp
EXPOSE 9109
STOPSIGNAL SIGTERM
# For engines without probes of their own; a shell's builtins, so that it costs a few milliseconds and no interpreter.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["healthcheck"]
ENTRYPOINT ["syncline"]
CMD ["run"]

# Last, since they change with every build.
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="syncline" \
      org.opencontainers.image.description="Keeps an Elasticsearch index in step with a database" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      syncline.model="${MODEL}" \
      syncline.model.revision="${MODEL_REVISION}"
