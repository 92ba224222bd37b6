#!/usr/bin/env bash
# Installs the wheel from dist/ beside the checkout's own packages and checks that it works without the checkout:
# the console script, the settings schema, and the index definition that the wheel carries.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
wheel=$(ls -t "$here"/dist/syncline-*.whl | head -1)

"$here/.venv/bin/uv" venv --quiet --python "$here/.venv/bin/python" "$folder/venv"
"$here/.venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" --no-deps "$wheel"
# The dependencies are the checkout's: only the package itself is under test.
site=$("$here/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
ours=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir "$folder/dependencies"
for entry in "$site"/*; do
  case "$(basename "$entry")" in *syncline*) ;; *) ln -s "$entry" "$folder/dependencies/" ;; esac
done

cd "$folder"
export PYTHONPATH="$folder/dependencies"
venv/bin/syncline --version
venv/bin/syncline config schema >schema.json
venv/bin/python - "$ours" <<'PY'
import sys
import worker
from worker.resources import load_index_definition, schemas_folder

assert worker.__file__.startswith(sys.argv[1]), f"imported {worker.__file__}, not the wheel's"
assert str(schemas_folder()).startswith(sys.argv[1]), f"read {schemas_folder()}, not the wheel's"
print("index definition fields:", ", ".join(load_index_definition("articles").mappings["properties"]))
PY
