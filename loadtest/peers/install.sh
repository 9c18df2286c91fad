#!/bin/sh
# Installs the peers that the cases measure against: nginx (HTTP alone) and vmagent (line protocol in, remote write out).
# Debian and Ubuntu; needs root. Neither is started as a service: the cases start their own.
set -eu
if command -v nginx >/dev/null && command -v vmagent >/dev/null; then
    echo "both are here already"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends nginx-light victoria-metrics
for service in nginx victoria-metrics vmagent; do
    systemctl disable --now "$service" 2>/dev/null || true
done
nginx -v
vmagent -version
