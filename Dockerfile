# syntax=docker/dockerfile:1
# Postern in an image of its own, with nothing in it but the program, the C library and the certificates of public
# authorities (for TLS to the stores).
#
#     docker build -t postern .
#     docker run --rm -p 127.0.0.1:8000:8000 -v postern-data:/var/lib/postern postern
#
# With the cargo feature `jwt`: docker build --build-arg FEATURES=jwt -t postern .

FROM rust:1.95-bookworm AS build
ARG FEATURES=""
WORKDIR /src
# What cargo reads, and no more, so that a change of anything else builds nothing again. The manifest names the benches:
# without their files cargo refuses it.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY sql sql
COPY src src
# Both caches outlive the build: after a change, only Postern itself is compiled again. The target directory is not part of
# the image, so the program is taken out of it in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin postern --features "$FEATURES" && \
    install -D -m 0755 target/release/postern /out/postern && \
    install -d -m 0700 /out/data

# Linked against the C library of the same Debian, and against nothing else that this image would have to keep up to date.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Postern" \
      org.opencontainers.image.description="Keeps an application's user accounts: sign-up, login, refresh, logout, profile, password change" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/postern /usr/local/bin/postern
# Where the embedded store and its keys are, unless DATABASE_URL and REDIS_URL name others.
COPY --from=build --chown=65532:65532 /out/data /var/lib/postern
ENV POSTERN_LISTEN=0.0.0.0:8000 \
    POSTERN_OPS_LISTEN=0.0.0.0:8001 \
    POSTERN_DATA_DIR=/var/lib/postern
VOLUME /var/lib/postern
EXPOSE 8000 8001
# By number, since Kubernetes cannot tell from a name that it is not root's.
USER 65532:65532
# There is no shell and no client in here to ask with: whoever runs the container asks /livez and /readyz of the
# operations port.
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/postern"]
