# The image that the autoscaler's Deployment names: eksup alone, as nobody. Build it from the root of the sources:
#   docker build -t REGISTRY/eksup:VERSION .
FROM rust:1.95-bookworm AS build
WORKDIR /src
# aws-lc, which signs and verifies for TLS, is built from C.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake clang \
    && rm -rf /var/lib/apt/lists/*
COPY . .
# Addresses that are settled at its start are kept packed: two megabytes less to pull and to read. glibc has been able to
# unpack them since 2.36, which both images have.
RUN cargo rustc --locked --release --package eksup --bin eksup -- -C link-arg=-Wl,-z,pack-relative-relocs

# glibc and the authorities of the web; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/eksup /usr/local/bin/eksup
COPY LICENSE /usr/share/doc/eksup/LICENSE
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/eksup"]
CMD ["autoscaler", "run"]
