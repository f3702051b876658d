#!/usr/bin/env bash
# The self-signed certificate of all rivals: ECDSA P-256, as Tickwire's own. In: a folder. Out: certificate.pem and key.pem in it, once.
set -euo pipefail
cd "$1"
[ -s certificate.pem ] && [ -s key.pem ] && exit 0
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout key.pem -out certificate.pem 2>/dev/null
