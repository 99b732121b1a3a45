#!/usr/bin/env bash
# Builds the container image of the device runtime with podman, or with docker where there is no podman, and checks it:
#   samples/deploy/build-image.sh [TAG] [OPTION ...]
# TAG is the name of the image, allweather if not given. OPTIONs go to `build`: --build-arg BASE=... is another image with
# Python, --platform linux/arm64 is for another processor.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=allweather
if [[ ${1:-} && $1 != -* ]]; then
    tag=$1
    shift
fi
if command -v podman >/dev/null; then
    program=podman
elif command -v docker >/dev/null; then
    program=docker
else
    echo "error: building an image needs podman or docker, and neither is installed; install one, then run this again" >&2
    exit 1
fi
formats=()
[[ $program == docker ]] || formats=(--format docker) # podman's own format keeps no HEALTHCHECK
"$program" build "${formats[@]}" --tag "$tag" --file samples/deploy/Containerfile "$@" .
"$program" run --rm "$tag" doctor
"$program" image inspect --format "$tag: {{.Size}} bytes" "$tag"
