#!/usr/bin/env bash
# Builds the Dockerfile where there is neither a Docker engine nor an image registry: buildah (as root), on a base image
# made by debootstrap. Prints the image's name and size. Needs the Debian packages buildah and debootstrap.
#
#   tools/build_image.sh FOLDER_WITH_THE_MODEL NAME_OF_THE_IMAGE
#
# BASE=NAME takes that base image instead; TORCH= as in the Dockerfile, here empty: the build of torch on the package
# index.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$1
image=$2
work=$PWD/build/image
suite=bookworm
mirror=${MIRROR:-http://deb.debian.org/debian}
authorities=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
mkdir -p "$work"

# With chroot isolation a build needs neither a daemon nor user namespaces.
buildah=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver overlay)

base() {
  local name=localhost/syncline-base:$suite
  if ! "${buildah[@]}" inspect --type image "$name" >/dev/null 2>&1; then
    rm -rf "$work/rootfs"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates $suite "$work/rootfs" "$mirror" \
      >"$work/debootstrap.log"
    # A network with an authority of its own: what this machine trusts, the build trusts.
    cp "$authorities" "$work/rootfs/etc/ssl/certs/ca-certificates.crt"
    rm -rf "$work/rootfs"/var/cache/apt/archives/*.deb "$work/rootfs"/var/lib/apt/lists/*
    local container
    container=$("${buildah[@]}" from scratch)
    "${buildah[@]}" add --quiet "$container" "$work/rootfs" / >/dev/null
    "${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
      "$container"
    "${buildah[@]}" commit --quiet --rm "$container" "$name" >/dev/null
    rm -rf "$work/rootfs"
  fi
  echo "$name"
}

base=${BASE:-$(base)}
# The model is given as a folder of the build context: no hub is asked.
rm -rf deploy/image/models/under-test
cp -rL "$model" deploy/image/models/under-test
trap 'rm -rf deploy/image/models/under-test' EXIT

"${buildah[@]}" build --isolation chroot --network host --format docker --layers --pull-never \
  --build-arg BASE="$base" \
  --build-arg TORCH="${TORCH-}" \
  --build-arg MODEL_FOLDER=deploy/image/models/under-test \
  --build-arg MODEL_REVISION=under-test \
  --build-arg VERSION="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' worker/__init__.py)" \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --tag "$image" .

"${buildah[@]}" images --format '{{.Name}}:{{.Tag}} {{.Size}}' "$image"
