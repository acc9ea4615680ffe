# syntax=docker/dockerfile:1
# An image with only Postern, the C library and the root certificates (for TLS to the stores).
#
#     docker build -t postern .
#     docker run --rm -p 127.0.0.1:8000:8000 -e POSTERN_TRUSTED_PROXIES=none -v postern-data:/var/lib/postern postern
#
# With the cargo feature `jwt`:
#
#     docker build --build-arg FEATURES=jwt -t postern .

FROM rust:1.95-bookworm AS build
ARG FEATURES=""
WORKDIR /src
# Only the files that cargo reads, so that other changes do not trigger a build. Cargo.toml names the benches, so cargo
# requires their files.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY sql sql
COPY src src
# Both caches persist between builds: after a change, only Postern itself is compiled. The target directory is not part of
# the image, so this step also copies the program.
# The allocator supports pages up to the size that it is built for: on arm64, kernels with pages of 64 KiB are common.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi && \
    cargo build --release --locked --bin postern --features "$FEATURES" && \
    install -D -m 0755 target/release/postern /out/postern && \
    install -d -m 0700 /out/data

# The same Debian release as the build. The program needs no other library than its C library.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Postern" \
      org.opencontainers.image.description="Keeps an application's user accounts: sign-up, login, refresh, logout, profile, password change" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/postern /usr/local/bin/postern
# The directory of the embedded store and its keys; unused with DATABASE_URL and REDIS_URL.
COPY --from=build --chown=65532:65532 /out/data /var/lib/postern
# The server does not start without POSTERN_TRUSTED_PROXIES, which depends on what is in front of it.
ENV POSTERN_LISTEN=[::]:8000 \
    POSTERN_OPS_LISTEN=[::]:8001 \
    POSTERN_DATA_DIR=/var/lib/postern
VOLUME /var/lib/postern
EXPOSE 8000 8001
# A number: Kubernetes (runAsNonRoot) cannot verify that a user name is not root.
USER 65532:65532
# The image has no shell and no HTTP client. Kubernetes requests /livez and /readyz itself, and ignores this check.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/postern", "health"]
ENTRYPOINT ["/usr/local/bin/postern"]
