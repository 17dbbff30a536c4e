#!/usr/bin/env bash
# Add what only a GPU machine uses to a virtual environment: TensorRT, and ONNX Runtime with CUDA.
# usage: setup_gpu.sh VENV
set -euo pipefail
venv=$1 python=$1/bin/python uv=$1/bin/uv
"$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' ||
  { echo "gpu: torch sees no CUDA GPU here; nothing was changed" >&2; exit 1; }
"$uv" pip uninstall --quiet -p "$python" onnxruntime 2>/dev/null || true
"$uv" pip install --quiet -p "$python" --constraints requirements.txt -r requirements-gpu.txt
"$python" -c 'import onnxruntime as o, sys; sys.exit("CUDAExecutionProvider" not in o.get_available_providers())' ||
  { echo "gpu: onnxruntime lists no CUDA provider" >&2; exit 1; }
