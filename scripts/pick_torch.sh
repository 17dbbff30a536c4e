#!/usr/bin/env bash
# Install torch into a virtual environment: the CPU build where there is no NVIDIA GPU, so that
# several gigabytes of CUDA never arrive by accident.
# usage: pick_torch.sh VENV [--again]    TORCH_VARIANT=auto|cpu|cuda (default auto)
set -euo pipefail
venv=$1 again=${2:-} version=2.13.0 want=${TORCH_VARIANT:-auto}
python=$venv/bin/python uv=$venv/bin/uv

gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }
case $want in
  auto) if [ "$(uname -s)" = Darwin ] || gpu; then want=default; else want=cpu; fi ;;
  cuda) want=default ;;
  cpu) [ "$(uname -s)" = Darwin ] && want=default ;;  # macOS has one build
  *) echo "torch: TORCH_VARIANT is '$want', expected auto, cpu or cuda" >&2; exit 1 ;;
esac

# There, of this version, and of this kind? (A CPU build has no CUDA version.)
there() {
  "$python" - "$version" "$want" <<'PY' 2>/dev/null
import importlib.metadata, importlib.util, pathlib, re, sys
version, want = sys.argv[1:]
found = importlib.metadata.version("torch").split("+")[0]
text = pathlib.Path(importlib.util.find_spec("torch").origin).with_name("version.py").read_text()
cuda = re.search(r"^cuda(?:: [^=]+)? = (.+)$", text, re.M)[1] != "None"
sys.exit(found != version or (sys.platform != "darwin" and cuda != (want == "default")))
PY
}
[ -z "$again" ] && there && { echo "torch: $version is there"; exit 0; }

# Reinstall, always: a build of the other kind has the same version and would be left as it is.
if [ "$want" = default ]; then
  echo "torch: $version, the registry's build"
  "$uv" pip install --quiet -p "$python" --reinstall-package torch "torch==$version"
else
  echo "torch: $version for the CPU"
  # a wheel that this machine's pip is configured to find, else PyTorch's own index of CPU builds
  "$python" -m pip install --quiet --no-index --no-deps --force-reinstall "torch==$version" 2>/dev/null ||
    "$uv" pip install --quiet -p "$python" --torch-backend=cpu --no-deps --reinstall "torch==$version"
fi
there || { echo "torch: what was installed is not $version for this machine; TORCH_VARIANT=cpu or cuda decides by hand" >&2; exit 1; }
