# Both programs, for a user who is not root.
#
#   docker build -t snapctl .
#   docker run --rm snapctl snapctl version
#   docker run -v keys:/etc/snapctl/keys -v state:/var/lib/snapctl \
#     -v /srv/backup:/srv/backup --name snapctld snapctl
#   docker exec snapctld snapctl status
#
# What is protected and where it is kept are mounted, and belong to, or can be
# read by, uid 850.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
	--no-install-recommends gcc libc6-dev meson ninja-build pkgconf python3 \
	libsodium-dev libzstd-dev libssl-dev libsqlite3-dev \
	libcurl4-openssl-dev libexpat1-dev libmicrohttpd-dev libjansson-dev \
	libfyaml-dev
COPY . /src
# A build folder of the host, if one came along, has other paths in it.
RUN meson setup /build /src --buildtype=release --prefix=/usr \
	--sysconfdir=/etc --localstatedir=/var -Dwerror=true \
	-Dtest_hooks=false -Dtests=false && \
	DESTDIR=/installed meson install -C /build --strip

FROM ${BASE}
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
	--no-install-recommends libsodium23 libzstd1 libssl3 libsqlite3-0 \
	libcurl4 libexpat1 libmicrohttpd12 libjansson4 libfyaml0 tzdata \
	ca-certificates && \
	rm -rf /var/lib/apt/lists/* && \
	groupadd --system --gid 850 snapctl && \
	useradd --system --uid 850 --gid snapctl --no-create-home \
		--home-dir /var/lib/snapctl --shell /usr/sbin/nologin snapctl && \
	install -d -o snapctl -g snapctl -m 0700 /etc/snapctl/keys \
		/var/lib/snapctl /var/cache/snapctl && \
	install -d -o snapctl -g snapctl -m 0750 /run/snapctl
COPY --from=build /installed/ /
# For who is not root the programs would look below HOME instead.
ENV SNAPCTL_ETC=/etc/snapctl SNAPCTL_KEYS=/etc/snapctl/keys \
	SNAPCTL_STATE=/var/lib/snapctl SNAPCTL_CACHE=/var/cache/snapctl \
	SNAPCTL_SOCKET=/run/snapctl/snapctl.sock
USER snapctl
VOLUME ["/etc/snapctl/keys", "/var/lib/snapctl", "/var/cache/snapctl"]
CMD ["snapctld"]
