# An image with the one binary. Written and read, and not built where this was written: there was no engine at hand.
# docker build -t scrip . && docker run -p 8080:8080 -v scrip:/data --env-file secrets.env scrip
FROM rust:1.95-slim-trixie AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin scrip \
    && install -d -o scrip -m 0700 /data
COPY --from=build /src/target/release/scrip /usr/local/bin/scrip
USER 10001
WORKDIR /data
VOLUME /data
ENV SCRIP_DATABASE_URL=sqlite:/data/scrip.db SCRIP_LISTEN=0.0.0.0:8080 SCRIP_LOG_FORMAT=json
EXPOSE 8080
STOPSIGNAL SIGTERM
# The tables first: a server does not begin on tables that are behind.
CMD ["sh", "-c", "scrip migrate && exec scrip serve"]
