#!/usr/bin/env bash
# Installs the Ascend stack into the Python environment that is active. Configured, not run. Usage:
#   bash scripts/setup_npu.sh              verl 0.9.1: requirements-npu.txt tells the order and why
#   STACK=verl_0_6 bash scripts/setup_npu.sh
# PYTHON: interpreter (python3). VLLM_ASCEND: another release of vllm-ascend. DRY_RUN=1 prints the commands.
# CANN and nnal are sourced from where they usually lie, or from ASCEND_ROOT, unless that has been done.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
run() { if [ -n "${DRY_RUN:-}" ]; then printf '%s\n' "$*"; else "$@"; fi; }
pip() { run "$PYTHON" -m pip install "$@"; }

[ -n "${DRY_RUN:-}" ] || ascend
case "${STACK:-verl_0_9}" in
    verl_0_9) list=requirements-npu.txt verl=0.9.1 torch=2.10.0 npu=2.10.0.post4 vllm=0.23.0 ascend=0.23.0 triton=3.2.2 arctic=0.1.1 ;;
    verl_0_6) list=requirements-npu-verl_0_6.txt verl=0.6.1 torch=2.7.1 npu=2.7.1 vllm=0.11.0 ascend=0.11.0rc1 triton= arctic= ;;
    *) die "STACK=$STACK: known are verl_0_9 and verl_0_6" ;;
esac
index=()
[ "$(uname -m)" != x86_64 ] || index=(--extra-index-url https://download.pytorch.org/whl/cpu)
pip "torch==$torch" "torch-npu==$npu" "${index[@]}"
run env VLLM_TARGET_DEVICE=empty "$PYTHON" -m pip install "${index[@]}" \
    "vllm @ git+https://github.com/vllm-project/vllm.git@v$vllm"
pip --no-deps "vllm-ascend==${VLLM_ASCEND:-$ascend}"
pip -r "$REPO/scripts/$list" "torch==$torch" "${index[@]}"
# Compiled, with a torch of its own; vLLM imports it for one kind of speculative decoding alone, so it may fail.
[ -z "$arctic" ] || pip "arctic-inference==$arctic" ||
    echo "warning: arctic-inference==$arctic, which vllm-ascend lists, was not compiled; the recipe does not use it" >&2
if [ -n "$triton" ]; then # last: on x86-64 the lists bring plain triton, which owns the same folder
    run "$PYTHON" -m pip uninstall -y triton
    pip --no-deps --force-reinstall "triton-ascend==$triton" --index-url https://triton-ascend.osinfra.cn/pypi/simple
fi
pip --no-deps "verl==$verl" -e "$REPO"
run "$PYTHON" -m recipe.retool.cli doctor --device npu --stack "${STACK:-verl_0_9}"
