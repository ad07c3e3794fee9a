#!/usr/bin/env bash
# Finds a browser for the tests of the report page, or installs one. Usage:
#   bash scripts/setup_browser.sh
# Looks for chromium, chromium-browser and google-chrome; then, as root with apt-get, installs Debian's chromium;
# then lets playwright fetch its own. Without any the browser tests are skipped, which is no error.
# RETOOL_VENV  the virtual environment that has playwright (default: .venv in the checkout)
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="$(realpath -m "${RETOOL_VENV:-$REPO/.venv}")/bin/python"

found() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

with_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1
}

with_playwright() { [ -x "$PYTHON" ] && timeout 300 "$PYTHON" -m playwright install chromium >/dev/null 2>&1; }

if found >/dev/null; then
    exit 0
fi
echo "no browser found; installing chromium for the tests of the report page"
if with_apt && found >/dev/null; then
    echo "chromium installed: $(found)"
elif with_playwright; then
    echo "chromium installed by playwright"
else
    echo "no browser could be installed: the browser tests will be skipped"
fi
