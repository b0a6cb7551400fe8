#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Install what the build, the demo and the tests need (Debian 12), if anything is missing.
packages="build-essential meson ninja-build pkg-config git ca-certificates libfftw3-dev
libopenblas-dev libhdf5-dev libstarpu-dev libinih-dev libjansson-dev libcairo2-dev libpng-dev
zlib1g-dev nettle-dev python3 python3-numpy python3-h5py python3-mrcfile"
missing=
for p in $packages; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing:$missing"
$sudo apt-get update -qq &&
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
