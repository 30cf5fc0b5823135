#!/usr/bin/env bash
# Prepare this machine: Debian packages, then a virtual environment with the versions that pyproject.toml pins.
#
# Usage: scripts/setup-machine.sh VENV
#        scripts/setup-machine.sh --packages
# With --packages only Debian packages: what `make deb` builds with, and what the tests of the packages boot containers with.
# A second run finds its stamp in VENV and ends at once. Only missing packages are installed, and apt is left alone when
# there are none. Run as root, or with the packages already there.
set -euo pipefail

venv=${1:?usage: setup-machine.sh VENV|--packages}
checkout=$(cd "$(dirname "$0")/.." && pwd)
stamp=$venv/.dfs-stamp
# ca-certificates: Debian's pip trusts the system's list. fuse3 brings fusermount; fusepy itself loads libfuse2.
packages=(ca-certificates fuse3 gcc python3-dev python3-venv pkg-config libsystemd-dev attr procps git rsync iproute2)
packaging=(debhelper dh-python dpkg-dev lintian mmdebstrap pkgconf pybuild-plugin-pyproject python3-all python3-setuptools scdoc
    systemd systemd-container)

fail() {
    echo "setup-machine.sh: $*" >&2
    exit 1
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_packages() {
    local name
    for name in "$@"; do
        is_installed "$name" || echo "$name"
    done
}

missing_for_programs() {
    missing_packages "${packages[@]}"
    is_installed libfuse2 || is_installed libfuse2t64 || echo libfuse2
}

missing_for_packaging() {
    missing_packages "${packaging[@]}"
    # Where units are installed; in Debian 12 systemd's own package has it.
    [ -e /usr/share/pkgconfig/systemd.pc ] || ! apt-cache show systemd-dev >/dev/null 2>&1 || echo systemd-dev
}

# Debian 13 renamed libfuse2. There, libfuse2 is at most a virtual name without a candidate of its own.
libfuse2_name() {
    if apt-cache show libfuse2t64 >/dev/null 2>&1; then echo libfuse2t64; else echo libfuse2; fi
}

install_packages() {
    local missing
    command -v dpkg-query >/dev/null || fail "expected Debian 12 or 13, got a system without dpkg"
    mapfile -t missing < <("$1")
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || fail "expected root to install ${missing[*]}, got user $(id -un)"
    echo "Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    missing=("${missing[@]/#libfuse2/$(libfuse2_name)}")
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The system's own python3 is what python3-dev and python3-venv belong to; another one serves if it can make environments.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3; do
        if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "expected Python 3.11 or newer with ensurepip, got none"
}

make_environment() {
    [ -x "$venv/bin/python" ] || "$(find_python)" -m venv "$venv"
    echo "Installing Python packages into $venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$checkout[dev,fast,tls]"
}

if [ "$venv" = --packages ]; then
    install_packages missing_for_packaging
    exit 0
fi
wanted=$(cd "$checkout" && sha256sum pyproject.toml scripts/setup-machine.sh)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi
install_packages missing_for_programs
make_environment
echo "$wanted" >"$stamp"
