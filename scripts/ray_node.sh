#!/usr/bin/env bash
# Joins this node to a Ray cluster, with the variables of the device in its environment: Ray's workers inherit them.
#   bash scripts/ray_node.sh gpu|npu head            starts the cluster
#   bash scripts/ray_node.sh gpu|npu worker ADDRESS  joins it
# STACK (verl_0_9), RAY_PORT (6379), DEVICES (8; Ray counts GPUs itself), ASCEND_ROOT as in lib.sh. Stop: ray stop
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
usage="usage: bash $0 gpu|npu head, or bash $0 gpu|npu worker ADDRESS"
device="${1:-}" role="${2:-}" address="${3:-}" port="${RAY_PORT:-6379}"
case "$device" in
    gpu) resources=() ;;
    npu) ascend && resources=(--resources="{\"NPU\": ${DEVICES:-8}}") ;;
    *) die "$usage" ;;
esac
variables="$("$PYTHON" -m recipe.retool.cli env "device=$device" "stack=${STACK:-verl_0_9}")"
eval "$variables"
case "$role" in
    head) exec "$PYTHON" -m ray.scripts.scripts start --head --port="$port" "${resources[@]}" ;;
    worker)
        [ -n "$address" ] || die "$usage"
        exec "$PYTHON" -m ray.scripts.scripts start --address="$address:$port" "${resources[@]}"
        ;;
    *) die "$usage" ;;
esac
